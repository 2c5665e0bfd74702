//! Decisions about trying again: pure, without a clock, a socket or a broker.

pub mod doubt;
pub mod plan;
pub mod policy;
pub mod tier;
pub mod verdict;

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Delays that double from `base` to `max` and never end: whoever waits decides when it is enough, and draws the jitter.
pub fn doubling(base: Duration, max: Duration) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(base)
        .with_max_delay(max)
        .with_factor(2.0)
        .without_max_times()
        .build()
}
