//! What is counted about the file of organisations.

use prometheus::{Gauge, IntCounterVec, IntGauge, Opts, Registry};

use super::register;

/// What came of a changed file, or of being told to look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadResult {
    /// It holds, from now on or as before.
    Ok,
    /// It was refused, and what was read before stays in force.
    Refused,
}

impl ReloadResult {
    const ALL: [Self; 2] = [Self::Ok, Self::Refused];

    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
        }
    }
}

/// Counters and gauges of the file of organisations.
#[derive(Debug, Clone)]
pub struct OrganisationMetrics {
    configured: IntGauge,
    reloads: IntCounterVec,
    in_force: IntGauge,
    loaded_at: Gauge,
}

impl OrganisationMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            configured: register(
                registry,
                IntGauge::new(
                    "organisations_configured",
                    "Organisations that the worker works for; 0 without ORGS_FILE, when it works for any.",
                )?,
            )?,
            reloads: register(
                registry,
                IntCounterVec::new(
                    Opts::new(
                        "organisations_reloads_total",
                        "How often ORGS_FILE was read anew, because it had changed or on SIGHUP, by result.",
                    ),
                    &["result"],
                )?,
            )?,
            in_force: register(
                registry,
                IntGauge::new(
                    "organisations_file_in_force",
                    "1 while ORGS_FILE is in force as it is; 0 while it is refused and what was read before holds, and without one.",
                )?,
            )?,
            loaded_at: register(
                registry,
                Gauge::new(
                    "organisations_loaded_timestamp_seconds",
                    "When what is in force of ORGS_FILE was read, in Unix time; 0 without one.",
                )?,
            )?,
        };
        for result in ReloadResult::ALL {
            metrics.reloads.with_label_values(&[result.as_str()]);
        }
        Ok(metrics)
    }

    /// So many organisations are in force, read at this Unix time in seconds.
    pub fn loaded(&self, number: usize, at: f64) {
        self.configured.set(i64::try_from(number).unwrap_or(i64::MAX));
        self.loaded_at.set(at);
        self.in_force.set(1);
    }

    /// The file is again as it was read before: nothing of a refused one is left.
    pub fn back_in_force(&self) {
        self.in_force.set(1);
    }

    /// The file was read anew.
    pub fn reloaded(&self, result: ReloadResult) {
        self.reloads.with_label_values(&[result.as_str()]).inc();
        if result == ReloadResult::Refused {
            self.in_force.set(0);
        }
    }
}
