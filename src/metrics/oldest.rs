//! The oldest of the things in hand, as a gauge.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::Gauge;

/// Keeps a gauge at the Unix time of the oldest thing in hand, and at 0 while there is none. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Oldest(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    gauge: Gauge,
    held: Mutex<Held>,
}

/// Times in milliseconds, and a number to tell equal ones apart.
#[derive(Debug, Default)]
struct Held {
    times: BTreeSet<(u64, u64)>,
    taken: u64,
}

/// One thing, in hand for as long as this lives.
#[derive(Debug)]
pub(super) struct InHand {
    oldest: Oldest,
    key: (u64, u64),
}

impl Oldest {
    pub(super) fn new(gauge: Gauge) -> Self {
        Self(Arc::new(Inner { gauge, held: Mutex::default() }))
    }

    /// Takes something that is there since this time.
    pub(super) fn take(&self, unix_seconds: f64) -> InHand {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "no time is before 1970")]
        let milliseconds = (unix_seconds * 1000.0) as u64;
        let mut key = (milliseconds, 0);
        self.change(|held| {
            held.taken += 1;
            key.1 = held.taken;
            held.times.insert(key);
        });
        InHand { oldest: self.clone(), key }
    }

    fn change(&self, change: impl FnOnce(&mut Held)) {
        let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut held);
        #[expect(clippy::cast_precision_loss, reason = "Unix time in milliseconds is below 2^52")]
        let oldest = held.times.first().map_or(0.0, |(milliseconds, _)| *milliseconds as f64 / 1000.0);
        self.0.gauge.set(oldest);
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.oldest.change(|held| {
            held.times.remove(&self.key);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gauge_follows_the_oldest() {
        let gauge = Gauge::new("oldest", "Test.").unwrap();
        let oldest = Oldest::new(gauge.clone());
        let value = || format!("{}", gauge.get());
        let first = oldest.take(100.5);
        let twin = oldest.take(100.5);
        let older = oldest.take(50.0);
        assert_eq!(value(), "50");
        drop(older);
        assert_eq!(value(), "100.5");
        drop(first);
        assert_eq!(value(), "100.5", "equal times are told apart");
        drop(twin);
        assert_eq!(value(), "0");
    }
}
