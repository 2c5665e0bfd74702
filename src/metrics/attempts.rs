//! What is counted about attempts to create a connection: how they fail, when they are repeated, what is looked up.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::register;
use crate::flow::FailureKind;
use crate::retry::policy::Wait;
use crate::retry::tier::Tier;
use crate::retry::verdict::Verdict;

/// What came of a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookupResult {
    /// The connection exists.
    Found,
    /// It does not, as far as can be seen.
    Absent,
    /// Nobody can tell.
    Failed,
}

impl LookupResult {
    const ALL: [Self; 3] = [Self::Found, Self::Absent, Self::Failed];

    fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Absent => "absent",
            Self::Failed => "failed",
        }
    }
}

/// Counters of attempts.
#[derive(Debug, Clone)]
pub struct AttemptMetrics {
    failures: IntCounterVec,
    ambiguous: IntCounter,
    retries: IntCounterVec,
    retry_delay: Histogram,
    lookups: IntCounterVec,
    created_in_doubt: IntCounter,
    duplicates: IntCounter,
    from_memory: IntCounter,
    all_refused: IntGauge,
}

impl AttemptMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name, help| register(registry, IntCounter::new(name, help)?);
        let counters = |name, help, labels: &[&str]| {
            register(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        let delay = HistogramOpts::new("retry_delay_seconds", "How long jobs wait to be tried again.")
            .buckets(vec![0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0]);
        let metrics = Self {
            failures: counters(
                "attempt_failures_total",
                "Attempts that failed, by kind of failure.",
                &["kind"],
            )?,
            ambiguous: counter(
                "ambiguous_outcomes_total",
                "Creates whose outcome is unknown: sent, and no proper answer.",
            )?,
            retries: counters(
                "retries_scheduled_total",
                "Failed attempts that are repeated, by kind of failure and by where the job waits: held, or in a retry queue.",
                &["kind", "wait"],
            )?,
            retry_delay: register(registry, Histogram::with_opts(delay)?)?,
            lookups: counters(
                "lookups_total",
                "Look-ups of a connection that an earlier attempt may have created.",
                &["result"],
            )?,
            created_in_doubt: counter(
                "creates_in_doubt_total",
                "Creates after look-ups that found nothing: the only ones that could make a second connection.",
            )?,
            duplicates: counter(
                "duplicate_connections_total",
                "Second connections of a job that a look-up came across.",
            )?,
            from_memory: counter(
                "answers_from_memory_total",
                "Jobs that came again and were answered without a call.",
            )?,
            all_refused: register(
                registry,
                IntGauge::new(
                    "all_jobs_refused",
                    "1 if all jobs since the start (50 at least) were refused with the same code and none was created: it may be the configuration.",
                )?,
            )?,
        };
        metrics.touch_every_label_set();
        Ok(metrics)
    }

    fn touch_every_label_set(&self) {
        let waits: Vec<Wait> =
            Tier::ALL.map(Wait::Queued).into_iter().chain([Wait::Held(Duration::ZERO)]).collect();
        for kind in FailureKind::ALL {
            self.failures.with_label_values(&[kind.as_str()]);
            for wait in waits.iter().filter(|_| kind.verdict() != Verdict::Fail) {
                self.retries.with_label_values(&[kind.as_str(), wait.place()]);
            }
        }
        for result in LookupResult::ALL {
            self.lookups.with_label_values(&[result.as_str()]);
        }
    }

    /// An attempt failed: its look-up, or its create.
    pub fn failed(&self, kind: FailureKind) {
        self.failures.with_label_values(&[kind.as_str()]).inc();
    }

    /// Whether all jobs since the start were refused with the same code.
    pub fn all_refused(&self, are: bool) {
        self.all_refused.set(are.into());
    }

    /// A create was sent and nobody knows what came of it.
    pub fn ambiguous(&self) {
        self.ambiguous.inc();
    }

    /// A failed attempt will be repeated after a wait.
    pub fn retry_scheduled(&self, kind: FailureKind, wait: Wait) {
        self.retries.with_label_values(&[kind.as_str(), wait.place()]).inc();
        self.retry_delay.observe(wait.delay().as_secs_f64());
    }

    /// Flow Service was asked for a connection.
    pub fn looked_up(&self, result: LookupResult) {
        self.lookups.with_label_values(&[result.as_str()]).inc();
    }

    /// A connection was created although an earlier attempt may have created it, and look-ups found none.
    pub fn created_in_doubt(&self) {
        self.created_in_doubt.inc();
    }

    /// A job was found to have further connections.
    pub fn duplicates_found(&self, number: usize) {
        self.duplicates.inc_by(number as u64);
    }

    /// A job came again and its connection was still known.
    pub fn answered_from_memory(&self) {
        self.from_memory.inc();
    }
}
