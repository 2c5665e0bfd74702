//! When a delivery came.

use tokio::time::Instant;

use crate::broker::delivery::Delivery;
use crate::clock;

/// No job is older: 2020 began, in Unix time.
const EARLIEST: f64 = 1_577_836_800.0;

/// Clocks do not differ by more than this, in seconds.
const FUTURE: f64 = 86_400.0;

/// When a delivery came, and when its sender sent it.
pub(super) struct Arrival {
    pub(super) at: Instant,
    /// Unix time in seconds.
    pub(super) at_unix: f64,
    sent_unix: Option<f64>,
    /// Whether it says a time at which it cannot have been sent.
    pub(super) is_impossible: bool,
}

impl Arrival {
    pub(super) fn of(delivery: &Delivery) -> Self {
        let (timestamp, at_unix) = (delivery.properties.timestamp(), unix_now());
        let sent_unix = timestamp.and_then(|timestamp| sent(timestamp, at_unix));
        let is_impossible = timestamp.is_some() && sent_unix.is_none();
        Self { at: Instant::now(), at_unix, sent_unix, is_impossible }
    }

    /// AMQP timestamps are whole seconds and clocks differ, so a job may seem to come from the future.
    pub(super) fn waited(&self) -> Option<f64> {
        self.sent_unix.map(|sent| (self.at_unix - sent).max(0.0))
    }

    pub(super) fn age(&self) -> Option<f64> {
        self.sent_unix.map(|sent| (unix_now() - sent).max(0.0))
    }
}

/// When a message was sent that says this, in Unix time; `None` if that cannot be. AMQP counts in seconds, and some senders in
/// milliseconds.
fn sent(timestamp: u64, now: f64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "what is beyond 2^52 is no time")]
    let said = timestamp as f64;
    [said, said / 1000.0].into_iter().find(|sent| (EARLIEST..=now + FUTURE).contains(sent))
}

/// Unix time in seconds.
pub(super) fn unix_now() -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "Unix time in milliseconds is below 2^52")]
    let milliseconds = clock::now().as_millisecond() as f64;
    milliseconds / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_recognised_and_impossible_times_are_none() {
        let now = 1_900_000_000.5;
        for (timestamp, expected) in [
            (1_899_999_990, Some(1_899_999_990.0)),
            (1_899_999_990_250, Some(1_899_999_990.25)),
            (1_900_000_100, Some(1_900_000_100.0)),
            (0, None),
            (1, None),
            (5_000, None),
            (1_900_100_000, None),
            (1_899_999_990_250_000, None),
            (u64::MAX, None),
        ] {
            assert_eq!(sent(timestamp, now), expected, "{timestamp}");
        }
    }
}
