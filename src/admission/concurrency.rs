//! How many calls of one part may be in flight: as many as Flow Service bears. Pure: takes the time as an argument.
//!
//! An adaptive concurrency limit like Vector's and Netflix's gradient limits: it falls when calls fail of overload or take
//! much longer than they used to, and rises step by step while neither happens and the limit is used. It begins at its
//! maximum, because a limit that has to grow first would cost each start its speed. It does not react to 429s: those limit
//! a rate, see [`super::rate`].

use std::time::Duration;

use tokio::time::Instant;

/// How much a new duration counts for what calls take just now.
const EWMA_WEIGHT: f64 = 0.1;

/// What they usually take falls at once and rises slowly, within such a time: what is slow for long is usual in the end.
const BASELINE_TIME: Duration = Duration::from_secs(120);

/// Calls that take so many times as long as usual are a sign of overload,
const LATENCY_RATIO: f64 = 2.0;

/// if they take at least so long: below that it may be this machine that is busy.
const LATENCY_FLOOR: Duration = Duration::from_millis(500);

/// Fewer failures than this share of the calls are no sign of overload.
const FAILURE_SHARE: f64 = 0.1;

/// What the limit is cut to when calls become slow.
const DECREASE_FACTOR: f64 = 0.9;

/// What it grows by at a time.
const INCREASE_FACTOR: f64 = 1.1;

/// The limit does not fall below this share of the highest: an organisation whose calls fail has to find out when they do
/// no longer.
const MIN_FRACTION: f64 = 1.0 / 32.0;

/// It changes at most as often as this, and at most once in the time that a call takes, so that it sees what a change does;
const MIN_STEP: Duration = Duration::from_millis(200);

/// but also if there are few calls, or they take very long.
const MAX_STEP: Duration = Duration::from_secs(2);

/// Jobs that may be in flight for each call that may: the next one is there when a call ends.
const JOBS_PER_CALL: f64 = 2.0;

/// A limit that adapts.
#[derive(Debug)]
pub(super) struct ConcurrencyLimit {
    max: f64,
    adaptive: bool,
    now: f64,
    /// What calls take just now and what they usually take, in seconds; nothing before the first.
    fast: Option<f64>,
    usual: f64,
    /// When that was last adapted.
    adapted: Instant,
    step: Step,
}

/// What has happened since the limit last changed.
#[derive(Debug)]
struct Step {
    began: Instant,
    calls: u32,
    failures: u32,
    /// The most calls that were under way at once.
    used: u32,
}

impl Step {
    fn new(began: Instant) -> Self {
        Self { began, calls: 0, failures: 0, used: 0 }
    }
}

impl ConcurrencyLimit {
    /// At most this many calls; with `adaptive`, fewer while Flow Service bears no more.
    pub(super) fn new(most: u32, adaptive: bool, now: Instant) -> Self {
        let max = f64::from(most.max(1));
        Self { max, adaptive, now: max, fast: None, usual: 0.0, adapted: now, step: Step::new(now) }
    }

    /// From now on at most so many calls. What was learnt holds, below that.
    pub(super) fn set_max(&mut self, most: u32) {
        let most = f64::from(most.max(1));
        let at_the_top = self.now >= self.max;
        self.now = if at_the_top { most } else { self.now.min(most) };
        self.max = most;
    }

    /// The limit for now.
    pub(super) fn value(&self) -> f64 {
        self.now.floor()
    }

    /// The most jobs in flight that there is any use in, while the limit is below its maximum.
    pub(super) fn jobs_max(&self) -> Option<u32> {
        (self.now < self.max).then(|| whole(self.now * JOBS_PER_CALL))
    }

    /// Whether one more call may begin while so many are under way.
    pub(super) fn allows(&self, in_flight: u32) -> bool {
        f64::from(in_flight) + 1.0 <= self.now
    }

    /// A call began; so many are under way with it.
    pub(super) fn began(&mut self, in_flight: u32) {
        self.step.used = self.step.used.max(in_flight);
    }

    /// A call was answered, as it should be or with a refusal.
    pub(super) fn record_success(&mut self, began: Instant, now: Instant) {
        let took = now.saturating_duration_since(began).as_secs_f64();
        let fast = self.fast.map_or(took, |fast| fast + EWMA_WEIGHT * (took - fast));
        if self.fast.replace(fast).is_none() {
            self.usual = took;
        }
        let passed = now.saturating_duration_since(self.adapted).div_duration_f64(BASELINE_TIME).min(1.0);
        self.adapted = now;
        self.usual = (self.usual + passed * (fast - self.usual)).min(fast);
        self.ended(began, now, false);
    }

    /// A call has ended that was answered; or that `failed`, as calls do when the other side has too much to do.
    pub(super) fn ended(&mut self, began: Instant, now: Instant, failed: bool) {
        // What was begun before the limit changed says nothing about it.
        if began >= self.step.began {
            self.step.calls = self.step.calls.saturating_add(1);
            self.step.failures = self.step.failures.saturating_add(u32::from(failed));
        }
        let usually = Duration::try_from_secs_f64(self.fast.unwrap_or_default()).unwrap_or(MAX_STEP);
        let passed = now.saturating_duration_since(self.step.began);
        let enough = f64::from(self.step.calls) * 2.0 >= self.now || passed >= MAX_STEP;
        if self.adaptive && enough && passed >= usually.clamp(MIN_STEP, MAX_STEP) {
            self.change(now);
        }
    }

    fn change(&mut self, now: Instant) {
        let step = std::mem::replace(&mut self.step, Step::new(now));
        let failures = f64::from(step.failures) / f64::from(step.calls.max(1));
        self.now = if failures > FAILURE_SHARE {
            self.now * (1.0 - failures / 2.0)
        } else if self.is_slow() {
            self.now * DECREASE_FACTOR
        } else if f64::from(step.used) * 2.0 >= self.now {
            (self.now * INCREASE_FACTOR).max(self.now + 1.0)
        } else {
            self.now
        }
        .clamp((self.max * MIN_FRACTION).max(1.0), self.max);
    }

    fn is_slow(&self) -> bool {
        self.fast
            .is_some_and(|fast| fast >= LATENCY_FLOOR.as_secs_f64() && fast >= LATENCY_RATIO * self.usual)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and it saturates")]
pub(super) fn whole(number: f64) -> u32 {
    number.ceil() as u32
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Rounds of calls, as many at once as the limit allows; each takes `took`, and of ten `failing` fail.
    async fn rounds(limit: &mut ConcurrencyLimit, number: u32, took: Duration, failing: u32) {
        for _ in 0..number {
            let began = Instant::now();
            let mut in_flight = 0;
            while limit.allows(in_flight) {
                in_flight += 1;
                limit.began(in_flight);
            }
            advance(took).await;
            for call in 0..in_flight {
                if call % 10 < failing {
                    limit.ended(began, Instant::now(), true);
                } else {
                    limit.record_success(began, Instant::now());
                }
            }
        }
    }

    fn at(limit: &ConcurrencyLimit, value: f64) -> bool {
        (limit.value() - value).abs() < 0.5
    }

    #[tokio::test(start_paused = true)]
    async fn it_begins_at_the_top_and_stays_there_while_all_is_well() {
        let mut limit = ConcurrencyLimit::new(256, true, Instant::now());
        rounds(&mut limit, 100, SECOND / 3, 0).await;
        assert!(at(&limit, 256.0));
        assert!(limit.allows(255) && !limit.allows(256));
    }

    #[tokio::test(start_paused = true)]
    async fn another_top_moves_it_only_if_it_stood_there_or_above() {
        let mut limit = ConcurrencyLimit::new(256, true, Instant::now());
        limit.set_max(64);
        assert!(at(&limit, 64.0));
        limit.set_max(128);
        assert!(at(&limit, 128.0));
        rounds(&mut limit, 30, SECOND / 3, 10).await;
        let learnt = limit.value();
        assert!(learnt < 10.0, "{learnt}");
        limit.set_max(256);
        assert!(at(&limit, learnt));
        limit.set_max(2);
        assert!(at(&limit, 2.0));
    }

    #[tokio::test(start_paused = true)]
    async fn it_falls_while_calls_fail_and_grows_when_they_do_no_longer() {
        let mut limit = ConcurrencyLimit::new(256, true, Instant::now());
        rounds(&mut limit, 30, SECOND / 3, 10).await;
        assert!(at(&limit, 8.0), "{}", limit.value());
        rounds(&mut limit, 5, SECOND / 3, 0).await;
        assert!(limit.value() > 10.0 && limit.value() < 20.0, "{}", limit.value());
        rounds(&mut limit, 50, SECOND / 3, 0).await;
        assert!(at(&limit, 256.0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_failures_are_no_overload() {
        let mut limit = ConcurrencyLimit::new(200, true, Instant::now());
        rounds(&mut limit, 100, SECOND / 3, 1).await;
        assert!(at(&limit, 200.0), "{}", limit.value());
    }

    #[tokio::test(start_paused = true)]
    async fn it_falls_when_calls_become_slow_and_not_for_ever() {
        let mut limit = ConcurrencyLimit::new(256, true, Instant::now());
        rounds(&mut limit, 20, SECOND / 3, 0).await;
        rounds(&mut limit, 10, SECOND * 2, 0).await;
        assert!(limit.value() < 150.0, "{}", limit.value());
        rounds(&mut limit, 200, SECOND * 2, 0).await;
        assert!(limit.value() > 100.0, "slow is usual by now: {}", limit.value());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_slow_only_because_this_machine_is_busy_does_not_count() {
        let mut limit = ConcurrencyLimit::new(256, true, Instant::now());
        rounds(&mut limit, 20, SECOND / 100, 0).await;
        rounds(&mut limit, 20, SECOND / 4, 0).await;
        assert!(at(&limit, 256.0));
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_not_grow_while_nobody_makes_use_of_it() {
        let mut limit = ConcurrencyLimit::new(256, true, Instant::now());
        rounds(&mut limit, 30, SECOND / 3, 10).await;
        for _ in 0..100 {
            let began = Instant::now();
            limit.began(1);
            advance(SECOND / 3).await;
            limit.record_success(began, Instant::now());
        }
        assert!(limit.value() < 10.0, "{}", limit.value());
    }
}
