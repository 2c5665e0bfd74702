//! One job, from its parsed request to what came of it. Knows neither AMQP nor HTTP.
//!
//! A failure that says "certainly not done" is tried again here, within [`Policy`]; one that says "may have been
//! done" ends the job as `ambiguous`, because repeating it blindly could create a second connection.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::contract::job::Job;
use crate::flow::{CreateRequest, Created, Failure, FlowApi};
use crate::metrics::jobs::JobMetrics;
use crate::retry::policy::{Attempts, Limit, Next, Policy};
use crate::retry::verdict::Verdict;

/// What came of a job.
#[derive(Debug)]
pub enum Handled {
    /// Flow Service created the connection.
    Created {
        /// Its id and etag.
        created: Created,
        /// Calls made.
        attempts: u32,
    },
    /// Flow Service did not, or nobody can tell.
    Failed {
        /// The last failure.
        failure: Failure,
        /// The limit that ended the attempts, if the failure itself did not.
        limit: Option<Limit>,
        /// Calls made.
        attempts: u32,
    },
    /// The job's time ran out while it was waiting to be tried again.
    Expired {
        /// The last failure.
        failure: Failure,
        /// Calls made.
        attempts: u32,
    },
    /// The worker is stopping and the job is certainly not done: it goes back to the queue as it came.
    HandedBack,
}

/// Creates connections.
#[derive(Debug)]
pub struct Handler<F> {
    flow: F,
    policy: Policy,
    metrics: JobMetrics,
}

impl<F: FlowApi> Handler<F> {
    /// A handler that calls `flow` as often as `policy` allows.
    pub fn new(flow: F, policy: Policy, metrics: JobMetrics) -> Self {
        Self { flow, policy, metrics }
    }

    /// Creates the job's connection, trying again where that is safe.
    ///
    /// `time_left` is the time until the job expires. When `stop` is cancelled no further call is started; one that
    /// is under way is finished, because its outcome would otherwise be unknown.
    pub async fn handle(&self, job: &Job, time_left: Option<Duration>, stop: &CancellationToken) -> Handled {
        let request = CreateRequest {
            ims_org_id: job.ims_org_id.as_str().to_owned(),
            sandbox_name: job.sandbox_name.as_str().to_owned(),
            body: job.body.clone(),
        };
        let mut attempts = Attempts::new(&self.policy, fastrand::Rng::new());
        let started = Instant::now();
        loop {
            if stop.is_cancelled() {
                return Handled::HandedBack;
            }
            attempts.start();
            let failure = match self.flow.create(&request).await {
                Ok(created) => return Handled::Created { created, attempts: attempts.made() },
                Err(failure) => failure,
            };
            self.metrics.attempt_failed(failure.kind);
            if failure.kind.verdict() != Verdict::Retry {
                return Handled::Failed { failure, limit: None, attempts: attempts.made() };
            }
            let delay = match attempts.after_failure(failure.retry_after, started.elapsed()) {
                Next::Wait(delay) => delay,
                Next::GiveUp(limit) => {
                    return Handled::Failed { failure, limit: Some(limit), attempts: attempts.made() };
                }
            };
            if time_left.is_some_and(|left| started.elapsed().saturating_add(delay) >= left) {
                return Handled::Expired { failure, attempts: attempts.made() };
            }
            self.metrics.retry_scheduled(failure.kind, delay);
            info!(
                attempt = attempts.made(),
                failure = failure.kind.as_str(),
                http_status = failure.http_status,
                delay_seconds = delay.as_secs_f64(),
                "the call failed and will be tried again"
            );
            if stop.run_until_cancelled(tokio::time::sleep(delay)).await.is_none() {
                return Handled::HandedBack;
            }
        }
    }
}

#[cfg(test)]
mod tests;
