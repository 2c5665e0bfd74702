//! A circuit breaker: whether something is well enough to be called. Pure: told the time and how calls ended.
//!
//! No crate is used for it. The ones that are kept up (failsafe's kin, the tower layers) wrap a call and know only success
//! and error; here an answer can speak for the service and against one organisation, a refused secret opens at once, and a
//! call that was begun before the breaker opened must not count against a probe.

use std::time::Duration;

use tokio::time::Instant;

/// So many parts of the window are forgotten one by one, not all at once.
const PARTS: u32 = 10;

/// A share of fewer calls than this says nothing.
const CALLS_MIN: u32 = 50;

/// Of the pause before a probe at most this share is taken away by chance, so that workers do not probe together.
const JITTER: f64 = 0.25;

/// The first pause before a probe; each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(1);

/// When a breaker opens, and how long it stays so.
#[derive(Debug, Clone, Copy)]
pub struct BreakerRules {
    /// It opens after so many failures in a row; with 0 it does not open for any number of failures,
    pub failures: u32,
    /// or when this share of the calls in a window failed, from 0 to 1.
    pub ratio: f64,
    /// The window.
    pub window: Duration,
    /// Longest pause before a probe.
    pub longest_pause: Duration,
}

/// What a breaker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls are let through.
    Closed,
    /// One call at a time is let through, to see how it ends.
    HalfOpen,
    /// No call is let through.
    Open,
}

/// A call that was let through. Its end counts only as long as the breaker is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// Lets calls through, or not.
#[derive(Debug)]
pub(super) struct Breaker {
    rules: BreakerRules,
    state: State,
    /// Counts the changes of state.
    era: u64,
    /// Pauses in a row without a good end.
    pauses: u32,
    closed_at: Instant,
    opened_at: Instant,
}

#[derive(Debug)]
enum State {
    Closed(Window),
    HalfOpen { probing: bool },
    Open { until: Instant },
}

impl Breaker {
    pub(super) fn new(rules: BreakerRules, now: Instant) -> Self {
        let state = State::Closed(Window::new(rules.window, now));
        Self { rules, state, era: 0, pauses: 0, closed_at: now, opened_at: now }
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.state {
            State::Closed(_) => BreakerState::Closed,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
            State::Open { .. } => BreakerState::Open,
        }
    }

    /// When a probe is due, if it is open.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.state {
            State::Open { until } => Some(until),
            State::Closed(_) | State::HalfOpen { .. } => None,
        }
    }

    /// How long it has not been closed; nothing if it is.
    pub(super) fn ill_for(&self, now: Instant) -> Duration {
        match self.state {
            State::Closed(_) => Duration::ZERO,
            State::HalfOpen { .. } | State::Open { .. } => now.saturating_duration_since(self.opened_at),
        }
    }

    /// Whether it lets a call through.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.state, State::Closed(_) | State::HalfOpen { probing: false })
    }

    /// A call goes through, the end of which must be told.
    pub(super) fn admit(&mut self) -> Ticket {
        if let State::HalfOpen { probing } = &mut self.state {
            *probing = true;
        }
        Ticket(self.era)
    }

    /// A call ended well.
    pub(super) fn well(&mut self, ticket: Ticket, now: Instant) {
        if ticket.0 != self.era {
            return;
        }
        match &mut self.state {
            State::Closed(window) => window.count(now, false),
            State::HalfOpen { .. } => self.close(now),
            State::Open { .. } => {}
        }
    }

    /// A call ended badly.
    pub(super) fn ill(&mut self, ticket: Ticket, now: Instant) {
        if ticket.0 != self.era {
            return;
        }
        let opens = match &mut self.state {
            State::Closed(window) => {
                window.count(now, true);
                let too_many = |window: &mut Window| {
                    window.in_a_row >= self.rules.failures || window.share(now) >= self.rules.ratio
                };
                self.rules.failures > 0 && too_many(window)
            }
            State::HalfOpen { .. } => true,
            State::Open { .. } => false,
        };
        if opens {
            self.open(now);
        }
    }

    /// A call ended so badly that no other needs to be made.
    pub(super) fn fatal(&mut self, ticket: Ticket, now: Instant) {
        if ticket.0 == self.era {
            self.open(now);
        }
    }

    /// A call ended in a way that says nothing, or was not made.
    pub(super) fn untold(&mut self, ticket: Ticket) {
        if ticket.0 == self.era
            && let State::HalfOpen { probing } = &mut self.state
        {
            *probing = false;
        }
    }

    /// Opens it, whatever was counted.
    pub(super) fn open(&mut self, now: Instant) {
        if self.state() == BreakerState::Closed {
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

    /// Lets one call through, if it is open.
    pub(super) fn half_open(&mut self) {
        if self.state() == BreakerState::Open {
            self.change(State::HalfOpen { probing: false });
        }
    }

    /// The same, if it is time for a probe.
    pub(super) fn half_open_if_due(&mut self, now: Instant) {
        if self.due().is_some_and(|due| due <= now) {
            self.half_open();
        }
    }

    /// Closes it, whatever was counted.
    pub(super) fn close(&mut self, now: Instant) {
        self.closed_at = now;
        self.change(State::Closed(Window::new(self.rules.window, now)));
    }

    fn change(&mut self, state: State) {
        self.state = state;
        self.era += 1;
    }
}

/// The calls of the last while.
#[derive(Debug)]
struct Window {
    part: Duration,
    parts: [Part; PARTS as usize],
    /// When the newest part began, and which it is.
    began: Instant,
    newest: usize,
    in_a_row: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Part {
    calls: u32,
    failures: u32,
}

impl Window {
    fn new(length: Duration, now: Instant) -> Self {
        let part = (length / PARTS).max(Duration::from_millis(1));
        Self { part, parts: [Part::default(); PARTS as usize], began: now, newest: 0, in_a_row: 0 }
    }

    fn count(&mut self, now: Instant, failed: bool) {
        self.forget(now);
        if let Some(part) = self.parts.get_mut(self.newest) {
            part.calls = part.calls.saturating_add(1);
            part.failures = part.failures.saturating_add(u32::from(failed));
        }
        self.in_a_row = if failed { self.in_a_row.saturating_add(1) } else { 0 };
    }

    /// The share of failures; none if there were too few calls.
    fn share(&mut self, now: Instant) -> f64 {
        self.forget(now);
        let sum = |of: fn(&Part) -> u32| self.parts.iter().map(of).fold(0, u32::saturating_add);
        let (calls, failures) = (sum(|part| part.calls), sum(|part| part.failures));
        if calls < CALLS_MIN { 0.0 } else { f64::from(failures) / f64::from(calls) }
    }

    fn forget(&mut self, now: Instant) {
        for _ in 0..PARTS {
            if now.saturating_duration_since(self.began) < self.part {
                return;
            }
            self.began += self.part;
            self.newest = (self.newest + 1) % self.parts.len();
            if let Some(part) = self.parts.get_mut(self.newest) {
                *part = Part::default();
            }
        }
        // Nothing of it is left.
        self.began = now;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker() -> Breaker {
        let rules = BreakerRules { failures: 5, ratio: 0.5, window: SECOND * 10, longest_pause: SECOND * 4 };
        Breaker::new(rules, Instant::now())
    }

    fn call(breaker: &mut Breaker, well: bool) {
        assert!(breaker.is_ready());
        let ticket = breaker.admit();
        if well { breaker.well(ticket, Instant::now()) } else { breaker.ill(ticket, Instant::now()) }
    }

    fn opened() -> Breaker {
        let mut breaker = breaker();
        (0..5).for_each(|_| call(&mut breaker, false));
        assert_eq!(breaker.state(), BreakerState::Open);
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let mut breaker = breaker();
        for _ in 0..3 {
            (0..4).for_each(|_| call(&mut breaker, false));
            call(&mut breaker, true);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert!(!opened().is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_not_to_open_does_not() {
        let now = Instant::now();
        let mut breaker = Breaker::new(BreakerRules { failures: 0, ..breaker().rules }, now);
        (0..1_000).for_each(|_| call(&mut breaker, false));
        assert_eq!(breaker.state(), BreakerState::Closed);
        let ticket = breaker.admit();
        breaker.fatal(ticket, now);
        assert_eq!(breaker.state(), BreakerState::Open, "but for what no other call needs to find out");
    }

    #[tokio::test(start_paused = true)]
    async fn half_of_many_calls_open_it_and_those_of_long_ago_are_forgotten() {
        let mut breaker = breaker();
        for _ in 0..24 {
            call(&mut breaker, true);
            call(&mut breaker, false);
        }
        advance(SECOND * 11).await;
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
    async fn less_than_half_does_not_open_it_however_many_there_are() {
        let mut breaker = breaker();
        for number in 0..10_000_u32 {
            call(&mut breaker, number % 10 >= 4);
            advance(Duration::from_millis(1)).await;
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn half_open_it_lets_one_call_through_at_a_time() {
        let mut breaker = opened();
        breaker.half_open();
        let probe = breaker.admit();
        assert!(!breaker.is_ready());
        breaker.untold(probe);
        assert!(breaker.is_ready());
        let probe = breaker.admit();
        breaker.well(probe, Instant::now());
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_the_longest_and_are_jittered() {
        let mut breaker = opened();
        for most in [1, 2, 4, 4, 4] {
            let pause = breaker.due().unwrap() - Instant::now();
            assert!(pause <= SECOND * most && pause >= (SECOND * most).mul_f64(1.0 - JITTER), "{pause:?}");
            advance(pause).await;
            breaker.half_open();
            call(&mut breaker, false);
        }
        assert!(breaker.ill_for(Instant::now()) > SECOND * 8);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_well_for_a_moment_only_pauses_on_as_before() {
        for (well_for, most) in [(1, 2), (10, 1)] {
            let mut breaker = opened();
            breaker.half_open();
            call(&mut breaker, true);
            advance(SECOND * well_for).await;
            (0..5).for_each(|_| call(&mut breaker, false));
            let pause = breaker.due().unwrap() - Instant::now();
            assert!(pause <= SECOND * most && pause >= (SECOND * most).mul_f64(1.0 - JITTER), "{pause:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_begun_before_it_changed_does_not_count() {
        let mut breaker = breaker();
        let early = breaker.admit();
        (0..5).for_each(|_| call(&mut breaker, false));
        breaker.half_open();
        breaker.well(early, Instant::now());
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        breaker.ill(early, Instant::now());
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        call(&mut breaker, true);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
