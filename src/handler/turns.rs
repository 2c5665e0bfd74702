//! One at a time for the same job: two deliveries of it must not be worked on at once in one process, or both would look
//! for its connection, and both create it. And a short memory, so that the second is answered without a call.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use crate::contract::ids::{ImsOrgId, JobId, SandboxName};
use crate::contract::job::Job;
use crate::flow::Created;

/// Connections that are remembered: what some seconds of full speed create, in about a megabyte;
const REMEMBERED: usize = 4096;

/// and for how long. A job that comes again comes soon; later, its connection may have been deleted for good reasons.
const FOR: Duration = Duration::from_secs(600);

/// What makes two deliveries the same job. Ids are the senders' own, so that two organisations can have the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    ims_org_id: ImsOrgId,
    sandbox_name: SandboxName,
    job_id: JobId,
}

impl Key {
    fn of(job: &Job) -> Self {
        Self {
            ims_org_id: job.ims_org_id.clone(),
            sandbox_name: job.sandbox_name.clone(),
            job_id: job.id.clone(),
        }
    }
}

/// The jobs under way, and how those ended that were worked on last.
#[derive(Debug, Default)]
pub(super) struct Turns {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    under_way: HashMap<Key, Arc<tokio::sync::Mutex<()>>>,
    ended: HashMap<Key, (Ended, Instant)>,
    /// The keys of `ended`, oldest first.
    order: VecDeque<Key>,
}

/// How the last delivery of a job ended.
#[derive(Debug, Clone)]
enum Ended {
    Created(Created),
    /// Nobody knows whether it is done.
    InDoubt,
}

/// The right to work on a job, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    key: Key,
    /// Whether another delivery of the job was worked on first.
    pub(super) waited: bool,
    _guard: OwnedMutexGuard<()>,
}

impl Turns {
    /// Waits until no other delivery of the job is worked on. Safe to drop half-way.
    pub(super) async fn take(&self, job: &Job) -> Turn<'_> {
        let key = Key::of(job);
        let lock = Arc::clone(self.state().under_way.entry(key.clone()).or_default());
        let (guard, waited) = match Arc::clone(&lock).try_lock_owned() {
            Ok(guard) => (guard, false),
            Err(_) => (lock.lock_owned().await, true),
        };
        Turn { turns: self, key, waited, _guard: guard }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// The connection, if this process created or found it a short while ago.
    pub(super) fn remembered(&self) -> Option<Created> {
        match self.last_end()? {
            Ended::Created(created) => Some(created),
            Ended::InDoubt => None,
        }
    }

    fn last_end(&self) -> Option<Ended> {
        let state = self.turns.state();
        let (ended, since) = state.ended.get(&self.key)?;
        (since.elapsed() < FOR).then(|| ended.clone())
    }

    /// Whether this process has left the job in doubt a short while ago.
    pub(super) fn is_in_doubt(&self) -> bool {
        matches!(self.last_end(), Some(Ended::InDoubt))
    }

    /// Remembers that the job is in doubt.
    pub(super) fn remember_doubt(&self) {
        self.remember_end(Ended::InDoubt);
    }

    /// Remembers the connection, and forgets the job that was remembered for the longest time.
    pub(super) fn remember(&self, created: &Created) {
        self.remember_end(Ended::Created(created.clone()));
    }

    fn remember_end(&self, ended: Ended) {
        let mut state = self.turns.state();
        if state.ended.insert(self.key.clone(), (ended, Instant::now())).is_none() {
            state.order.push_back(self.key.clone());
        }
        if state.order.len() > REMEMBERED
            && let Some(oldest) = state.order.pop_front()
        {
            state.ended.remove(&oldest);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.state();
        // One is the map's and one this turn's: nobody else waits, and nobody can begin to while the state is locked.
        if state.under_way.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) <= 2) {
            state.under_way.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::tests::job;

    fn named(id: &str) -> Job {
        Job { id: JobId::parse(id).unwrap(), ..job() }
    }

    fn connection(id: &str) -> Created {
        Created { id: id.to_owned(), etag: None }
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_job_has_one_turn_at_a_time_and_others_have_theirs() {
        let turns = Turns::default();
        let first = turns.take(&named("a")).await;
        assert!(!first.waited && !turns.take(&named("b")).await.waited);
        let elsewhere = Job { sandbox_name: SandboxName::parse("stage").unwrap(), ..named("a") };
        assert!(!turns.take(&elsewhere).await.waited);
        let second = named("a");
        let second = turns.take(&second);
        tokio::pin!(second);
        tokio::time::timeout(Duration::from_secs(1), &mut second).await.expect_err("two at a time");
        drop(first);
        assert!(second.await.waited);
        assert!(turns.state().under_way.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_created_long_ago_is_forgotten() {
        let turns = Turns::default();
        turns.take(&named("a")).await.remember(&connection("c"));
        tokio::time::advance(FOR).await;
        assert_eq!(turns.take(&named("a")).await.remembered(), None);
    }

    #[tokio::test]
    async fn what_was_created_last_is_remembered_and_no_more() {
        let turns = Turns::default();
        for number in 0..=REMEMBERED {
            turns.take(&named(&number.to_string())).await.remember(&connection("c"));
        }
        turns.take(&named("1")).await.remember(&connection("again"));
        assert_eq!(turns.take(&named("0")).await.remembered(), None);
        assert_eq!(turns.take(&named("1")).await.remembered(), Some(connection("again")));
        let state = turns.state();
        assert_eq!((state.ended.len(), state.order.len()), (REMEMBERED, REMEMBERED));
    }
}
