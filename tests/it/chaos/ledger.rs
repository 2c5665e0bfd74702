//! The accounts of a storm: what was submitted, what was answered, what was created. Pure; told everything, and asked
//! for the balance once all is quiet.
//!
//! A submission that the broker did not confirm is *indeterminate*: it may be in the queue or not, and nobody submits it
//! again. It is held to what became of it: without a trace it is no loss, with an answer it is a job like any other.

use std::collections::BTreeMap;
use std::fmt;

use tokio::time::Instant;

mod balance;
#[cfg(test)]
mod tests;

pub(super) use balance::Balance;

/// Everything that is known, by job.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: BTreeMap<String, Entry>,
    /// What arrived and belongs to no submitted job.
    strangers: Vec<String>,
    returned: u64,
    undeliverable: u64,
}

/// One job.
#[derive(Debug)]
struct Entry {
    sent: Instant,
    fate: Fate,
    answers: Vec<Answer>,
    dead: Vec<String>,
}

/// Whether the broker has the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The sender still waits for the broker's word.
    Pending,
    Confirmed,
    /// There was none, and there will be none.
    Indeterminate,
}

/// One reply, as it was read from a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) read: Instant,
    /// The AMQP `message_id`.
    pub(super) message_id: String,
    pub(super) says: Says,
    /// When the worker was done, in its words: tells a reply that is read again from a repeated one.
    pub(super) completed_at: String,
}

/// What a reply tells its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Says {
    Created { connection: String, recovered: bool },
    Failed { code: String },
}

/// Where a reply was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// In the queue that it was meant for.
    Delivered,
    /// In the queue of undeliverable replies.
    Undeliverable,
}

impl Ledger {
    /// A job is about to be published. From here on it may be in the queue.
    pub(super) fn sent(&mut self, job: &str, at: Instant) {
        let entry = Entry { sent: at, fate: Fate::Pending, answers: Vec::new(), dead: Vec::new() };
        let before = self.entries.insert(job.to_owned(), entry);
        assert!(before.is_none(), "{job} was submitted before");
    }

    /// The broker has the job: from here on it must not be lost.
    pub(super) fn confirmed(&mut self, job: &str) {
        self.entries.get_mut(job).expect("it was sent").fate = Fate::Confirmed;
    }

    /// The broker did not say whether it has the job.
    pub(super) fn unconfirmed(&mut self, job: &str) {
        self.entries.get_mut(job).expect("it was sent").fate = Fate::Indeterminate;
    }

    /// The broker gave the job back because no queue takes it.
    pub(super) fn returned(&mut self, job: &str) {
        self.unconfirmed(job);
        self.returned += 1;
    }

    /// A reply was read; `again` if the broker says that it may have been read before.
    pub(super) fn answered(&mut self, job: &str, answer: Answer, found: Found, again: bool) {
        let Some(entry) = self.entries.get_mut(job) else {
            return self.stranger(format!("a reply to {job:?}"));
        };
        let known =
            |other: &&Answer| (&other.says, &other.completed_at) == (&answer.says, &answer.completed_at);
        // The reader's own acknowledgement was lost: the same message, not another one.
        if again && entry.answers.iter().any(|other| known(&other)) {
            return;
        }
        entry.answers.push(answer);
        self.undeliverable += u64::from(found == Found::Undeliverable);
    }

    /// A job was found in the dead-letter queue; `again` as with replies.
    pub(super) fn dead_lettered(&mut self, job: &str, reason: &str, again: bool) {
        match self.entries.get_mut(job) {
            Some(entry) if again && entry.dead.iter().any(|known| known == reason) => {}
            Some(entry) => entry.dead.push(reason.to_owned()),
            None => self.stranger(format!("a dead letter of {job:?}")),
        }
    }

    /// Something arrived that nobody submitted, or that cannot be read.
    pub(super) fn stranger(&mut self, what: String) {
        self.strangers.push(what);
    }

    /// Confirmed jobs of which nothing has been heard yet.
    pub(super) fn open(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(|(_, entry)| entry.is_lost()).map(|(job, _)| job.as_str())
    }

    /// Jobs that were submitted before this moment, of which nothing has been heard yet, and something may still be.
    pub(super) fn open_before(&self, moment: Instant) -> impl Iterator<Item = &str> {
        let open = move |entry: &Entry| {
            entry.sent < moment && entry.fate != Fate::Indeterminate && !entry.is_heard_of()
        };
        self.entries.iter().filter(move |(_, entry)| open(entry)).map(|(job, _)| job.as_str())
    }

    /// How many replies there were: those that tell of a connection, and the others.
    pub(super) fn replies(&self) -> (u64, u64) {
        let answers = || self.entries.values().flat_map(|entry| &entry.answers);
        let created = answers().filter(|answer| matches!(answer.says, Says::Created { .. })).count() as u64;
        (created, answers().count() as u64 - created)
    }

    /// When the first answer came to a job that was submitted after this moment.
    pub(super) fn first_answer_after(&self, moment: Instant) -> Option<Instant> {
        let after = self.entries.values().filter(|entry| entry.sent >= moment);
        after.filter_map(|entry| entry.answers.iter().map(|answer| answer.read).min()).min()
    }

    /// All that was heard of a job, for a person.
    pub(super) fn known_of(&self, job: &str) -> String {
        let Some(entry) = self.entries.get(job) else { return "never submitted".to_owned() };
        let answers = entry.answers.iter().map(Answer::to_string);
        let dead = entry.dead.iter().map(|reason| format!("dead-lettered: {reason}"));
        std::iter::once(format!("{:?}", entry.fate).to_lowercase())
            .chain(answers)
            .chain(dead)
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// The final account. `connections` are all that exist: the job that each was made for, and its id.
    pub(super) fn balance(&self, connections: &[(String, String)]) -> Balance {
        Balance::of(self, connections)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.says {
            Says::Created { connection, recovered: false } => write!(f, "told of {connection}, created")?,
            Says::Created { connection, recovered: true } => write!(f, "told of {connection}, recovered")?,
            Says::Failed { code } => write!(f, "told that it failed: {code}")?,
        }
        write!(f, " (at {}, message {})", self.completed_at, self.message_id)
    }
}

impl Entry {
    fn is_heard_of(&self) -> bool {
        !self.answers.is_empty() || !self.dead.is_empty()
    }

    fn is_lost(&self) -> bool {
        self.fate == Fate::Confirmed && !self.is_heard_of()
    }
}
