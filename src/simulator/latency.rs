//! How long an answer takes. Pure: randomness comes in as a parameter.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// No answer is meant to take longer, whatever the distribution draws.
const MAX: Duration = Duration::from_secs(3600);

/// The 99th percentile of the standard normal distribution.
const NORMAL_P99: f64 = 2.326_347_874;

/// A distribution of waiting times.
///
/// One half of the time passes before the request is acted upon, the other half before it is answered; a client
/// that leaves in between does not stop the work, just as with the real service.
///
/// As JSON: `{"kind":"none"}`, `{"kind":"fixed","ms":20}`, `{"kind":"uniform","minMs":10,"maxMs":50}`,
/// `{"kind":"lognormal","p50Ms":200,"p99Ms":2000}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Latency {
    /// At once.
    None,
    /// Always the same.
    Fixed {
        /// In milliseconds.
        ms: u64,
    },
    /// Anything between two bounds is as likely.
    Uniform {
        /// The shortest, in milliseconds.
        min_ms: u64,
        /// The longest, in milliseconds.
        max_ms: u64,
    },
    /// As services mostly are: a hump and a long tail.
    Lognormal {
        /// Half of all answers are faster than this many milliseconds.
        p50_ms: u64,
        /// One in a hundred takes longer than this many milliseconds.
        p99_ms: u64,
    },
}

impl Latency {
    pub(super) fn sample(self, random: &mut fastrand::Rng) -> Duration {
        let drawn = match self {
            Self::None => Duration::ZERO,
            Self::Fixed { ms } => Duration::from_millis(ms),
            Self::Uniform { min_ms, max_ms } => {
                Duration::from_millis(min_ms)
                    + Duration::from_millis(max_ms.saturating_sub(min_ms)).mul_f64(random.f64())
            }
            Self::Lognormal { p50_ms, p99_ms } => lognormal(p50_ms, p99_ms, random),
        };
        drawn.min(MAX)
    }
}

fn lognormal(p50_ms: u64, p99_ms: u64, random: &mut fastrand::Rng) -> Duration {
    let p50 = Duration::from_millis(p50_ms).as_secs_f64();
    let p99 = Duration::from_millis(p99_ms.max(p50_ms)).as_secs_f64();
    if p50 == 0.0 {
        return Duration::ZERO;
    }
    let sigma = (p99 / p50).ln() / NORMAL_P99;
    // Box-Muller; `1 - f64()` is never 0, so the logarithm is finite.
    let normal = (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos();
    Duration::try_from_secs_f64(p50 * (sigma * normal).exp()).unwrap_or(MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(latency: Latency) -> Vec<Duration> {
        let mut random = fastrand::Rng::with_seed(7);
        let mut drawn: Vec<_> = (0..10_000).map(|_| latency.sample(&mut random)).collect();
        drawn.sort();
        drawn
    }

    #[test]
    fn a_uniform_latency_stays_within_its_bounds() {
        let drawn = sorted(Latency::Uniform { min_ms: 10, max_ms: 50 });
        assert!(drawn[0] >= Duration::from_millis(10) && drawn[9_999] <= Duration::from_millis(50));
        assert!(drawn[0] < Duration::from_millis(11) && drawn[9_999] > Duration::from_millis(49));
    }

    #[test]
    fn a_lognormal_latency_meets_its_percentiles() {
        let drawn = sorted(Latency::Lognormal { p50_ms: 200, p99_ms: 2_000 });
        let within = |index: usize, ms: f64| (drawn[index].as_secs_f64() * 1e3 / ms - 1.0).abs() < 0.15;
        assert!(within(5_000, 200.0) && within(9_900, 2_000.0), "{:?} {:?}", drawn[5_000], drawn[9_900]);
    }

    #[test]
    fn nonsense_is_bounded() {
        for latency in [
            Latency::Fixed { ms: u64::MAX },
            Latency::Uniform { min_ms: 5, max_ms: 1 },
            Latency::Uniform { min_ms: u64::MAX / 2, max_ms: u64::MAX },
            Latency::Lognormal { p50_ms: 0, p99_ms: 5 },
            Latency::Lognormal { p50_ms: 1, p99_ms: u64::MAX },
        ] {
            assert!(latency.sample(&mut fastrand::Rng::with_seed(1)) <= MAX);
        }
    }
}
