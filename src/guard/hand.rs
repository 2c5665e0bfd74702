//! What one organisation has in hand, and what of it had to be put aside. Pure: told the time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::tenant::Queue;
use crate::retry::tier::Tier;

/// One of which nothing was heard for so long has no jobs.
const LATELY: Duration = Duration::from_secs(60);

/// What was in hand at the busiest moment counts for half after so long.
const NEED_HALF: Duration = Duration::from_secs(30);

/// Who has too much in hand for no longer than this has not too much: so long the next jobs wait for a place,
const GRACE: Duration = Duration::from_secs(1);

/// unless something had to be put aside in this time: one flood is not taken for many small ones.
const CALM: Duration = Duration::from_secs(60);

/// For each so many places, one job that came back may wait for the next.
const LINE: u32 = 8;

/// So many jobs a second come back at the most, if all that were put aside do: each takes time to be put aside again, and
/// while more come than can be, the jobs of others wait behind them.
const PASSING: f64 = 400.0;

/// Nothing is put aside for longer, so what has not come back by then has come back to another worker.
const FORGOTTEN: Duration = Duration::from_secs(60 * 60);

/// A job that needs a place in hand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Newcomer {
    /// When it asked for the first time.
    pub(super) asked: Instant,
    /// How long it may wait, if it may wait.
    pub(super) patience: Duration,
    /// It has been put aside before, or has no time left for that.
    pub(super) is_due: bool,
}

/// One organisation's jobs in hand.
#[derive(Debug)]
pub(super) struct Hand {
    held: u32,
    /// The most that it may have, for now.
    pub(super) most: u32,
    /// The busiest moment of late.
    need: f64,
    need_at: Instant,
    heard_at: Option<Instant>,
    /// Since when it has had as many as it may have, and more came.
    full_since: Option<Instant>,
    /// Those that wait for a place.
    pub(super) line: Queue,
    aside: f64,
    aside_at: Option<Instant>,
}

impl Hand {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            held: 0,
            most: u32::MAX,
            need: 0.0,
            need_at: now,
            heard_at: None,
            full_since: None,
            line: Queue::default(),
            aside: 0.0,
            aside_at: None,
        }
    }

    /// Jobs in hand.
    pub(super) fn held(&self) -> u32 {
        self.held
    }

    /// A job of it came; whether none had been heard of lately.
    pub(super) fn heard_of(&mut self, now: Instant) -> bool {
        let was_present = self.is_present(now);
        self.heard_at = Some(now);
        !was_present
    }

    /// One that was put aside came back.
    pub(super) fn came_back(&mut self) {
        self.aside = (self.aside - 1.0).max(0.0);
    }

    /// Whether it has jobs, as far as is known.
    pub(super) fn is_present(&self, now: Instant) -> bool {
        self.held > 0 || self.heard_at.is_some_and(|at| now.saturating_duration_since(at) < LATELY)
    }

    /// How many places it needed of late.
    pub(super) fn need(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.need_at).div_duration_f64(NEED_HALF);
        (self.need * (-passed).exp2()).max(f64::from(self.held))
    }

    /// Takes a place, if there is one. Who waits for one has precedence over who has just come.
    pub(super) fn take(&mut self, waited: bool, now: Instant) -> bool {
        if self.held >= self.most || !(waited || self.waiting() == 0) {
            self.full_since.get_or_insert(now);
            return false;
        }
        if !waited {
            self.full_since = None;
        }
        self.held += 1;
        (self.need, self.need_at) = (self.need(now), now);
        true
    }

    /// A job is not in hand any more.
    pub(super) fn give_back(&mut self) {
        self.held = self.held.saturating_sub(1);
        self.line.freed.notify_one();
    }

    /// Until when a job may wait for a place; `in_line` if it does so already.
    pub(super) fn until(&self, job: &Newcomer, in_line: bool, now: Instant) -> Instant {
        let longest = usize::try_from((self.most / LINE).max(1)).unwrap_or(usize::MAX);
        if job.is_due && (in_line || self.waiting() < longest) {
            return job.asked + job.patience;
        }
        let is_calm = self.aside_at.is_none_or(|at| now.saturating_duration_since(at) >= CALM);
        match self.full_since {
            Some(since) if is_calm => since + GRACE.min(job.patience),
            _ => now,
        }
    }

    /// A job is put aside; for how long. The more there are, the longer: then each passes by a few times only.
    pub(super) fn put_aside(&mut self, now: Instant) -> Duration {
        if self.aside_at.is_some_and(|at| now.saturating_duration_since(at) >= FORGOTTEN) {
            self.aside = 0.0;
        }
        self.aside_at = Some(now);
        self.aside += 1.0;
        let wait = Duration::try_from_secs_f64(self.aside / PASSING).unwrap_or(FORGOTTEN);
        Tier::at_least(wait).delay()
    }

    fn waiting(&self) -> usize {
        // One is the line's own; each who waits holds another.
        Arc::strong_count(&self.line.turn) - 1
    }
}
