//! Families of histories, each made from a seed.

pub(crate) mod one_ill_part;

use std::time::Duration;

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
