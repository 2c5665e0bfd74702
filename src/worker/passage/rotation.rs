//! How fast the jobs that wait in another queue go round, so that each is tried now and then. Pure: takes the time as an argument.

use std::time::Duration;

use tokio::time::Instant;

/// What waits in another queue goes round within this time, whatever its number, so that each job is tried soon after it can
/// run,
const ROUND: Duration = Duration::from_secs(40);
/// but never within less than this, so that no job is moved again and again,
const ROUND_MIN: Duration = Duration::from_secs(8);
/// and never more in a second than this,
const ROTATION_MAX: f64 = 400.0;
/// nor fewer.
const ROTATION_MIN: f64 = 0.1;

/// It goes round faster while that brings jobs to the front that run at once, and slower while it does not.
const FASTER: f64 = 1.5;
const SLOWER: f64 = 0.9;

/// A job makes room for those behind it only when it has waited this long.
const PATIENCE: Duration = Duration::from_secs(1);

/// What goes round in one queue.
#[derive(Debug)]
pub(super) struct Rotation {
    ready: u32,
    rate: f64,
    next: Instant,
}

impl Rotation {
    pub(super) fn new(now: Instant) -> Self {
        Self { ready: 0, rate: ROTATION_MIN, next: now }
    }

    /// The rate at which all go round in this time.
    fn rate_of(&self, round: Duration) -> f64 {
        (f64::from(self.ready) / round.as_secs_f64()).clamp(ROTATION_MIN, ROTATION_MAX)
    }

    /// What was last seen to wait there.
    pub(super) fn seen(&mut self, ready: u32, now: Instant) {
        self.ready = ready;
        self.set_rate(self.rate, now);
    }

    fn set_rate(&mut self, rate: f64, now: Instant) {
        self.rate = rate.clamp(self.rate_of(ROUND), self.rate_of(ROUND_MIN));
        self.next = self.next.min(now + self.pause());
    }

    fn pause(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.rate)
    }

    fn take(&mut self, now: Instant) -> Result<(), Instant> {
        if self.next > now {
            return Err(self.next);
        }
        self.set_rate(self.rate * SLOWER, now);
        self.next = now + self.pause();
        Ok(())
    }

    /// A job of the queue ran without waiting.
    pub(super) fn ran_at_once(&mut self, now: Instant) {
        self.set_rate(self.rate * FASTER, now);
    }

    /// Whether a job that has waited since then makes room for those behind it, if there are any; else, when to ask again.
    pub(super) fn make_room(&mut self, since: Instant, now: Instant) -> Result<(), Instant> {
        if self.ready == 0 || now < since + PATIENCE {
            return Err(now + PATIENCE);
        }
        self.take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn left_in_ten_seconds(
        rotation: &mut Rotation,
        since: Instant,
        mut when: impl FnMut(&mut Rotation, Instant),
    ) -> u32 {
        let (mut at, mut left) = (since, 0);
        while at < since + Duration::from_secs(10) {
            at += MILLISECOND;
            if rotation.make_room(since, at).is_ok() {
                left += 1;
                when(rotation, at);
            }
        }
        left
    }

    #[test]
    fn jobs_go_round_at_a_bounded_rate() {
        for (ready, expected) in [(10, 3), (100, 25), (4_000, 1_000), (1_000_000, 4_000)] {
            let now = Instant::now();
            let mut rotation = Rotation::new(now);
            rotation.seen(ready, now);
            let left = left_in_ten_seconds(&mut rotation, now, |_, _| {});
            assert!(left.abs_diff(expected) <= expected / 4 + 1, "{left} of {ready}");
        }
    }

    #[test]
    fn they_go_faster_while_that_brings_some_that_run_but_not_round_and_round() {
        let now = Instant::now();
        let mut rotation = Rotation::new(now);
        rotation.seen(100, now);
        let left = left_in_ten_seconds(&mut rotation, now, Rotation::ran_at_once);
        assert!((90..=125).contains(&left), "{left} of 100");
    }

    #[test]
    fn jobs_stay_while_nothing_waits_behind_them() {
        let now = Instant::now();
        let mut rotation = Rotation::new(now);
        assert_eq!(left_in_ten_seconds(&mut rotation, now, |_, _| {}), 0);
    }
}
