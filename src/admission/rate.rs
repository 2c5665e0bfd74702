//! How many calls a second an organisation may make: as many as are not answered with 429. Pure: told the time and how
//! calls ended.
//!
//! After a 429 the rate falls below what it was, and then grows along the curve of TCP CUBIC (RFC 9438): fast at first,
//! slowly near the rate that was too high, faster again beyond it, much as in the AWS SDKs' adaptive retry mode. Without a
//! 429 there is no limit but a fixed one that was asked for. Neither is a case for `governor`, whose rates are fixed when a
//! limiter is made.

use std::time::Duration;

use tokio::time::Instant;

use super::window::WindowCount;

/// The rate after a 429, as a share of the one that was too high. The AWS SDKs cut to 0.7; with 0.85 the mean over a cycle
/// stays above nine tenths.
const DECREASE_FACTOR: f64 = 0.85;

/// So many seconds after a 429 the rate is what it was, however high that is. (CUBIC itself and the AWS SDKs fix the steepness
/// of the curve instead: then low rates would be tried so often that one call in twenty is refused.)
const RECOVERY_SECS: f64 = 5.0;

/// It does not fall below this: one call in a second finds out whether more are allowed.
const MIN_RATE: f64 = 1.0;

/// The first 429 does not cut it to less than this: what a few calls measure is no rate.
const FIRST_RATE_MIN: f64 = 10.0;

/// It does not grow beyond this multiple of what is made use of, or it would be no limit when it is needed.
const MAX_OVER_USAGE: f64 = 2.0;

/// A rate is made use of if at least this share of it is.
const UTILISED: f64 = 0.7;

/// Nobody has been refused for so long: then there is no limit.
const FORGET_AFTER: Duration = Duration::from_secs(300);

/// Calls may be ahead of an even pace by so much.
const BURST: Duration = Duration::from_millis(20);

/// A `Retry-After` longer than this holds up every call of the organisation. One second is the shortest that the header can
/// say, and many say it always: then the lower rate is the answer.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// And no longer than this: after it one call finds out whether more are allowed.
const PAUSE_MAX: Duration = Duration::from_secs(60);

const SECOND: Duration = Duration::from_secs(1);

/// A shorter time than this says nothing about a rate, in seconds.
const MIN_SAMPLE: f64 = 0.2;

/// A pace that adapts.
#[derive(Debug)]
pub(super) struct AdaptiveRate {
    /// A limit that was asked for, in calls per second.
    fixed: Option<f64>,
    longest_pause: Duration,
    learned: Option<Learned>,
    /// When the next call is due at an even pace.
    next: Instant,
    /// Answers in the last second, and since when they are counted.
    answers: WindowCount,
    began: Instant,
}

/// A rate that 429s have taught.
#[derive(Debug)]
struct Learned {
    /// What was too much, in calls per second.
    too_high: f64,
    /// When that was last seen.
    at: Instant,
    rate: f64,
}

impl AdaptiveRate {
    /// No limit, or a fixed one in calls per second. A longer `Retry-After` than `longest_pause` is cut to that.
    pub(super) fn new(fixed: Option<f64>, longest_pause: Duration, now: Instant) -> Self {
        Self {
            fixed,
            longest_pause,
            learned: None,
            next: now,
            answers: WindowCount::new(SECOND, now),
            began: now,
        }
    }

    /// From now on no fixed limit, or this one in calls per second. What 429s have taught holds.
    pub(super) fn set_fixed(&mut self, fixed: Option<f64>) {
        self.fixed = fixed;
    }

    /// Calls per second that may be made now, if there is a limit.
    pub(super) fn rate(&mut self, now: Instant) -> Option<f64> {
        let used = self.used(now);
        if let Some(learned) = &mut self.learned {
            learned.grow(now, used);
        }
        self.learned.take_if(|learned| now.saturating_duration_since(learned.at) >= FORGET_AFTER);
        match (self.fixed, self.learned.as_ref().map(|learned| learned.rate)) {
            (Some(fixed), Some(learned)) => Some(fixed.min(learned)),
            (fixed, learned) => fixed.or(learned),
        }
    }

    /// Makes a call, if it is time; an error says how long that will take.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let Some(rate) = self.rate(now) else { return Ok(()) };
        let due = self.next.max(now.checked_sub(BURST).unwrap_or(now));
        if due > now {
            return Err(due - now);
        }
        self.next = due + Duration::from_secs_f64(1.0 / rate.max(MIN_RATE));
        Ok(())
    }

    /// A call was answered and not with a 429.
    pub(super) fn record_answer(&mut self, now: Instant) {
        self.answers.add(now);
    }

    /// A call that began then was answered with a 429.
    pub(super) fn record_throttled(&mut self, began: Instant, retry_after: Option<Duration>, now: Instant) {
        let measured = self.used(now);
        let too_high = match &mut self.learned {
            // What was begun before the rate fell says nothing about it, nor what was begun right after: gateways count by the
            // second.
            Some(learned) if began <= learned.at + SECOND => None,
            // The measure lags behind a rate that grows, and that rate counts if use was made of it.
            Some(learned) => {
                learned.grow(now, measured);
                // Nor is it halved at once: the measure may be of a moment in which little was called.
                let used = measured >= learned.rate * UTILISED;
                Some(if used { learned.rate } else { measured.max(learned.rate / 2.0) })
            }
            None => Some(measured.max(FIRST_RATE_MIN)),
        };
        if let Some(too_high) = too_high {
            self.learned = Some(Learned::from(too_high, now));
        }
        if let Some(pause) = retry_after.filter(|pause| *pause > PAUSE_MIN) {
            self.next = self.next.max(now + pause.min(self.longest_pause).min(PAUSE_MAX));
        }
    }

    /// Answers per second, lately.
    fn used(&mut self, now: Instant) -> f64 {
        let counted_for = now.saturating_duration_since(self.began).as_secs_f64();
        self.answers.value(now) / counted_for.clamp(MIN_SAMPLE, 1.0)
    }
}

impl Learned {
    fn from(too_high: f64, now: Instant) -> Self {
        let too_high = too_high.max(MIN_RATE);
        Self { too_high, at: now, rate: (too_high * DECREASE_FACTOR).max(MIN_RATE) }
    }

    fn grow(&mut self, now: Instant, used: f64) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        let curve = self.too_high
            * (1.0 + (1.0 - DECREASE_FACTOR) * ((passed - RECOVERY_SECS) / RECOVERY_SECS).powi(3));
        // What it has grown to it keeps while nothing is called: jobs that wait come back in waves.
        let most = (used * MAX_OVER_USAGE).max(self.too_high).max(self.rate);
        self.rate = curve.clamp(MIN_RATE, most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service that answers so many calls a second, with a burst of a tenth of that, and 429 beyond.
    struct Service {
        rate: f64,
        tokens: f64,
        at: Instant,
    }

    impl Service {
        fn new(rate: f64, now: Instant) -> Self {
            Self { rate, tokens: rate / 10.0, at: now }
        }

        fn takes(&mut self, now: Instant) -> bool {
            self.tokens = (self.tokens + (now - self.at).as_secs_f64() * self.rate).min(self.rate / 10.0);
            self.at = now;
            let takes = self.tokens >= 1.0;
            if takes {
                self.tokens -= 1.0;
            }
            takes
        }
    }

    /// Calls for so many seconds without end, at the pace; gives how many were answered and how many refused.
    fn calls(
        rate_limit: &mut AdaptiveRate,
        service: &mut Service,
        from: Instant,
        seconds: u64,
    ) -> (u32, u32) {
        let (mut now, mut answered, mut refused) = (from, 0, 0);
        while now < from + SECOND * u32::try_from(seconds).unwrap() {
            now += Duration::from_micros(100);
            while let Err(wait) = rate_limit.take(now) {
                now += wait;
            }
            if service.takes(now) {
                rate_limit.record_answer(now);
                answered += 1;
            } else {
                rate_limit.record_throttled(now, None, now);
                refused += 1;
            }
        }
        (answered, refused)
    }

    #[test]
    fn it_comes_near_to_what_is_allowed_and_seldom_goes_beyond() {
        for rate in [10.0, 50.0, 200.0, 1_000.0] {
            let start = Instant::now();
            let (mut rate_limit, mut service) =
                (AdaptiveRate::new(None, SECOND * 3600, start), Service::new(rate, start));
            calls(&mut rate_limit, &mut service, start, 30);
            let (answered, refused) = calls(&mut rate_limit, &mut service, start + SECOND * 30, 60);
            let reached = f64::from(answered) / 60.0 / rate;
            let throttled = f64::from(refused) / f64::from(answered + refused);
            assert!(reached >= 0.9, "{rate}/s: {reached}");
            assert!(throttled < 0.05, "{rate}/s: {throttled}");
        }
    }

    #[test]
    fn without_a_refusal_there_is_no_limit() {
        let now = Instant::now();
        let mut rate_limit = AdaptiveRate::new(None, SECOND * 3600, now);
        assert!((0..10_000).all(|_| rate_limit.take(now) == Ok(())));
        assert_eq!(rate_limit.rate(now), None);
    }

    #[test]
    fn a_fixed_rate_is_kept() {
        let start = Instant::now();
        let mut rate_limit = AdaptiveRate::new(Some(50.0), SECOND * 3600, start);
        let mut service = Service::new(1e6, start);
        let (answered, _) = calls(&mut rate_limit, &mut service, start, 10);
        assert!((500..=505).contains(&answered), "{answered}");
    }

    #[test]
    fn who_has_to_wait_is_told_how_long() {
        let now = Instant::now();
        let mut rate_limit = AdaptiveRate::new(Some(1.0), SECOND * 3600, now);
        assert_eq!(rate_limit.take(now), Ok(()));
        for _ in 0..3 {
            let wait = rate_limit.take(now).unwrap_err();
            assert!(wait > SECOND / 2 && wait <= SECOND, "{wait:?}");
        }
        assert_eq!(rate_limit.take(now + SECOND), Ok(()));
    }

    #[test]
    fn a_long_retry_after_holds_up_every_call_and_the_shortest_does_not() {
        let now = Instant::now();
        for (asked, least) in [(1, 0), (38, 38), (3_600, 60)] {
            let mut rate_limit = AdaptiveRate::new(None, SECOND * 3600, now);
            rate_limit.record_throttled(now, Some(SECOND * asked), now);
            let wait = rate_limit.take(now).err().unwrap_or_default();
            assert_eq!(wait.as_secs(), least, "{asked}");
        }
    }

    #[test]
    fn it_recovers_from_nearly_nothing_though_calls_come_in_waves() {
        let start = Instant::now();
        let (mut rate_limit, mut service) =
            (AdaptiveRate::new(None, SECOND * 3600, start), Service::new(0.0, start));
        calls(&mut rate_limit, &mut service, start, 30);
        let well = start + SECOND * 30;
        let mut service = Service::new(1e6, well);
        let mut wave = |number| calls(&mut rate_limit, &mut service, well + SECOND * 7 * number, 2).0;
        let answered: u32 = (0..12).map(&mut wave).sum();
        assert!(
            answered > 1_000,
            "{answered} answered within {:?} that begin with one a second",
            SECOND * 84
        );
    }

    #[test]
    fn refusals_of_long_ago_are_forgotten() {
        let now = Instant::now();
        let mut rate_limit = AdaptiveRate::new(None, SECOND * 3600, now);
        rate_limit.record_throttled(now, None, now);
        assert!(rate_limit.rate(now).is_some());
        assert_eq!(rate_limit.rate(now + FORGET_AFTER), None);
    }
}
