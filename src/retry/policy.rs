//! When a failed job is tried again inside the process, and when that ends.
//!
//! Exponential ceilings with full jitter: the delay is drawn evenly from zero to the ceiling, so that jobs which
//! failed together do not come back together. A `Retry-After` is a floor under the draw, never shortened by the
//! jitter, but capped: a delivery is not held for an hour, so what asks for more is called again sooner than it asked,
//! until the attempts are used up.

use std::time::Duration;

use backon::ExponentialBackoff;

use super::doubling;

/// How often and how long one delivery of a job is tried.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Calls at the most, the first included.
    pub max_attempts: u32,
    /// Ceiling of the first delay; each further one is doubled.
    pub base_delay: Duration,
    /// Highest ceiling.
    pub max_delay: Duration,
    /// Longest `Retry-After` that is waited for.
    pub max_retry_after: Duration,
    /// Time from the first call after which no further one is started. Must stay well below RabbitMQ's
    /// `consumer_timeout` (30 minutes): a delivery is held, unacknowledged, all that time.
    pub deadline: Duration,
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Wait this long, then try again.
    Wait(Duration),
    /// Do not try again.
    GiveUp(Limit),
}

/// Why there is no further attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`Policy::max_attempts`] calls were made.
    Attempts,
    /// The next call would start after [`Policy::deadline`].
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

/// The attempts of one job. Pure: told the time, asked for a decision.
#[derive(Debug)]
pub struct Attempts {
    policy: Policy,
    ceilings: ExponentialBackoff,
    random: fastrand::Rng,
    made: u32,
}

impl Attempts {
    /// Starts counting; `random` is where the jitter comes from.
    pub fn new(policy: &Policy, random: fastrand::Rng) -> Self {
        let ceilings = doubling(policy.base_delay, policy.max_delay);
        Self { policy: *policy, ceilings, random, made: 0 }
    }

    /// A call is about to be made.
    pub fn start(&mut self) {
        self.made += 1;
    }

    /// Calls made so far.
    pub fn made(&self) -> u32 {
        self.made
    }

    /// The last call failed and may be repeated: when?
    pub fn after_failure(&mut self, retry_after: Option<Duration>, since_first_call: Duration) -> Next {
        if self.made >= self.policy.max_attempts {
            return Next::GiveUp(Limit::Attempts);
        }
        let ceiling = self.ceilings.next().unwrap_or(self.policy.max_delay);
        let floor = retry_after.unwrap_or_default().min(self.policy.max_retry_after);
        let delay = floor.saturating_add(ceiling.mul_f64(self.random.f64()));
        if since_first_call.saturating_add(delay) > self.policy.deadline {
            return Next::GiveUp(Limit::Deadline);
        }
        Next::Wait(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy() -> Policy {
        Policy {
            max_attempts: 5,
            base_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(30),
            max_retry_after: Duration::from_secs(60),
            deadline: Duration::from_secs(300),
        }
    }

    fn wait(attempts: &mut Attempts, retry_after: Option<Duration>) -> Duration {
        attempts.start();
        match attempts.after_failure(retry_after, Duration::ZERO) {
            Next::Wait(delay) => delay,
            Next::GiveUp(limit) => panic!("{limit:?}"),
        }
    }

    #[test]
    fn the_first_call_counts_as_an_attempt() {
        let policy = Policy { max_attempts: 2, ..policy() };
        let mut attempts = Attempts::new(&policy, fastrand::Rng::with_seed(1));
        wait(&mut attempts, None);
        attempts.start();
        assert_eq!(attempts.after_failure(None, Duration::ZERO), Next::GiveUp(Limit::Attempts));
        assert_eq!(attempts.made(), 2);
    }

    #[test]
    fn no_call_starts_after_the_deadline() {
        let mut attempts = Attempts::new(&policy(), fastrand::Rng::with_seed(1));
        attempts.start();
        let late = Duration::from_secs(300);
        assert_eq!(attempts.after_failure(Some(Duration::from_secs(1)), late), Next::GiveUp(Limit::Deadline));
    }

    #[test]
    fn jitter_reaches_down_to_zero_and_up_to_the_ceiling() {
        let mut random = fastrand::Rng::with_seed(7);
        let firsts: Vec<Duration> =
            (0..1_000).map(|_| wait(&mut Attempts::new(&policy(), random.fork()), None)).collect();
        assert!(firsts.iter().any(|delay| *delay < Duration::from_millis(25)));
        assert!(firsts.iter().any(|delay| *delay > Duration::from_millis(475)));
        assert!(firsts.iter().all(|delay| *delay <= Duration::from_millis(500)));
    }

    proptest! {
        #[test]
        fn delays_stay_under_their_doubling_ceilings(seed in any::<u64>()) {
            let policy = Policy { max_attempts: 20, ..policy() };
            let mut attempts = Attempts::new(&policy, fastrand::Rng::with_seed(seed));
            let mut ceiling = policy.base_delay;
            for _ in 0..12 {
                prop_assert!(wait(&mut attempts, None) <= ceiling);
                ceiling = (ceiling * 2).min(policy.max_delay);
            }
        }

        #[test]
        fn retry_after_is_a_capped_floor(seed in any::<u64>(), asked in any::<u64>()) {
            let policy = policy();
            let mut attempts = Attempts::new(&policy, fastrand::Rng::with_seed(seed));
            let delay = wait(&mut attempts, Some(Duration::from_secs(asked)));
            let floor = Duration::from_secs(asked).min(policy.max_retry_after);
            prop_assert!(delay >= floor && delay <= floor + policy.base_delay);
        }
    }
}
