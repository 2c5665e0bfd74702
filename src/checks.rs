//! What is looked into besides the create: before it, whether a job's `auth` fits its connection spec; after it, whether
//! the connection works.
//!
//! Only a job that Flow Service would certainly refuse is refused here; whatever cannot be known is left to it. Knows
//! neither AMQP nor HTTP.

mod admitted;
mod schema;
mod specs;
mod validate;
mod verify;

#[cfg(test)]
mod tests;

use std::time::Duration;

use tracing::warn;

pub use self::admitted::AdmittedChecks;
pub use self::validate::FETCH_TIMEOUT;
pub use self::verify::{Verdict, Verification};

use self::specs::Specs;
use self::validate::Told;
use crate::contract::Rejected;
use crate::contract::job::Job;
use crate::contract::problem::Problems;
use crate::flow::FlowApi;
use crate::metrics::checks::CheckMetrics;

/// What a job's `auth` is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validation {
    /// Nothing.
    Off,
    /// The catalogue that the worker brings.
    Catalogue,
    /// The connection spec as Flow Service has it now; the catalogue, where that cannot be had.
    Remote,
}

/// How to check.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Before the create.
    pub validation: Validation,
    /// After the create.
    pub verification: Verification,
    /// How long that may take. The job is in hand meanwhile.
    pub verify_timeout: Duration,
}

/// Checks jobs.
#[derive(Debug)]
pub struct Checks<F> {
    flow: F,
    settings: Settings,
    specs: Specs,
    told: Told,
    metrics: CheckMetrics,
}

impl<F: FlowApi> Checks<F> {
    /// Checks as the settings say, and asks `flow` if need be.
    pub fn new(flow: F, settings: Settings, metrics: CheckMetrics) -> Self {
        Self { flow, settings, specs: Specs::default(), told: Told::default(), metrics }
    }

    /// Whether a job's `auth` fits its connection spec, as far as that is certain. Safe to drop half-way.
    ///
    /// A job that may have been done before (`in_doubt`) is not held to a spec that may have changed since: its sender would
    /// be told that there is no connection, and there may be one.
    pub async fn fits(&self, job: &Job, in_doubt: bool) -> Result<(), Rejected> {
        let problems = match self.settings.validation {
            Validation::Off => return Ok(()),
            // On the heap: it would make the task of every job larger.
            Validation::Remote if !in_doubt => Box::pin(self.by_spec(job)).await,
            Validation::Remote | Validation::Catalogue => None,
        };
        let problems = problems.unwrap_or_else(|| self.by_catalogue(job));
        if problems.is_empty() {
            return Ok(());
        }
        Err(Rejected { job_id: Some(job.id.clone()), form: None, problems })
    }

    fn by_catalogue(&self, job: &Job) -> Problems {
        let remarks = &job.remarks;
        if remarks.faults.is_empty() && !remarks.doubts.is_empty() {
            self.metrics.doubtful();
            warn!(doubts = %remarks.doubts, "the job's auth looks wrong, and Flow Service may refuse it");
        }
        remarks.faults.clone()
    }
}
