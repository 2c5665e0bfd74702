//! What is counted about checks besides the create.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::register;
use crate::contract::reply::UnverifiedReason;

/// What came of asking for a connection spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchResult {
    /// It was read.
    Ok,
    /// It was read, and a schema in it cannot be used.
    Unusable,
    /// It could not be had.
    Failed,
}

impl FetchResult {
    const ALL: [Self; 3] = [Self::Ok, Self::Unusable, Self::Failed];

    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unusable => "unusable",
            Self::Failed => "failed",
        }
    }
}

/// Counters of checks.
#[derive(Debug, Clone)]
pub struct CheckMetrics {
    doubtful: IntCounter,
    fetches: IntCounterVec,
    verifications: IntCounterVec,
}

impl CheckMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            doubtful: register(
                registry,
                IntCounter::new(
                    "doubtful_params_total",
                    "Jobs whose auth does not look as the catalogue has it, where that is not certain: sent all the same.",
                )?,
            )?,
            fetches: register(
                registry,
                IntCounterVec::new(
                    Opts::new("spec_fetches_total", "Connection specs that were asked for, by result."),
                    &["result"],
                )?,
            )?,
            verifications: register(
                registry,
                IntCounterVec::new(
                    Opts::new(
                        "verifications_total",
                        "Connections that were looked at after their create, by result.",
                    ),
                    &["result"],
                )?,
            )?,
        };
        for reason in [None].into_iter().chain(UnverifiedReason::ALL.map(Some)) {
            metrics.verifications.with_label_values(&[result_of(reason)]);
        }
        for result in FetchResult::ALL {
            metrics.fetches.with_label_values(&[result.as_str()]);
        }
        Ok(metrics)
    }

    /// A job's `auth` looks odd, and is sent all the same.
    pub fn doubtful(&self) {
        self.doubtful.inc();
    }

    /// A connection was looked at; `unverified` tells why it is not verified, if it is not.
    pub fn verified(&self, unverified: Option<UnverifiedReason>) {
        self.verifications.with_label_values(&[result_of(unverified)]).inc();
    }

    /// A connection spec was asked for.
    pub fn fetched(&self, result: FetchResult) {
        self.fetches.with_label_values(&[result.as_str()]).inc();
    }
}

fn result_of(unverified: Option<UnverifiedReason>) -> &'static str {
    unverified.map_or("verified", UnverifiedReason::as_str)
}
