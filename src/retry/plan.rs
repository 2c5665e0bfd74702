//! What a policy comes to: the waits after each attempt, and where they are spent. Pure; asks the [`Policy`] itself.

use std::time::Duration;

use super::policy::{HELD_MAX, Limit, Next, Policy, Wait};
use super::tier::Tier;

/// All that a job can go through, when every attempt fails and nobody asks for more time by a `Retry-After`.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The waits, one after each attempt but the last.
    pub steps: Vec<Step>,
    /// What ends it, if every wait takes as long as it can.
    pub limit: Limit,
}

/// The wait after an attempt that failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The attempt: 1 is the first.
    pub attempt: u32,
    /// The delay is drawn evenly from zero to this.
    pub ceiling: Duration,
    /// Where it can be spent, by the delay that was drawn, shortest first.
    pub places: Vec<Place>,
    /// How long after the first attempt the next one starts: on the average,
    pub mean: Duration,
    /// and at the latest. The time that calls take comes on top.
    pub latest: Duration,
}

/// Where a wait can be spent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// In hand, for this long at the most; or in a retry queue.
    pub wait: Wait,
    /// How likely that is, from 0 to 1.
    pub share: f64,
}

impl Plan {
    /// The plan of a job that is always in hand for as short a time as can be.
    pub fn of(policy: &Policy) -> Self {
        let (mut steps, mut mean, mut latest) = (Vec::new(), Duration::ZERO, Duration::ZERO);
        for (attempt, ceiling) in (1..).zip(policy.ceilings()) {
            let wait = match policy.next(attempt, ceiling, Duration::ZERO, latest) {
                Next::Wait(wait) => wait,
                Next::GiveUp(limit) => return Self { steps, limit },
            };
            let (places, drawn) = places(policy, ceiling);
            latest += wait.delay();
            mean += drawn;
            steps.push(Step { attempt, ceiling, places, mean, latest });
        }
        Self { steps, limit: Limit::Attempts }
    }

    /// Attempts, the first included.
    pub fn attempts(&self) -> u32 {
        self.steps.last().map_or(1, |step| step.attempt + 1)
    }
}

/// Where delays up to a ceiling are spent, and how long they take on the average.
fn places(policy: &Policy, ceiling: Duration) -> (Vec<Place>, Duration) {
    let borders = [policy.hold.min(HELD_MAX)].into_iter().chain(Tier::ALL.map(Tier::delay));
    let mut borders: Vec<Duration> = borders.filter(|border| *border < ceiling).chain([ceiling]).collect();
    borders.sort_unstable();
    borders.dedup();
    let (mut places, mut mean, mut from) = (Vec::<Place>::new(), Duration::ZERO, Duration::ZERO);
    for to in borders {
        let share = if ceiling.is_zero() { 1.0 } else { to.saturating_sub(from).div_duration_f64(ceiling) };
        let wait = policy.place(to, Duration::ZERO);
        mean += match wait {
            Wait::Held(_) => (from + to) / 2,
            Wait::Queued(tier) => tier.delay(),
        }
        .mul_f64(share);
        from = to;
        match places.last_mut() {
            Some(last) if last.wait.place() == wait.place() => {
                *last = Place { wait, share: last.share + share }
            }
            _ => places.push(Place { wait, share }),
        }
    }
    (places.into_iter().filter(|place| place.share > 0.0).collect(), mean)
}

#[cfg(test)]
mod tests {
    use super::super::policy::Attempts;
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

    #[test]
    fn a_plan_ends_with_the_attempts_or_with_the_time() {
        let plan = Plan::of(&policy());
        assert_eq!((plan.attempts(), plan.limit), (12, Limit::Attempts));
        let hour = Plan::of(&Policy { deadline: SECOND * 3600, ..policy() });
        assert!(hour.attempts() < 12 && hour.limit == Limit::Deadline, "{hour:?}");
        assert!(hour.steps.iter().all(|step| step.latest <= SECOND * 3600));
        let once = Plan::of(&Policy { max_attempts: 1, ..policy() });
        assert_eq!((once.attempts(), once.steps.len()), (1, 0));
    }

    #[test]
    fn a_delay_of_eight_seconds_is_held_or_spent_in_the_shortest_queue() {
        let plan = Plan::of(&policy());
        let step = &plan.steps[2];
        assert_eq!(step.ceiling, SECOND * 8);
        let expected = [
            Place { wait: Wait::Held(SECOND * 5), share: 0.625 },
            Place { wait: Wait::Queued(Tier::TenSeconds), share: 0.375 },
        ];
        assert_eq!(step.places, expected);
        let total: f64 = plan.steps.iter().flat_map(|step| &step.places).map(|place| place.share).sum();
        assert!((total - 11.0).abs() < 1e-9, "{total}");
    }

    /// What jobs really go through stays within what the plan says.
    #[test]
    fn jobs_keep_to_the_plan() {
        let policy = policy();
        let plan = Plan::of(&policy);
        let mut sums = vec![Duration::ZERO; plan.steps.len()];
        for seed in 0..2_000 {
            let mut attempts = Attempts::new(&policy, 0, fastrand::Rng::with_seed(seed));
            let mut age = Duration::ZERO;
            for (step, sum) in plan.steps.iter().zip(&mut sums) {
                attempts.start();
                let Next::Wait(wait) = attempts.after_failure(None, Duration::ZERO, age) else { panic!() };
                assert!(
                    step.places.iter().any(|place| place.wait.place() == wait.place()),
                    "{step:?} {wait:?}"
                );
                age += wait.delay();
                assert!(age <= step.latest);
                *sum += age;
            }
        }
        for (step, sum) in plan.steps.iter().zip(sums) {
            let seen = sum.as_secs_f64() / 2_000.0;
            let said = step.mean.as_secs_f64();
            assert!(
                (seen / said - 1.0).abs() < 0.1,
                "attempt {}: {seen} s, and the plan says {said} s",
                step.attempt
            );
        }
    }
}
