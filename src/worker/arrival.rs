//! When a delivery came.

use tokio::time::Instant;

use crate::broker::delivery::Delivery;
use crate::clock;

/// When a delivery came, and when its sender sent it.
pub(super) struct Arrival {
    pub(super) at: Instant,
    /// Unix time in seconds.
    pub(super) at_unix: f64,
    sent_unix: Option<f64>,
}

impl Arrival {
    pub(super) fn of(delivery: &Delivery) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "Unix time in seconds is far below 2^52")]
        let sent_unix = delivery.properties.timestamp().map(|seconds| seconds as f64);
        Self { at: Instant::now(), at_unix: unix_now(), sent_unix }
    }

    /// AMQP timestamps are whole seconds and clocks differ, so a job may seem to come from the future.
    pub(super) fn waited(&self) -> Option<f64> {
        self.sent_unix.map(|sent| (self.at_unix - sent).max(0.0))
    }

    pub(super) fn age(&self) -> Option<f64> {
        self.sent_unix.map(|sent| (unix_now() - sent).max(0.0))
    }
}

/// Unix time in seconds.
pub(super) fn unix_now() -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "Unix time in milliseconds is below 2^52")]
    let milliseconds = clock::now().as_millisecond() as f64;
    milliseconds / 1000.0
}
