//! When a failed job is tried again, whether that wait is spent in hand or in a retry queue, and when it ends.
//!
//! Exponential ceilings with full jitter: the delay is drawn evenly from zero to the ceiling, so that jobs which
//! failed together do not come back together; in the retry queues, whose waits are fixed, the draw decides which one. A
//! `Retry-After` is a floor under the draw, never shortened by the jitter, but capped. Attempts and deadline are those of the job, however many deliveries it takes.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use super::tier::Tier;

/// What the ceiling grows by. With 2, twelve attempts would be over in minutes; with 4 they span hours, and all but the
/// first few wait where they hold no slot.
const GROWTH: f32 = 4.0;

/// Longest time that a delivery is held. Must stay well below RabbitMQ's `consumer_timeout` (30 minutes); a call that
/// begins before the end of it still takes its own time.
pub const HELD_MAX: Duration = Duration::from_secs(5 * 60);

/// How often and how long a job is tried.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Attempts at the most, the first included.
    pub max_attempts: u32,
    /// Ceiling of the first delay; each further one is four times as high.
    pub base_delay: Duration,
    /// Highest ceiling.
    pub max_delay: Duration,
    /// Longest `Retry-After` that is waited for.
    pub max_retry_after: Duration,
    /// Longest delay that is waited for with the job in hand; a longer one is spent in a retry queue.
    pub hold: Duration,
    /// Time from the first attempt after which no further one is started.
    pub deadline: Duration,
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Wait this long, then try again.
    Wait(Wait),
    /// Do not try again.
    GiveUp(Limit),
}

/// A wait, and where it is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// With the job in hand, for this long.
    Held(Duration),
    /// In a retry queue.
    Queued(Tier),
}

impl Wait {
    /// How long it takes.
    pub fn delay(self) -> Duration {
        match self {
            Self::Held(delay) => delay,
            Self::Queued(tier) => tier.delay(),
        }
    }

    /// Where it is spent, in logs and metric labels.
    pub fn place(self) -> &'static str {
        match self {
            Self::Held(_) => "held",
            Self::Queued(tier) => tier.as_str(),
        }
    }
}

/// Why there is no further attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`Policy::max_attempts`] were made.
    Attempts,
    /// The next one would start after [`Policy::deadline`].
    Deadline,
}

impl Limit {
    /// For a person.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attempts => "all attempts used",
            Self::Deadline => "no time left for another attempt",
        }
    }
}

impl Policy {
    /// The ceilings of the delays, one after the other. They never end.
    pub fn ceilings(&self) -> ExponentialBackoff {
        ExponentialBuilder::new()
            .with_min_delay(self.base_delay)
            .with_max_delay(self.max_delay)
            .with_factor(GROWTH)
            .without_max_times()
            .build()
    }

    /// What comes after so many attempts if this is the delay that was drawn. `held` is the time that the job has been in
    /// hand, `age` the time since its first attempt ever.
    pub fn next(&self, made: u32, delay: Duration, held: Duration, age: Duration) -> Next {
        if made >= self.max_attempts {
            return Next::GiveUp(Limit::Attempts);
        }
        let wait = self.place(delay, held);
        if age.saturating_add(wait.delay()) > self.deadline {
            return Next::GiveUp(Limit::Deadline);
        }
        Next::Wait(wait)
    }

    /// Where a wait is spent by a job that has been in hand for `held`.
    pub fn place(&self, delay: Duration, held: Duration) -> Wait {
        if delay <= self.hold && held.saturating_add(delay) <= HELD_MAX {
            Wait::Held(delay)
        } else {
            Wait::Queued(Tier::at_least(delay))
        }
    }
}

/// The attempts of one job. Pure: told the time, asked for a decision.
#[derive(Debug)]
pub struct Attempts {
    policy: Policy,
    ceilings: ExponentialBackoff,
    random: fastrand::Rng,
    made: u32,
}

impl Attempts {
    /// Goes on counting after the attempts `made` by earlier deliveries; `random` is where the jitter comes from.
    pub fn new(policy: &Policy, made: u32, random: fastrand::Rng) -> Self {
        let mut ceilings = policy.ceilings();
        for _ in 0..made.min(policy.max_attempts) {
            ceilings.next();
        }
        Self { policy: *policy, ceilings, random, made }
    }

    /// An attempt begins.
    pub fn start(&mut self) {
        self.made = self.made.saturating_add(1);
    }

    /// Attempts made so far.
    pub fn made(&self) -> u32 {
        self.made
    }

    /// The last attempt failed and another may help: when?
    ///
    /// `held` is the time that the job has been in hand, `age` the time since its first attempt ever.
    pub fn after_failure(&mut self, retry_after: Option<Duration>, held: Duration, age: Duration) -> Next {
        let ceiling = self.ceilings.next().unwrap_or(self.policy.max_delay);
        let floor = retry_after.unwrap_or_default().min(self.policy.max_retry_after);
        let delay = floor.saturating_add(ceiling.mul_f64(self.random.f64()));
        self.policy.next(self.made, delay, held, age)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn policy() -> Policy {
        Policy {
            max_attempts: 12,
            base_delay: SECOND / 2,
            max_delay: SECOND * 3600,
            max_retry_after: SECOND * 3600,
            hold: SECOND * 5,
            deadline: SECOND * 86_400,
        }
    }

    fn seeded(policy: &Policy, made: u32, seed: u64) -> Attempts {
        Attempts::new(policy, made, fastrand::Rng::with_seed(seed))
    }

    fn wait(attempts: &mut Attempts, retry_after: Option<Duration>) -> Wait {
        attempts.start();
        match attempts.after_failure(retry_after, Duration::ZERO, Duration::ZERO) {
            Next::Wait(wait) => wait,
            Next::GiveUp(limit) => panic!("{limit:?}"),
        }
    }

    #[test]
    fn the_first_attempt_counts_and_so_do_those_of_earlier_deliveries() {
        let policy = Policy { max_attempts: 5, ..policy() };
        let mut attempts = seeded(&policy, 3, 1);
        wait(&mut attempts, None);
        attempts.start();
        let next = attempts.after_failure(None, Duration::ZERO, Duration::ZERO);
        assert_eq!(next, Next::GiveUp(Limit::Attempts));
        assert_eq!(attempts.made(), 5);
    }

    #[test]
    fn no_attempt_starts_after_the_deadline() {
        let mut attempts = seeded(&policy(), 0, 1);
        attempts.start();
        let next = attempts.after_failure(Some(SECOND), Duration::ZERO, policy().deadline);
        assert_eq!(next, Next::GiveUp(Limit::Deadline));
    }

    #[test]
    fn jitter_reaches_down_to_zero_and_up_to_the_ceiling() {
        let firsts: Vec<Duration> =
            (0..1_000).map(|seed| wait(&mut seeded(&policy(), 0, seed), None).delay()).collect();
        assert!(firsts.iter().any(|delay| *delay < Duration::from_millis(25)));
        assert!(firsts.iter().any(|delay| *delay > Duration::from_millis(475)));
        assert!(firsts.iter().all(|delay| *delay <= Duration::from_millis(500)));
    }

    #[test]
    fn a_short_wait_is_held_and_a_long_one_queued_and_nothing_is_held_for_ever() {
        let policy = policy();
        assert_eq!(policy.place(SECOND * 5, Duration::ZERO), Wait::Held(SECOND * 5));
        assert_eq!(policy.place(SECOND * 6, Duration::ZERO), Wait::Queued(Tier::TenSeconds));
        assert_eq!(policy.place(SECOND * 300, Duration::ZERO), Wait::Queued(Tier::TenMinutes));
        assert_eq!(policy.place(SECOND, HELD_MAX), Wait::Queued(Tier::TenSeconds));
    }

    #[test]
    fn by_default_a_service_may_be_away_for_hours() {
        let total: Duration = (0..100)
            .map(|seed| {
                let mut attempts = seeded(&policy(), 0, seed);
                (1..12).map(|_| wait(&mut attempts, None).delay()).sum::<Duration>()
            })
            .sum::<Duration>()
            / 100;
        assert!(total > SECOND * 3600 * 3 && total < SECOND * 3600 * 6, "{total:?}");
    }

    proptest! {
        #[test]
        fn delays_stay_under_their_growing_ceilings(seed in any::<u64>()) {
            let policy = Policy { hold: SECOND * 3600, ..policy() };
            let policy = Policy { max_delay: SECOND * 100, ..policy };
            let mut attempts = seeded(&policy, 0, seed);
            let mut ceiling = policy.base_delay;
            for _ in 0..11 {
                prop_assert!(wait(&mut attempts, None).delay() <= ceiling);
                ceiling = (ceiling * 4).min(policy.max_delay);
            }
        }

        #[test]
        fn retry_after_is_a_capped_floor(seed in any::<u64>(), asked in any::<u64>()) {
            let policy = policy();
            let delay = wait(&mut seeded(&policy, 0, seed), Some(Duration::from_secs(asked))).delay();
            prop_assert!(delay >= Duration::from_secs(asked).min(policy.max_retry_after));
        }
    }
}
