//! A circuit breaker for one part of Flow Service. Pure: takes the time as an argument.
//!
//! No crate is used for it. The maintained ones (failsafe's successors, tower's layers) wrap a call and know only success
//! and error; here one answer counts for an organisation and against one sandbox, evidence that arrives later can close a
//! breaker, and a call that began before the breaker opened must not count against a probe.

use std::time::Duration;

use tokio::time::Instant;

use super::window::WindowCount;

/// A share of fewer calls than this says nothing.
const CALLS_MIN: f64 = 50.0;

/// A random share of the pause before a probe, up to this one, is left out, so that workers do not probe together.
const JITTER: f64 = 0.25;

/// The first pause before a probe; each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(1);

/// A probe that has not ended after this time says nothing yet: another one may be made beside it.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// When a breaker opens, and how long it stays so.
#[derive(Debug, Clone, Copy)]
pub struct BreakerRules {
    /// Failures in a row that open it; with 0 no number of failures does.
    pub failures: u32,
    /// Share of failed calls in a window that opens it, from 0 to 1.
    pub ratio: f64,
    /// Length of the window.
    pub window: Duration,
    /// Longest pause before a probe.
    pub longest_pause: Duration,
}

/// A call that was let through. Its end counts only as long as the breaker is as it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// The number of a job, by which its calls are known.
pub(super) type JobNumber = u64;

/// Lets calls through, or not.
#[derive(Debug)]
pub(super) struct Breaker {
    rules: BreakerRules,
    state: State,
    /// Counts the changes of state.
    generation: u64,
    /// Pauses in a row without a success.
    pauses: u32,
    closed_at: Instant,
    opened_at: Instant,
}

#[derive(Debug)]
enum State {
    Closed(Calls),
    /// One job probes: it has a call in flight, or is about to.
    HalfOpen {
        prober: Option<(JobNumber, Instant)>,
    },
    Open {
        until: Instant,
    },
}

impl Breaker {
    pub(super) fn new(rules: BreakerRules, now: Instant) -> Self {
        let state = State::Closed(Calls::new(rules.window, now));
        Self { rules, state, generation: 0, pauses: 0, closed_at: now, opened_at: now }
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed(_))
    }

    /// When a probe is due, if it is open.
    pub(super) fn next_probe_at(&self) -> Option<Instant> {
        match self.state {
            State::Open { until } => Some(until),
            State::Closed(_) | State::HalfOpen { .. } => None,
        }
    }

    /// Since when it has not been closed, if it is not.
    pub(super) fn open_since(&self) -> Option<Instant> {
        (!self.is_closed()).then_some(self.opened_at)
    }

    /// Until when it holds a call of this job back, if it does: always later than `now`. An open one is half-open as soon as
    /// a probe is due.
    pub(super) fn holds_back(&mut self, job: JobNumber, now: Instant) -> Option<Instant> {
        if self.next_probe_at().is_some_and(|due| due <= now) {
            self.half_open();
        }
        let until = match self.state {
            State::Closed(_) | State::HalfOpen { prober: None } => None,
            State::HalfOpen { prober: Some((prober, _)) } if prober == job => None,
            State::HalfOpen { prober: Some((_, since)) } => Some(since + PROBE_TIMEOUT),
            State::Open { until } => Some(until),
        };
        until.filter(|until| *until > now)
    }

    /// The next call of this job is let through; if the breaker is half-open, no other.
    pub(super) fn claim(&mut self, job: JobNumber, now: Instant) {
        if let State::HalfOpen { prober } = &mut self.state
            && prober.is_none_or(|(prober, _)| prober != job)
        {
            *prober = Some((job, now));
        }
    }

    /// A call goes through, the end of which must be recorded.
    pub(super) fn admit(&mut self, job: JobNumber, now: Instant) -> Ticket {
        self.claim(job, now);
        Ticket(self.generation)
    }

    /// A call succeeded.
    pub(super) fn record_success(&mut self, ticket: Ticket, now: Instant) {
        match &mut self.state {
            State::Closed(calls) => calls.count(now, false),
            State::HalfOpen { .. } if ticket.0 == self.generation => self.close(now),
            State::HalfOpen { .. } | State::Open { .. } => {}
        }
    }

    /// A call failed.
    pub(super) fn record_failure(&mut self, ticket: Ticket, now: Instant) {
        if ticket.0 != self.generation {
            return;
        }
        let opens = match &mut self.state {
            State::Closed(calls) => {
                calls.count(now, true);
                let too_many = calls.failures_in_a_row >= self.rules.failures
                    || calls.failed_share(now) >= self.rules.ratio;
                self.rules.failures > 0 && too_many
            }
            State::HalfOpen { .. } => true,
            State::Open { .. } => false,
        };
        if opens {
            self.open(now);
        }
    }

    /// A call ended in a way that says nothing, or was not made: the next one may probe.
    pub(super) fn release(&mut self, job: JobNumber) {
        if let State::HalfOpen { prober } = &mut self.state
            && prober.is_some_and(|(prober, _)| prober == job)
        {
            *prober = None;
        }
    }

    /// Opens it, whatever was counted.
    pub(super) fn open(&mut self, now: Instant) {
        if self.is_closed() {
            self.opened_at = now;
            // One that was closed for a moment only goes on as if it had not been.
            if now.saturating_duration_since(self.closed_at) >= self.rules.window {
                self.pauses = 0;
            }
        }
        let pause = PAUSE.saturating_mul(1 << self.pauses.min(20)).min(self.rules.longest_pause);
        let until = now + pause.mul_f64(1.0 - JITTER * fastrand::f64());
        self.pauses = self.pauses.saturating_add(1);
        self.change(State::Open { until });
    }

    /// Lets one call through before any other.
    pub(super) fn half_open(&mut self) {
        self.change(State::HalfOpen { prober: None });
    }

    /// Closes it, whatever was counted.
    pub(super) fn close(&mut self, now: Instant) {
        self.closed_at = now;
        self.change(State::Closed(Calls::new(self.rules.window, now)));
    }

    fn change(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
    }
}

/// The calls since it closed.
#[derive(Debug)]
struct Calls {
    all: WindowCount,
    failures: WindowCount,
    failures_in_a_row: u32,
}

impl Calls {
    fn new(window: Duration, now: Instant) -> Self {
        let none = || WindowCount::new(window, now);
        Self { all: none(), failures: none(), failures_in_a_row: 0 }
    }

    fn count(&mut self, now: Instant, failed: bool) {
        self.all.add(now);
        self.failures_in_a_row = if failed { self.failures_in_a_row.saturating_add(1) } else { 0 };
        if failed {
            self.failures.add(now);
        }
    }

    /// The share of recent calls that failed; none if there were too few.
    fn failed_share(&mut self, now: Instant) -> f64 {
        let all = self.all.value(now);
        if all < CALLS_MIN { 0.0 } else { self.failures.value(now) / all }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[derive(Debug, PartialEq)]
    enum BreakerState {
        Closed,
        HalfOpen,
        Open,
    }

    impl Breaker {
        fn allows(&mut self, job: JobNumber, now: Instant) -> bool {
            self.holds_back(job, now).is_none()
        }

        fn state(&self) -> BreakerState {
            match self.state {
                State::Closed(_) => BreakerState::Closed,
                State::HalfOpen { .. } => BreakerState::HalfOpen,
                State::Open { .. } => BreakerState::Open,
            }
        }
    }

    fn breaker() -> Breaker {
        let rules = BreakerRules { failures: 5, ratio: 0.5, window: SECOND * 10, longest_pause: SECOND * 4 };
        Breaker::new(rules, Instant::now())
    }

    fn call(breaker: &mut Breaker, succeeds: bool) {
        let now = Instant::now();
        assert!(breaker.allows(1, now));
        let ticket = breaker.admit(1, now);
        if succeeds { breaker.record_success(ticket, now) } else { breaker.record_failure(ticket, now) }
    }

    fn opened() -> Breaker {
        let mut breaker = breaker();
        (0..5).for_each(|_| call(&mut breaker, false));
        assert_eq!(breaker.state(), BreakerState::Open);
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it() {
        let mut breaker = breaker();
        for _ in 0..3 {
            (0..4).for_each(|_| call(&mut breaker, false));
            call(&mut breaker, true);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert!(!opened().allows(1, Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn zero_failures_means_it_never_opens() {
        let now = Instant::now();
        let mut breaker = Breaker::new(BreakerRules { failures: 0, ..breaker().rules }, now);
        (0..1_000).for_each(|_| call(&mut breaker, false));
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn half_of_many_recent_calls_open_it() {
        let mut breaker = breaker();
        for _ in 0..24 {
            call(&mut breaker, true);
            call(&mut breaker, false);
        }
        advance(SECOND * 20).await;
        for _ in 0..24 {
            call(&mut breaker, true);
            call(&mut breaker, false);
        }
        assert_eq!(breaker.state(), BreakerState::Closed, "48 calls are too few");
        call(&mut breaker, true);
        call(&mut breaker, false);
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn fewer_than_half_do_not_open_it() {
        let mut breaker = breaker();
        for number in 0..10_000_u32 {
            call(&mut breaker, number % 10 >= 4);
            advance(Duration::from_millis(1)).await;
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn half_open_it_lets_one_job_probe() {
        let mut breaker = opened();
        breaker.half_open();
        let now = Instant::now();
        breaker.claim(1, now);
        assert!(breaker.allows(1, now) && !breaker.allows(2, now));
        breaker.release(2);
        assert!(!breaker.allows(2, now), "it was not the one that probed");
        breaker.release(1);
        assert!(breaker.allows(2, now));
        assert!(breaker.allows(3, now + PROBE_TIMEOUT), "the first may hang");
        let probe = breaker.admit(2, now);
        breaker.record_success(probe, now);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_the_longest_and_are_jittered() {
        let mut breaker = opened();
        for most in [1, 2, 4, 4, 4] {
            let pause = breaker.next_probe_at().unwrap() - Instant::now();
            assert!(pause <= SECOND * most && pause >= (SECOND * most).mul_f64(1.0 - JITTER), "{pause:?}");
            advance(pause).await;
            breaker.half_open();
            call(&mut breaker, false);
        }
        assert!(breaker.open_since().unwrap().elapsed() > SECOND * 8);
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_recovery_does_not_reset_the_pause() {
        for (recovered_for, most) in [(1, 2), (10, 1)] {
            let mut breaker = opened();
            breaker.half_open();
            call(&mut breaker, true);
            advance(SECOND * recovered_for).await;
            (0..5).for_each(|_| call(&mut breaker, false));
            let pause = breaker.next_probe_at().unwrap() - Instant::now();
            assert!(pause <= SECOND * most && pause >= (SECOND * most).mul_f64(1.0 - JITTER), "{pause:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_begun_before_a_change_do_not_count() {
        let mut breaker = breaker();
        let early = breaker.admit(7, Instant::now());
        (0..5).for_each(|_| call(&mut breaker, false));
        breaker.half_open();
        breaker.record_success(early, Instant::now());
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        breaker.record_failure(early, Instant::now());
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        call(&mut breaker, true);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
