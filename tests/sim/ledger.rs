//! What came of a history, and what every history is held to.

mod moves;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use serde_json::Value;

use crate::bounds::{AT_ONCE, TAKEN_BACK};
use crate::broker::ledger::{Letter, Seen};
use crate::flow::illness::Calls;
use crate::flow::truth::{Connection, Made};
use crate::job::{Fate, Group, Job, id};

/// A requirement that does not hold.
#[derive(Debug)]
pub(crate) struct Broken {
    /// Which, by number and name.
    pub(crate) requirement: &'static str,
    /// The job in question.
    pub(crate) job: Option<u32>,
    pub(crate) text: String,
}

/// What came of a history.
pub(crate) struct Ledger {
    pub(crate) jobs: Vec<Job>,
    pub(crate) seen: Seen,
    pub(crate) queue_names: Vec<String>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) of_job: BTreeMap<u32, Vec<usize>>,
    pub(crate) made: Vec<Made>,
    pub(crate) attempts: BTreeMap<u32, u32>,
    pub(crate) concurrency: usize,
    pub(crate) in_a_window: bool,
    /// The broker refused messages: replies may be where an operator finds them.
    pub(crate) are_refused: bool,
    /// How long it was, in milliseconds.
    pub(crate) ended: u32,
}

pub(crate) fn broken(requirement: &'static str, job: Option<u32>, text: String) -> Result<(), Broken> {
    Err(Broken { requirement, job, text })
}

pub(crate) fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// The longest wait that the retry schedule has for a job after so many attempts: the ceilings grow by four, and a wait that
/// is not spent in hand is spent in the next longer queue.
fn retry_wait(attempts: u32) -> Duration {
    let ceiling = 500 * 4_u64.saturating_pow(attempts.saturating_sub(1));
    let tiers = [5, 10, 60, 600, 3600].map(Duration::from_secs);
    tiers.into_iter().find(|tier| tier.as_millis() >= ceiling.into()).unwrap_or(tiers[4])
}

impl Ledger {
    /// The jobs, with their numbers.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (u32, &Job)> {
        (0..).zip(&self.jobs)
    }

    /// Milliseconds from a job's sending to its first reply, for each of a group, shortest first; unanswered ones count as
    /// answered at the end. Those that a queue took back are left out: they are few, and are looked for first.
    pub(crate) fn latencies(&self, group: Group) -> Vec<(u32, u32)> {
        let taken_back = &self.seen.taken_back;
        let of_group =
            self.numbered().filter(|(number, job)| job.group == group && !taken_back.contains(number));
        let mut all: Vec<_> = of_group
            .map(|(number, job)| {
                let answered = self.seen.answered.get(&number).copied().unwrap_or(self.ended);
                (answered.saturating_sub(milliseconds(job.at)), number)
            })
            .collect();
        all.sort_unstable();
        all
    }

    /// The time and the job at a share of a group's latencies.
    pub(crate) fn percentile(&self, group: Group, share: f64) -> (u32, Option<u32>) {
        let all = self.latencies(group);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few thousand"
        )]
        let at = (all.len() as f64 * share).ceil() as usize;
        all.get(at.saturating_sub(1)).map_or((0, None), |(time, job)| (*time, Some(*job)))
    }

    /// That the p99 of a group is no longer than this.
    pub(crate) fn p99_within(
        &self,
        requirement: &'static str,
        group: Group,
        most: Duration,
    ) -> Result<(), Broken> {
        let (time, job) = self.percentile(group, 0.99);
        if time <= milliseconds(most) {
            return Ok(());
        }
        let (p50, _) = self.percentile(group, 0.5);
        let answered = self.latencies(group).len();
        let text =
            format!("group {group}: p99 {time} ms (p50 {p50} ms) of {answered} jobs, at most {most:?}");
        broken(requirement, job, text)
    }

    /// That each job of a group is answered by then; later only by as much as its own retries have it wait.
    pub(crate) fn answered_by(
        &self,
        requirement: &'static str,
        group: Group,
        by: Duration,
    ) -> Result<(), Broken> {
        let late = |(number, job): &(u32, &Job)| {
            let answered = self.seen.answered.get(number).copied().unwrap_or(u32::MAX);
            job.group == group && answered > milliseconds(by + retry_wait(self.failed_attempts(*number)))
        };
        let late: Vec<_> = self.numbered().filter(late).collect();
        let Some((first, _)) = late.first() else { return Ok(()) };
        let (of, creates) = (self.latencies(group).len(), self.creates(*first));
        let text = format!(
            "{} of {of} jobs of group {group} are not answered by {by:?}; {} after {creates} creates",
            late.len(),
            id(*first)
        );
        broken(requirement, Some(*first), text)
    }

    /// How many attempts at a job have failed, by a create or a look-up, or before any.
    fn failed_attempts(&self, job: u32) -> u32 {
        let failed = self.made.iter().filter(|made| {
            matches!(made.calls, Calls::Creates | Calls::Reads) && made.job == job && made.failed.is_some()
        });
        // One more if the job has come with an attempt.
        let failed = u32::try_from(failed.count()).unwrap_or(u32::MAX) + 1;
        failed.max(self.attempts.get(&job).copied().unwrap_or_default())
    }

    /// How many creates were made for a job.
    pub(crate) fn creates(&self, job: u32) -> u32 {
        let creates = self.made.iter().filter(|made| made.calls == Calls::Creates && made.job == job);
        u32::try_from(creates.count()).unwrap_or(u32::MAX)
    }

    /// That from then on there is no longer time between two answers to a group than this, while its jobs wait.
    pub(crate) fn no_gap(
        &self,
        requirement: &'static str,
        group: Group,
        within: Range<Duration>,
        most: Duration,
    ) -> Result<(), Broken> {
        let within = milliseconds(within.start)..milliseconds(within.end);
        let answers: Vec<_> = self.answers(group).into_iter().filter(|at| within.contains(at)).collect();
        let before = std::iter::once(within.start).chain(answers.iter().copied());
        let gaps = before.zip(&answers).map(|(before, after)| after.saturating_sub(before));
        let longest = gaps.max().unwrap_or_default();
        if longest <= milliseconds(most) {
            return Ok(());
        }
        broken(
            requirement,
            None,
            format!("{longest} ms without an answer to group {group}, at most {most:?}"),
        )
    }

    /// Calls of a kind for an organisation, from and to.
    pub(crate) fn calls(&self, calls: Calls, org: Option<usize>, from: Duration, to: Duration) -> usize {
        let (from, to) = (milliseconds(from), milliseconds(to));
        let fits = |made: &&Made| {
            (calls == Calls::All || made.calls == calls)
                && org.is_none_or(|org| org == made.org)
                && (from..to).contains(&made.at)
        };
        self.made.iter().filter(fits).count()
    }

    /// When the jobs of a group were answered first, in order.
    pub(crate) fn answers(&self, group: Group) -> Vec<u32> {
        let of_group = self.numbered().filter(|(_, job)| job.group == group);
        let mut all: Vec<_> =
            of_group.filter_map(|(number, _)| self.seen.answered.get(&number).copied()).collect();
        all.sort_unstable();
        all
    }

    /// Whether all is as it must be in any history.
    pub(crate) fn balance(&self) -> [Result<(), Broken>; 6] {
        [
            self.all_are_answered(),
            self.each_has_one_connection(),
            self.replies_are_true(),
            self.unsettled_are_bounded(),
            self.moves_are_bounded(),
            self.few_are_taken_back(),
        ]
    }

    fn all_are_answered(&self) -> Result<(), Broken> {
        let missing: Vec<_> =
            self.numbered().filter(|(number, _)| !self.seen.answered.contains_key(number)).collect();
        let Some((first, _)) = missing.first() else { return Ok(()) };
        let mut by_group: BTreeMap<Group, usize> = BTreeMap::new();
        for (_, job) in &missing {
            *by_group.entry(job.group).or_default() += 1;
        }
        let (missed, all, ended) = (missing.len(), self.jobs.len(), self.ended / 1000);
        let text =
            format!("{missed} of {all} jobs are not answered after {ended} s (by group: {by_group:?})");
        broken("2 progress", Some(*first), text)
    }

    fn each_has_one_connection(&self) -> Result<(), Broken> {
        if self.in_a_window {
            return Ok(());
        }
        let mut several = self.of_job.iter().filter(|(_, connections)| connections.len() > 1);
        let wrong = several.find(|(job, connections)| !self.are_of_two_copies(**job, connections));
        let Some((job, connections)) = wrong else { return Ok(()) };
        let text = format!("{} has {} connections", id(*job), connections.len());
        broken("one connection a job", Some(*job), text)
    }

    /// Whether two copies of a job came to the end of their look-ups at once: a window that the README names, and which a link
    /// opens that is lost after the job was put into another queue.
    fn are_of_two_copies(&self, job: u32, connections: &[usize]) -> bool {
        let exist_at = || connections.iter().filter_map(|at| Some(self.connections.get(*at)?.exists_at));
        let apart = exist_at().max().zip(exist_at().min()).map(|(last, first)| last - first);
        let may_have_a_copy =
            self.seen.links_lost > 0 && self.seen.moves.iter().any(|moved| moved.job == job);
        may_have_a_copy && apart.is_some_and(|apart| apart <= AT_ONCE)
    }

    /// Each reply is what the job's sender is to be told, and the connection is the job's.
    fn replies_are_true(&self) -> Result<(), Broken> {
        let lost = self.seen.undeliverable.first().filter(|_| !self.are_refused);
        if let Some(Letter { job, .. }) = lost {
            return broken("no reply is undeliverable", Some(*job), "a reply had no queue".to_owned());
        }
        for letter in &self.seen.replies {
            let job = self.jobs.get(letter.job as usize);
            let Some(job) = job else {
                return broken("replies are true", None, "a reply to no job".to_owned());
            };
            let reply: Value = serde_json::from_slice(&letter.body).unwrap();
            let created = reply["status"] == "created";
            let expected = match job.fate {
                Fate::Created => created,
                Fate::CreatedOrRefused => created || reply["error"]["retryable"] == false,
                Fate::Exhausted => !created,
                Fate::Internal => reply["error"]["code"] == "internal",
            };
            let is_own = |number: &usize| self.connections[*number].id == reply["connection"]["id"];
            let own = self.of_job.get(&letter.job).is_some_and(|own| own.iter().any(is_own));
            if !expected || (created && !own) {
                let text = format!("{} is answered with {reply}", id(letter.job));
                return broken("replies are true", Some(letter.job), text);
            }
        }
        Ok(())
    }

    fn few_are_taken_back(&self) -> Result<(), Broken> {
        let (few, first) = (&self.seen.taken_back, self.seen.taken_back.first().copied());
        let most = 2 + self.jobs.len() / TAKEN_BACK;
        if few.len() <= most {
            return Ok(());
        }
        let text = format!("{} jobs were taken back from cancelled consumers, at most {most}", few.len());
        broken("6 bounds", first, text)
    }

    fn unsettled_are_bounded(&self) -> Result<(), Broken> {
        let over = self.seen.unsettled.iter().find(|(_, most)| **most > self.concurrency);
        let Some((worker, most)) = over else { return Ok(()) };
        let text = format!("worker {worker} had {most} deliveries in flight, at most {}", self.concurrency);
        broken("6 bounds", None, text)
    }
}
