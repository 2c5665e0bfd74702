//! The retry budget of a part: keeps repeated calls from multiplying the load on a failing service. Pure: takes the time as
//! an argument.
//!
//! A bucket of tokens, of which a repeated call that fails takes some and every call that succeeds gives some; calls are
//! repeated only while it is more than half full. That is the retry throttling of gRPC (gRFC A6), with the capacity and costs
//! of the AWS SDKs' standard retry mode (`aws-smithy-runtime`): 500, 14 for a failure, 5 for a 429. It takes nothing from
//! jobs that come again while all is well, as after a replay. The bucket also fills by itself and is never below zero,
//! so that it recovers whatever happened.

use tokio::time::Instant;

use crate::flow::FailureKind;

/// Tokens that a full bucket holds.
const CAPACITY: f64 = 500.0;

/// Calls are repeated while there is more than this share of it.
const ENOUGH: f64 = 0.5;

/// Tokens that come by themselves in a second: for two repeated calls that fail, every three seconds.
const REFILL: f64 = 10.0;

/// What a repeated call takes that fails,
const FAILURE: f64 = 14.0;

/// and one that is answered with 429.
const THROTTLED: f64 = 5.0;

/// The tokens there are.
#[derive(Debug)]
pub(super) struct Budget {
    capacity: f64,
    tokens: f64,
    /// What a call gives that succeeds, repeated or not: where repeats succeed, there is a use in them.
    reward: f64,
    filled_at: Instant,
}

impl Budget {
    /// A full one. In the long run as many repeated calls may fail as are `share` of the calls that succeed; with 1 there is
    /// no bound.
    pub(super) fn new(share: f64, now: Instant) -> Self {
        let capacity = if share < 1.0 { CAPACITY } else { f64::INFINITY };
        Self { capacity, tokens: capacity, reward: share * FAILURE, filled_at: now }
    }

    /// How much there is, from 0 to 1.
    pub(super) fn level(&mut self, now: Instant) -> f64 {
        self.fill(now);
        if self.capacity.is_finite() { self.tokens / self.capacity } else { 1.0 }
    }

    /// Whether calls may be repeated.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        self.level(now) > ENOUGH
    }

    /// A call has ended, the first of its job or a repeated one.
    pub(super) fn ended(&mut self, repeated: bool, failure: Option<FailureKind>) {
        let change = match (repeated, failure) {
            (true, Some(FailureKind::Throttled)) => -THROTTLED,
            (true, Some(_)) => -FAILURE,
            (_, None) => self.reward,
            (false, Some(_)) => 0.0,
        };
        self.tokens = (self.tokens + change).clamp(0.0, self.capacity);
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled_at);
        self.filled_at = now;
        self.tokens = (self.tokens + passed.as_secs_f64() * REFILL).min(self.capacity);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    /// Repeats a call that fails, if that is allowed.
    fn repeat(budget: &mut Budget, kind: FailureKind) -> bool {
        let allows = budget.allows(Instant::now());
        if allows {
            budget.ended(true, Some(kind));
        }
        allows
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_repeats_fail_in_a_row_and_no_more() {
        for (kind, most) in [(FailureKind::Timeout, 18), (FailureKind::Throttled, 50)] {
            let mut budget = Budget::new(0.2, Instant::now());
            assert_eq!((0..1_000).filter(|_| repeat(&mut budget, kind)).count(), most);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn in_the_long_run_as_many_repeats_fail_as_the_share_allows() {
        let mut budget = Budget::new(0.2, Instant::now());
        while repeat(&mut budget, FailureKind::NotSent) {}
        let repeats = (0..10_000).filter(|_| {
            budget.ended(false, None);
            repeat(&mut budget, FailureKind::NotSent)
        });
        assert!((1_990..=2_010).contains(&repeats.count()));
    }

    /// At the end of an ill time, when no first calls come any more and nine repeats in ten succeed.
    #[tokio::test(start_paused = true)]
    async fn who_succeeds_in_the_end_is_not_held_back_for_having_been_repeated() {
        let mut budget = Budget::new(0.2, Instant::now());
        let mut failed = 0;
        for call in 0..10_000 {
            let fails = call % 10 < 3;
            budget.ended(false, fails.then_some(FailureKind::Unavailable));
            failed += u32::from(fails);
        }
        let mut held_back = 0;
        for call in 0..failed {
            let fails = call % 10 == 9;
            held_back += u32::from(!budget.allows(Instant::now()));
            budget.ended(true, fails.then_some(FailureKind::Unavailable));
        }
        assert_eq!(held_back, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn if_all_calls_may_be_repeats_there_is_no_bound() {
        let mut budget = Budget::new(1.0, Instant::now());
        assert!((0..10_000).all(|_| repeat(&mut budget, FailureKind::Timeout)));
        assert!(budget.level(Instant::now()) >= 1.0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_succeeds_and_what_fails_for_the_first_time_costs_nothing() {
        let mut budget = Budget::new(0.2, Instant::now());
        for _ in 0..1_000 {
            budget.ended(true, None);
            budget.ended(false, Some(FailureKind::Timeout));
        }
        assert!(budget.level(Instant::now()) >= 1.0);
    }

    #[tokio::test(start_paused = true)]
    async fn it_recovers_by_itself_however_much_was_taken_and_is_never_fuller_than_full() {
        let mut budget = Budget::new(0.2, Instant::now());
        (0..1_000).for_each(|_| budget.ended(true, Some(FailureKind::Timeout)));
        assert!(budget.level(Instant::now()) <= 0.0);
        advance(Duration::from_secs(26)).await;
        assert!(repeat(&mut budget, FailureKind::Timeout));
        advance(Duration::from_secs(3_600)).await;
        assert_eq!((0..1_000).filter(|_| repeat(&mut budget, FailureKind::Timeout)).count(), 18);
    }
}
