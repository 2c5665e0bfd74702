//! What is counted about the broker: sessions, replies, settlements.

use std::time::Duration;

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::{DURATION_BUCKETS, register};
use crate::broker::Error;
use crate::broker::intake::Source;
use crate::contract::history::DeadReason;

/// One of the two connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Takes jobs and settles them.
    Consume,
    /// Publishes replies.
    Publish,
}

impl Role {
    const ALL: [Self; 2] = [Self::Consume, Self::Publish];

    fn as_str(self) -> &'static str {
        match self {
            Self::Consume => "consume",
            Self::Publish => "publish",
        }
    }
}

/// How a publish ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishResult {
    /// Routed to a queue and confirmed.
    Confirmed,
    /// Returned: no such queue.
    Returned,
    /// Refused by the broker (nack, or the channel was closed on us).
    Refused,
    /// No confirm came: timeout, or the connection was lost.
    Unconfirmed,
}

impl PublishResult {
    const ALL: [Self; 4] = [Self::Confirmed, Self::Returned, Self::Refused, Self::Unconfirmed];

    /// The result in metric labels and traces.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Returned => "returned",
            Self::Refused => "refused",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

/// What a delivery was settled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettlementKind {
    /// Done: removed from the queue.
    Ack,
    /// Given back to the queue.
    Requeue,
}

impl SettlementKind {
    fn label(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Requeue => "requeue",
        }
    }
}

/// Counters of everything that goes over AMQP.
#[derive(Debug, Clone)]
pub struct BrokerMetrics {
    up: IntGaugeVec,
    blocked: IntGaugeVec,
    sessions: IntCounter,
    session_failures: IntCounterVec,
    publishes: IntCounterVec,
    publish_duration: HistogramVec,
    undeliverable: IntCounterVec,
    dead_lettered: IntCounterVec,
    settlements: IntCounterVec,
    moved: IntCounterVec,
    draining: IntGauge,
}

/// Why a reply went to the undeliverable queue: no such queue, or the broker refused it there.
const UNDELIVERABLE: [&str; 2] = ["returned", "refused"];

impl BrokerMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name, help, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            register(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        let counter = |name, help| register(registry, IntCounter::new(name, help)?);
        let gauges = |name, help| -> Result<IntGaugeVec, prometheus::Error> {
            register(registry, IntGaugeVec::new(Opts::new(name, help), &["role"])?)
        };
        let publish_duration = HistogramOpts::new(
            "publish_duration_seconds",
            "Time from publishing a message to the broker's word on it.",
        );
        let metrics = Self {
            up: gauges("amqp_connection_up", "1 while the connection to the broker is up.")?,
            blocked: gauges("amqp_connection_blocked", "1 while the broker blocks the connection (alarm).")?,
            sessions: counter("amqp_sessions_total", "Broker sessions opened.")?,
            session_failures: counters(
                "amqp_session_failures_total",
                "Broker sessions that failed, by reason.",
                &["reason"],
            )?,
            publishes: counters(
                "messages_published_total",
                "Messages published, by what they are and how it ended.",
                &["kind", "result"],
            )?,
            publish_duration: register(
                registry,
                HistogramVec::new(publish_duration.buckets(DURATION_BUCKETS.to_vec()), &["result"])?,
            )?,
            undeliverable: counters(
                "replies_undeliverable_total",
                "Replies that went to the undeliverable queue.",
                &["reason"],
            )?,
            dead_lettered: counters(
                "dead_lettered_total",
                "Messages parked in the dead-letter queue.",
                &["reason"],
            )?,
            settlements: counters(
                "settlements_total",
                "Deliveries settled; stale ones belong to a lost connection and come again.",
                &["kind", "stale"],
            )?,
            moved: register(
                registry,
                IntCounterVec::new(
                    Opts::new(
                        "jobs_moved_total",
                        "Jobs moved to the overflow queue (they wait for a slot) or the held queue (their calls are held back), by where they came from.",
                    ),
                    &["from", "to"],
                )?,
            )?,
            draining: register(
                registry,
                IntGauge::new(
                    "draining",
                    "1 while the worker stops: it takes no jobs and finishes those in flight.",
                )?,
            )?,
        };
        metrics.touch_every_label_set();
        Ok(metrics)
    }

    fn touch_every_label_set(&self) {
        for role in Role::ALL.map(Role::as_str) {
            self.up.with_label_values(&[role]);
            self.blocked.with_label_values(&[role]);
        }
        for reason in Error::REASONS {
            self.session_failures.with_label_values(&[reason]);
        }
        for result in PublishResult::ALL.map(PublishResult::as_str) {
            for kind in ["reply", "parked", "retry", "moved"] {
                self.publishes.with_label_values(&[kind, result]);
            }
            self.publish_duration.with_label_values(&[result]);
        }
        for from in Source::ALL {
            for to in [Source::Overflow, Source::Held] {
                self.moved.with_label_values(&[from.as_str(), to.as_str()]);
            }
        }
        for reason in UNDELIVERABLE {
            self.undeliverable.with_label_values(&[reason]);
        }
        for reason in DeadReason::OWN {
            self.dead_lettered.with_label_values(&[reason.as_str()]);
        }
        for kind in [SettlementKind::Ack, SettlementKind::Requeue].map(SettlementKind::label) {
            for stale in ["true", "false"] {
                self.settlements.with_label_values(&[kind, stale]);
            }
        }
    }

    /// A session is open.
    pub fn session_opened(&self) {
        self.sessions.inc();
        self.connections(Some((false, false)));
    }

    /// A session was lost or could not be opened.
    pub fn session_failed(&self, why: &Error) {
        self.session_failures.with_label_values(&[why.reason()]).inc();
        self.connections(None);
    }

    /// The session was closed in order.
    pub fn session_closed(&self) {
        self.connections(None);
    }

    /// Both connections are up, and whether the broker blocks them (consume, publish); `None`: both are down.
    pub fn connections(&self, blocked: Option<(bool, bool)>) {
        let (consume, publish) = blocked.unwrap_or_default();
        for (role, blocked) in [(Role::Consume, consume), (Role::Publish, publish)] {
            self.blocked.with_label_values(&[role.as_str()]).set(i64::from(blocked));
        }
        for role in Role::ALL {
            self.up.with_label_values(&[role.as_str()]).set(i64::from(blocked.is_some()));
        }
    }

    /// A message was published: `kind` is `reply`, `parked`, `retry` or `moved`.
    pub fn published(&self, kind: &'static str, result: PublishResult, took: Duration) {
        self.publishes.with_label_values(&[kind, result.as_str()]).inc();
        self.publish_duration.with_label_values(&[result.as_str()]).observe(took.as_secs_f64());
    }

    /// A reply went to the undeliverable queue instead.
    pub fn reply_undeliverable(&self, result: PublishResult) {
        self.undeliverable.with_label_values(&[result.as_str()]).inc();
    }

    /// A message was parked in the dead-letter queue.
    pub fn dead_lettered(&self, reason: DeadReason) {
        self.dead_lettered.with_label_values(&[reason.as_str()]).inc();
    }

    /// A job was moved from one queue that the worker takes jobs from to another.
    pub fn moved(&self, from: Source, to: Source) {
        self.moved.with_label_values(&[from.as_str(), to.as_str()]).inc();
    }

    /// A delivery was settled, or was found stale.
    pub fn settled(&self, kind: SettlementKind, stale: bool) {
        self.settlements.with_label_values(&[kind.label(), if stale { "true" } else { "false" }]).inc();
    }

    /// The worker has begun to stop. How that ends, no scrape sees: the log and the exit code tell.
    pub fn draining(&self) {
        self.draining.set(1);
    }
}
