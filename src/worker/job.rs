//! One delivery, from its arrival to its settlement. The only order: the reply is confirmed, then the job is settled.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::answer::{Answering, publish};
use super::arrival::{Arrival, unix_now};
use super::decision::{Decision, Deferral, Moving, Parking};
use super::past::{is_to_go_behind, moved, noted, past, unknown};
use super::suspect::untried;
use super::waiting::{Moved, Waited, Waiting, expires, tenant_of};
use super::{Worker, name_job, reply};
use crate::broker;
use crate::broker::delivery::{Delivery, Settled, Settlement};
use crate::broker::intake::Source;
use crate::broker::link::Publish;
use crate::clock;
use crate::contract::history::DeadReason;
use crate::contract::ids::JobId;
use crate::contract::job::Job;
use crate::contract::{self, Envelope};
use crate::flow::{Failure, FailureKind, FlowApi};
use crate::handler::Handled;
use crate::metrics::broker::SettlementKind;
use crate::metrics::jobs::JobEnd;
use crate::retry::doubt::Doubt;
use crate::retry::policy::Limit;

/// Why a job's task ends without settling its delivery.
#[derive(Debug)]
pub(super) struct Unsettled(pub(super) broker::Error);

impl<F: FlowApi> Worker<F> {
    /// Does all that is to be done about one delivery, of which there are up to `in_hand`. An error means that the session
    /// is no good any more.
    pub(super) async fn process(
        &self,
        delivery: Delivery,
        in_hand: u16,
        publisher: &impl Publish,
        stop: &CancellationToken,
    ) -> Result<(), Unsettled> {
        let arrival = Arrival::of(&delivery);
        let _in_flight = self.metrics.jobs.received(
            delivery.redelivered,
            delivery.body.len(),
            arrival.at_unix,
            arrival.waited(),
        );
        if arrival.is_impossible && self.metrics.jobs.timestamp_ignored() {
            warn!(
                timestamp = delivery.properties.timestamp(),
                "a message's timestamp cannot be, and is ignored: AMQP counts in seconds since 1970; told once"
            );
        }
        let mut job_id = None;
        let decision = match self.decide_safely(&delivery, in_hand, publisher, &mut job_id, stop).await {
            // A hand-back looks like a crash to the broker, and a suspect must not take the blame for it.
            Decision::HandBack if delivery.history.trials.is_some() => untried(&delivery),
            decision => decision,
        };
        let answering = Answering { publisher, routes: &self.routes, metrics: &self.metrics.broker };
        let _moving = match &decision {
            Decision::Move(_) if delivery.source == Source::Jobs => Some(Moved::begin(self)),
            _ => None,
        };
        let told = publish(&answering, &delivery, &decision).await;
        if let (Ok(()), Decision::Move(moving)) = (&told, &decision) {
            self.passage().moved(moving.tenant.clone(), moving.to);
        }
        let settlement = match decision {
            Decision::HandBack => Settlement::Requeue,
            _ => Settlement::Ack,
        };
        let settled = match told {
            Ok(()) => self.settle(delivery, settlement).await,
            Err(error) => Err(error),
        };
        match settled {
            Ok(()) => {
                self.finished(&arrival, decision.end(), &decision);
                Ok(())
            }
            Err(error) => {
                self.finished(&arrival, JobEnd::Abandoned, &decision);
                Err(Unsettled(error))
            }
        }
    }

    /// Decides, and survives a panic: then the sender is told that the worker is at fault.
    async fn decide_safely(
        &self,
        delivery: &Delivery,
        in_hand: u16,
        publisher: &impl Publish,
        job_id: &mut Option<JobId>,
        stop: &CancellationToken,
    ) -> Decision {
        match AssertUnwindSafe(self.decide(delivery, in_hand, publisher, job_id, stop)).catch_unwind().await {
            Ok(decision) => decision,
            // The panic hook has logged what and where.
            Err(_payload) => {
                self.metrics.jobs.panicked();
                let message = "the worker failed on this job; whether the connection exists is unknown";
                self.give_up(delivery, job_id.as_ref(), DeadReason::Internal, message)
            }
        }
    }

    async fn decide(
        &self,
        delivery: &Delivery,
        in_hand: u16,
        publisher: &impl Publish,
        job_id: &mut Option<JobId>,
        stop: &CancellationToken,
    ) -> Decision {
        if let Some(decision) = self.suspect(delivery, in_hand) {
            return decision;
        }
        let job = match contract::parse(
            &delivery.body,
            &envelope(delivery),
            &self.terms.defaults,
            self.terms.limits,
        ) {
            Ok(job) => job,
            Err(rejected) => {
                if let Some(form) = rejected.form {
                    self.metrics.jobs.credentials(form);
                }
                return self.reject(rejected, delivery);
            }
        };
        self.metrics.jobs.credentials(job.form);
        name_job(&job.id);
        *job_id = Some(job.id.clone());
        let past = past(&delivery.history, delivery.redelivered, self.handler.settle());
        if let Err(why) = self.terms.allowed.check(&job.ims_org_id, &job.sandbox_name) {
            return self.refuse(&job, &why, &past, delivery);
        }
        let began = clock::now();
        if is_to_go_behind(delivery) {
            let history = moved(delivery, began, self.handler.settle(), Source::Overflow);
            let why =
                "it was delivered before, and goes behind a copy that may have been made then".to_owned();
            return Decision::Move(Moving { to: Source::Overflow, tenant: None, history, why });
        }
        let number = self.handler.number();
        let expires = expires(time_left(&job).filter(|_| !past.doubt.is_serious()));
        let (past_before, source, since) = (&past, delivery.source, Instant::now());
        let waiting = Waiting { job: &job, past: past_before, number, source, since, expires };
        let (_slot, claim) = match self.wait(&waiting, stop).await {
            Waited::Run(slot, claim) => (slot, claim),
            Waited::Stopped => return Decision::HandBack,
            Waited::Leave(..) if delivery.is_stale() => return Decision::HandBack,
            Waited::Expired => {
                let attempts = past.attempts;
                return Decision::Answer(reply::expired(&job, None, attempts), None);
            }
            Waited::Leave(_, why) if self.handler.is_overdue(&past) => {
                let failure = Failure::new(FailureKind::Unavailable, why.to_owned());
                let (in_doubt, attempts) = (past.doubt.is_serious(), past.attempts);
                let overdue = Handled::Failed { failure, in_doubt, limit: Some(Limit::Deadline), attempts };
                return self.conclude(delivery, job, overdue, began, stop).await;
            }
            Waited::Leave(to, why) => {
                let history = moved(delivery, began, self.handler.settle(), to);
                let tenant = Some(tenant_of(&job));
                return Decision::Move(Moving { to, tenant, history, why: why.to_owned() });
            }
        };
        let _running = delivery.run();
        // A copy in a queue for which it took long may have been overtaken by what it is a copy of.
        let past =
            if waiting.since.elapsed() >= self.handler.settle() / 2 { past.with_a_copy() } else { past };
        // What comes of a job could not be published: it is better not begun.
        if stop.run_until_cancelled(publisher.unblocked()).await.is_none() || delivery.is_stale() {
            return Decision::HandBack;
        }
        let checking = self.checks.fits(&job, past.doubt != Doubt::None);
        match stop.run_until_cancelled(checking).await {
            None => return Decision::HandBack,
            Some(Err(rejected)) => return self.reject(rejected, delivery),
            Some(Ok(())) => {}
        }
        let handled = self.handler.handle(&job, past, time_left(&job), number, stop).await;
        drop(claim);
        self.conclude(delivery, job, handled, began, stop).await
    }

    /// From what came of a job to what is to be done with its delivery.
    async fn conclude(
        &self,
        delivery: &Delivery,
        job: Job,
        handled: Handled,
        began: Timestamp,
        stop: &CancellationToken,
    ) -> Decision {
        let settle = self.handler.settle();
        match handled {
            Handled::Created { created, recovered, attempts } => {
                let verdict = self.checks.verify(&job, &created, stop).await;
                Decision::Answer(reply::created(job, created, recovered, verdict, attempts), None)
            }
            Handled::Expired { failure, attempts } => {
                Decision::Answer(reply::expired(&job, failure, attempts), None)
            }
            // One that a limit ended can be replayed when whatever was away is back.
            Handled::Failed { failure, in_doubt, limit, attempts } => {
                let parking = (limit.is_some() || in_doubt).then(|| Parking {
                    reason: DeadReason::Exhausted,
                    history: noted(delivery, began, attempts, unknown(settle)),
                });
                Decision::Answer(reply::failure(&job, failure, in_doubt, limit, attempts), parking)
            }
            Handled::HandedBack => Decision::HandBack,
            Handled::Later { .. } | Handled::NotAdmitted { .. } if delivery.is_stale() => Decision::HandBack,
            Handled::NotAdmitted { rejected, attempts, learned } => Decision::Move(Moving {
                to: Source::Held,
                tenant: None,
                history: noted(delivery, began, attempts, learned),
                why: rejected.to_string(),
            }),
            Handled::Later { tier, attempts, failure, learned } => Decision::Defer(Deferral {
                tier,
                history: noted(delivery, began, attempts, learned),
                why: failure.map(|failure| failure.to_string()),
            }),
        }
    }

    /// The end of a job that the worker cannot do.
    pub(super) fn give_up(
        &self,
        delivery: &Delivery,
        job_id: Option<&JobId>,
        reason: DeadReason,
        message: &str,
    ) -> Decision {
        let attempts = delivery.history.attempts.unwrap_or_default();
        let history = noted(delivery, clock::now(), attempts, unknown(self.handler.settle()));
        Decision::Answer(reply::internal(job_id, message, attempts), Some(Parking { reason, history }))
    }

    async fn settle(&self, delivery: Delivery, settlement: Settlement) -> Result<(), broker::Error> {
        let kind = match settlement {
            Settlement::Ack => SettlementKind::Ack,
            Settlement::Requeue => SettlementKind::Requeue,
        };
        let settled = delivery.settle(settlement).await?;
        self.metrics.broker.settled(kind, settled == Settled::Stale);
        if settled == Settled::Stale {
            warn!("the job's connection is gone: the broker delivers it again");
        }
        Ok(())
    }

    /// Counts and logs the end of a delivery: one line each.
    fn finished(&self, arrival: &Arrival, end: JobEnd, decision: &Decision) {
        let took = arrival.at.elapsed();
        if !matches!(decision, Decision::Move(_)) {
            self.passage().done(Instant::now());
        }
        if let (Decision::Answer(reply, _), false) = (decision, end == JobEnd::Abandoned) {
            self.metrics.jobs.answered(reply.attempts);
        }
        self.metrics.jobs.completed(end, took, unix_now(), arrival.age());
        if let (JobEnd::Failed(_), Decision::Answer(reply, _)) = (end, decision) {
            self.metrics.failures.note(reply);
        }
        decision.log(end, took);
    }
}

fn envelope(delivery: &Delivery) -> Envelope {
    Envelope { message_id: delivery.properties.message_id().map(str::to_owned) }
}

/// The time until a job expires, if it does; nothing if it has.
fn time_left(job: &Job) -> Option<Duration> {
    let left = job.expires_at?.duration_since(clock::now());
    Some(Duration::try_from(left).unwrap_or_default())
}
