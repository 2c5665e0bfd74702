//! What is told about the queues, as the broker sees them.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{Gauge, IntGauge, IntGaugeVec, Opts, Registry};

use super::register;
use crate::retry::tier::Tier;

/// A queue by its role, so that no label holds a name that somebody configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// Where jobs come from.
    Jobs,
    /// Jobs that wait for a slot.
    Overflow,
    /// Jobs that wait until calls for them can be made.
    Held,
    /// Jobs that wait to be tried again.
    Retry(Tier),
    /// Parked jobs.
    Dead,
    /// Replies that no queue would take.
    Undeliverable,
    /// Where replies go that name no other place.
    Replies,
}

impl Queue {
    /// Every role.
    pub fn all() -> impl Iterator<Item = Self> {
        let others = [Self::Jobs, Self::Overflow, Self::Held, Self::Dead, Self::Undeliverable, Self::Replies];
        Tier::ALL.map(Self::Retry).into_iter().chain(others)
    }

    fn label(self) -> String {
        match self {
            Self::Jobs => "jobs".to_owned(),
            Self::Overflow => "overflow".to_owned(),
            Self::Held => "held".to_owned(),
            Self::Retry(tier) => format!("retry.{}", tier.as_str()),
            Self::Dead => "dead".to_owned(),
            Self::Undeliverable => "undeliverable".to_owned(),
            Self::Replies => "replies".to_owned(),
        }
    }
}

/// Gauges of the queues.
#[derive(Debug, Clone)]
pub struct QueueMetrics {
    ready: IntGaugeVec,
    consumers: IntGauge,
    seen_at: Gauge,
}

impl QueueMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            ready: register(
                registry,
                IntGaugeVec::new(
                    Opts::new(
                        "queue_messages_ready",
                        "Messages in a queue that nobody holds, by the queue's role; 0 while the worker has no session, and with QUEUE_METRICS=off.",
                    ),
                    &["queue"],
                )?,
            )?,
            consumers: register(
                registry,
                IntGauge::new(
                    "queue_consumers",
                    "Consumers of the job queue, those of this worker included, which can be several; 0 as with the messages.",
                )?,
            )?,
            seen_at: register(
                registry,
                Gauge::new(
                    "queues_seen_timestamp_seconds",
                    "When the worker last looked at a queue, in Unix time; 0 while it has no session, and with QUEUE_METRICS=off: then the numbers of messages and consumers say nothing.",
                )?,
            )?,
        };
        metrics.unknown();
        Ok(metrics)
    }

    /// A queue was looked at. One that does not exist holds nothing.
    pub fn seen(&self, queue: Queue, ready: u32, consumers: u32) {
        self.set(queue, ready, consumers);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.seen_at.set(now.as_secs_f64());
    }

    fn set(&self, queue: Queue, ready: u32, consumers: u32) {
        self.ready.with_label_values(&[queue.label().as_str()]).set(i64::from(ready));
        if queue == Queue::Jobs {
            self.consumers.set(i64::from(consumers));
        }
    }

    /// Nobody looks any more: what was seen last must not stand there as if it were so.
    pub fn unknown(&self) {
        for queue in Queue::all() {
            self.set(queue, 0, 0);
        }
        self.seen_at.set(0.0);
    }
}
