//! How many calls of an organisation may be under way: as many as the other side bears. Pure: told the time and how calls
//! ended.
//!
//! As Vector's adaptive concurrency and Netflix's gradient limits do it: down by a part when calls fail of overload or take
//! much longer than they used to, up step by step while neither happens and the limit is made use of. It begins at the
//! top, because a limit that has to grow first would cost each start-up its speed. It does not react to 429s: those tell
//! of a rate, and [`super::pace`] does.

use std::time::Duration;

use tokio::time::Instant;

/// How much a new duration counts for what calls take just now.
const FAST: f64 = 0.1;

/// What they usually take falls at once and rises slowly, within such a time: what is slow for long is usual in the end.
const USUAL: Duration = Duration::from_secs(120);

/// Calls that take so many times as long as usual are a sign of overload,
const SLOWER: f64 = 2.0;

/// if they take at least so long: below that it may be this machine that is busy.
const SLOW_MIN: Duration = Duration::from_millis(500);

/// Fewer failures than this share of the calls are no sign of overload.
const FAILURES_MIN: f64 = 0.1;

/// What the limit is cut to when calls become slow.
const CUT: f64 = 0.9;

/// What it grows by at a time.
const GROWTH: f64 = 1.1;

/// The limit does not fall below this share of the highest: an organisation whose calls fail has to find out when they do
/// no longer.
const LEAST: f64 = 1.0 / 32.0;

/// It changes at most as often as this, and at most once in the time that a call takes, so that it sees what a change does;
const STEP_MIN: Duration = Duration::from_millis(200);

/// but also if there are few calls, or they take very long.
const STEP_MAX: Duration = Duration::from_secs(2);

/// A limit that adapts.
#[derive(Debug)]
pub(super) struct Limit {
    most: f64,
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

impl Limit {
    /// At most so many calls.
    pub(super) fn new(most: u32, now: Instant) -> Self {
        let most = f64::from(most.max(1));
        Self { most, now: most, fast: None, usual: 0.0, adapted: now, step: Step::new(now) }
    }

    /// From now on at most so many calls. What was learnt holds, below that.
    pub(super) fn set_most(&mut self, most: u32) {
        let most = f64::from(most.max(1));
        let at_the_top = self.now >= self.most;
        self.now = if at_the_top { most } else { self.now.min(most) };
        self.most = most;
    }

    /// The limit for now.
    pub(super) fn value(&self) -> f64 {
        self.now.floor()
    }

    /// Whether one more call may begin while so many are under way.
    pub(super) fn allows(&self, under_way: u32) -> bool {
        f64::from(under_way) + 1.0 <= self.now
    }

    /// A call began; so many are under way with it.
    pub(super) fn began(&mut self, under_way: u32) {
        self.step.used = self.step.used.max(under_way);
    }

    /// A call was answered, as it should be or with a refusal.
    pub(super) fn well(&mut self, began: Instant, now: Instant) {
        let took = now.saturating_duration_since(began).as_secs_f64();
        let fast = self.fast.map_or(took, |fast| fast + FAST * (took - fast));
        if self.fast.replace(fast).is_none() {
            self.usual = took;
        }
        let passed = now.saturating_duration_since(self.adapted).div_duration_f64(USUAL).min(1.0);
        self.adapted = now;
        self.usual = (self.usual + passed * (fast - self.usual)).min(fast);
        self.ended(began, now, false);
    }

    /// A call ended as it does when the other side has too much to do.
    pub(super) fn overloaded(&mut self, began: Instant, now: Instant) {
        self.ended(began, now, true);
    }

    fn ended(&mut self, began: Instant, now: Instant, failed: bool) {
        // What was begun before the limit changed says nothing about it.
        if began >= self.step.began {
            self.step.calls = self.step.calls.saturating_add(1);
            self.step.failures = self.step.failures.saturating_add(u32::from(failed));
        }
        let usually = Duration::try_from_secs_f64(self.fast.unwrap_or_default()).unwrap_or(STEP_MAX);
        let passed = now.saturating_duration_since(self.step.began);
        let enough = f64::from(self.step.calls) * 2.0 >= self.now || passed >= STEP_MAX;
        if enough && passed >= usually.clamp(STEP_MIN, STEP_MAX) {
            self.change(now);
        }
    }

    fn change(&mut self, now: Instant) {
        let step = std::mem::replace(&mut self.step, Step::new(now));
        let failures = f64::from(step.failures) / f64::from(step.calls.max(1));
        self.now = if failures > FAILURES_MIN {
            self.now * (1.0 - failures / 2.0)
        } else if self.is_slow() {
            self.now * CUT
        } else if f64::from(step.used) * 2.0 >= self.now {
            (self.now * GROWTH).max(self.now + 1.0)
        } else {
            self.now
        }
        .clamp((self.most * LEAST).max(1.0), self.most);
    }

    fn is_slow(&self) -> bool {
        self.fast.is_some_and(|fast| fast >= SLOW_MIN.as_secs_f64() && fast >= SLOWER * self.usual)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Rounds of calls, as many at once as the limit allows; each takes `took`, and of ten `failing` fail.
    async fn rounds(limit: &mut Limit, number: u32, took: Duration, failing: u32) {
        for _ in 0..number {
            let began = Instant::now();
            let mut under_way = 0;
            while limit.allows(under_way) {
                under_way += 1;
                limit.began(under_way);
            }
            advance(took).await;
            for call in 0..under_way {
                if call % 10 < failing {
                    limit.overloaded(began, Instant::now());
                } else {
                    limit.well(began, Instant::now());
                }
            }
        }
    }

    fn at(limit: &Limit, value: f64) -> bool {
        (limit.value() - value).abs() < 0.5
    }

    #[tokio::test(start_paused = true)]
    async fn it_begins_at_the_top_and_stays_there_while_all_is_well() {
        let mut limit = Limit::new(256, Instant::now());
        rounds(&mut limit, 100, SECOND / 3, 0).await;
        assert!(at(&limit, 256.0));
        assert!(limit.allows(255) && !limit.allows(256));
    }

    #[tokio::test(start_paused = true)]
    async fn another_top_moves_it_only_if_it_stood_there_or_above() {
        let mut limit = Limit::new(256, Instant::now());
        limit.set_most(64);
        assert!(at(&limit, 64.0));
        limit.set_most(128);
        assert!(at(&limit, 128.0));
        rounds(&mut limit, 30, SECOND / 3, 10).await;
        let learnt = limit.value();
        assert!(learnt < 10.0, "{learnt}");
        limit.set_most(256);
        assert!(at(&limit, learnt));
        limit.set_most(2);
        assert!(at(&limit, 2.0));
    }

    #[tokio::test(start_paused = true)]
    async fn it_falls_while_calls_fail_and_grows_when_they_do_no_longer() {
        let mut limit = Limit::new(256, Instant::now());
        rounds(&mut limit, 30, SECOND / 3, 10).await;
        assert!(at(&limit, 8.0), "{}", limit.value());
        rounds(&mut limit, 5, SECOND / 3, 0).await;
        assert!(limit.value() > 10.0 && limit.value() < 20.0, "{}", limit.value());
        rounds(&mut limit, 50, SECOND / 3, 0).await;
        assert!(at(&limit, 256.0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_failures_are_no_overload() {
        let mut limit = Limit::new(200, Instant::now());
        rounds(&mut limit, 100, SECOND / 3, 1).await;
        assert!(at(&limit, 200.0), "{}", limit.value());
    }

    #[tokio::test(start_paused = true)]
    async fn it_falls_when_calls_become_slow_and_not_for_ever() {
        let mut limit = Limit::new(256, Instant::now());
        rounds(&mut limit, 20, SECOND / 3, 0).await;
        rounds(&mut limit, 10, SECOND * 2, 0).await;
        assert!(limit.value() < 150.0, "{}", limit.value());
        rounds(&mut limit, 200, SECOND * 2, 0).await;
        assert!(limit.value() > 100.0, "slow is usual by now: {}", limit.value());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_slow_only_because_this_machine_is_busy_does_not_count() {
        let mut limit = Limit::new(256, Instant::now());
        rounds(&mut limit, 20, SECOND / 100, 0).await;
        rounds(&mut limit, 20, SECOND / 4, 0).await;
        assert!(at(&limit, 256.0));
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_not_grow_while_nobody_makes_use_of_it() {
        let mut limit = Limit::new(256, Instant::now());
        rounds(&mut limit, 30, SECOND / 3, 10).await;
        for _ in 0..100 {
            let began = Instant::now();
            limit.began(1);
            advance(SECOND / 3).await;
            limit.well(began, Instant::now());
        }
        assert!(limit.value() < 10.0, "{}", limit.value());
    }
}
