//! One job, from its parsed request to what came of it. Knows neither AMQP nor HTTP.
//!
//! A failure that says "certainly not done" is tried again within [`Policy`]. One that says "may have been done" leaves a
//! [`Doubt`], as do earlier deliveries; then the connection is looked for before it is created again.

mod attempt;
mod first_answers;
mod lookup;
mod permit;
mod turns;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::futures::Notified;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::attempt::{Attempting, since};
use self::first_answers::{FirstAnswers, Told};
use self::turns::Turns;
use crate::admission::{Admission, Call, Claim, Operation, Rejected};
use crate::contract::ids::ImsOrgId;
use crate::contract::job::Job;
use crate::flow::{Created, Failure, FlowApi};
use crate::metrics::attempts::AttemptMetrics;
use crate::retry::doubt::{Doubt, Lookups};
use crate::retry::policy::{Limit, Policy};
use crate::retry::tier::Tier;

/// What came of a job.
#[derive(Debug)]
pub enum Handled {
    /// The connection exists.
    Created {
        /// Its id and etag.
        created: Created,
        /// Whether it was found rather than created just now.
        recovered: bool,
        /// Attempts made, those of earlier deliveries included.
        attempts: u32,
    },
    /// It does not, or nobody can tell.
    Failed {
        /// The last failure.
        failure: Failure,
        /// Whether the connection may exist all the same.
        in_doubt: bool,
        /// The limit that ended the attempts, if the failure itself did not.
        limit: Option<Limit>,
        /// Attempts made.
        attempts: u32,
    },
    /// The job's time ran out, and the connection does not exist.
    Expired {
        /// The last failure, if there was one.
        failure: Option<Failure>,
        /// Attempts made.
        attempts: u32,
    },
    /// To be tried again after a wait in a retry queue.
    Later {
        /// How long.
        tier: Tier,
        /// Attempts made.
        attempts: u32,
        /// The last failure, if there was one.
        failure: Option<Failure>,
        /// What is known of earlier calls.
        learned: Learned,
    },
    /// The worker is stopping and nothing was begun: the job goes back to the queue as it came.
    HandedBack,
    /// A further call may not be made for now: the job waits until it may.
    NotAdmitted {
        /// Why.
        rejected: Rejected,
        /// Attempts made.
        attempts: u32,
        /// What is known of earlier calls.
        learned: Learned,
    },
}

/// What a job has learned about its earlier calls, for its next delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Learned {
    /// How long a call may still take effect.
    pub unsettled: Duration,
    /// Whether every attempt up to now certainly did nothing.
    pub undone: bool,
    /// Whether look-ups have found nothing up to now.
    pub looked: bool,
    /// Whether this delivery has made a create and lived on.
    pub tried: bool,
}

/// What is known about a job from earlier deliveries.
#[derive(Debug, Clone, Copy)]
pub struct Past {
    /// Attempts made.
    pub attempts: u32,
    /// When the first of them began, if that is known.
    pub first_seen_at: Option<Timestamp>,
    /// None of them began before this, if that is known.
    pub since: Option<Timestamp>,
    /// What they may have done.
    pub doubt: Doubt,
    /// Whether look-ups have found nothing since.
    pub looked: bool,
}

impl Past {
    /// The same, of a job of which another copy may have been worked on meanwhile.
    #[must_use]
    pub fn with_a_copy(self) -> Self {
        let doubt = if self.doubt == Doubt::None { Doubt::Unlikely } else { self.doubt };
        Self { doubt, ..self }
    }

    /// Of a job that nobody has tried before.
    pub const NONE: Self =
        Self { attempts: 0, first_seen_at: None, since: None, doubt: Doubt::None, looked: false };
}

/// How to try.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// How often and how long.
    pub policy: Policy,
    /// How to look for a connection that may exist.
    pub lookups: Lookups,
}

/// Creates connections.
#[derive(Debug)]
pub struct Handler<F> {
    flow: F,
    admission: Admission,
    rules: Rules,
    turns: Turns,
    first_answers: Mutex<FirstAnswers>,
    metrics: AttemptMetrics,
}

impl<F: FlowApi> Handler<F> {
    /// A handler that calls `flow` as often as `rules` allow and when `admission` does.
    pub fn new(flow: F, admission: Admission, rules: Rules, metrics: AttemptMetrics) -> Self {
        let first_answers = Mutex::new(FirstAnswers::new());
        Self { flow, admission, rules, turns: Turns::default(), first_answers, metrics }
    }

    /// A number for a job: the lower, the sooner it gets its permits.
    pub fn number(&self) -> u64 {
        self.admission.number()
    }

    /// The organisations that the worker is set up for.
    pub fn configured(&self) -> Vec<ImsOrgId> {
        self.admission.configured()
    }

    /// Waits until a rejected claim is worth trying again.
    pub fn changed(&self) -> Notified<'_> {
        self.admission.changed()
    }

    /// Whether the job's next calls could be made now: its look-up, if an earlier delivery may have created the connection;
    /// and its create, unless the look-up alone may be the end of it.
    pub fn claim(&self, job: &Job, past: &Past, number: u64) -> Result<Claim, Rejected> {
        let begun = past.attempts > 0;
        let looks = (past.doubt != Doubt::None && job.marked_description.is_some())
            .then(|| self.call(job, Operation::LookUp, number, begun));
        let creates = (looks.is_none() || !past.doubt.is_serious())
            .then(|| self.call(job, create_of(job, begun), number, begun));
        let calls: Vec<_> = looks.into_iter().chain(creates).collect();
        self.admission.claim(&calls)
    }

    /// Whether the job has waited for so long that no further attempt is made.
    pub fn is_overdue(&self, past: &Past) -> bool {
        past.first_seen_at.is_some_and(|at| since(at) > self.rules.policy.deadline)
    }

    fn call<'a>(&self, job: &'a Job, operation: Operation<'a>, number: u64, begun: bool) -> Call<'a> {
        Call {
            ims_org_id: &job.ims_org_id,
            sandbox_name: &job.sandbox_name,
            operation,
            needs_token: !self.flow.has_token(&job.ims_org_id),
            job: number,
            begun,
        }
    }

    /// A create has ended: tells if it looks as if the configuration were wrong.
    fn note(&self, job: &Job, failure: Option<&Failure>) {
        let told = self.first_answers.lock().unwrap_or_else(PoisonError::into_inner).seen(&job.id, failure);
        match (told, failure) {
            (Some(Told::Suspicion), Some(failure)) => {
                self.metrics.all_refused(true);
                warn!(
                    flow_code = failure.flow_code,
                    error = %failure,
                    "every job since the start was refused with the same code: it may be the configuration (the organisation, the sandbox, the credential's permissions, FLOW_URL)"
                );
            }
            (Some(_), _) => {
                self.metrics.all_refused(false);
                info!(
                    "a job was created or refused for another reason: it was not the configuration, or it is right now"
                );
            }
            (None, _) => {}
        }
    }

    /// How long a call that nobody has heard from may still be under way.
    pub fn settle(&self) -> Duration {
        self.rules.lookups.settle
    }

    /// Creates the job's connection, or finds it, trying again where that is safe.
    ///
    /// `time_left` is the time until the job expires. When `stop` is cancelled no further call is started; one that
    /// is under way is finished, because its outcome would otherwise be unknown.
    pub async fn handle(
        &self,
        job: &Job,
        past: Past,
        time_left: Option<Duration>,
        number: u64,
        stop: &CancellationToken,
    ) -> Handled {
        let started = Instant::now();
        let patience = self.rules.policy.hold;
        let waiting = tokio::time::timeout(patience, self.turns.take(job));
        let turn = match stop.run_until_cancelled(waiting).await {
            None => return Handled::HandedBack,
            // Another delivery of the job is being worked on; this one is not to hold a slot meanwhile.
            Some(Err(_)) => {
                let learned =
                    Learned { unsettled: self.settle(), undone: false, looked: false, tried: false };
                let attempts = past.attempts;
                return Handled::Later { tier: Tier::TenSeconds, attempts, failure: None, learned };
            }
            Some(Ok(turn)) => turn,
        };
        if let Some(created) = turn.remembered() {
            self.metrics.answered_from_memory();
            return Handled::Created { created, recovered: true, attempts: past.attempts };
        }
        // Another message for the same job may have done the work, or be in doubt about it.
        let elsewhere = turn.waited || (!past.doubt.is_serious() && turn.is_in_doubt());
        let doubt = if elsewhere { Doubt::Open(Instant::now() + self.settle()) } else { past.doubt };
        let past = Past { doubt, ..past };
        let mut attempting = Attempting::new(self, job, past, started, time_left, number, stop);
        let handled = attempting.run().await;
        match &handled {
            Handled::Created { created, .. } => turn.remember(created),
            _ if attempting.doubt.is_serious() => turn.remember_doubt(),
            _ => {}
        }
        handled
    }
}

fn create_of(job: &Job, repeated: bool) -> Operation<'_> {
    Operation::Create { connection_spec_id: &job.connection_spec_id, repeated }
}

#[cfg(test)]
mod tests;
