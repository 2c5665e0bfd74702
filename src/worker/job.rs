//! One delivery, from its arrival to its settlement. The only order: the reply is confirmed, then the job is settled.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Span, info, warn};

use super::Worker;
use super::answer::{Answering, now_to_the_millisecond};
use crate::broker;
use crate::broker::delivery::{Delivery, Settled, Settlement};
use crate::broker::publisher::Publisher;
use crate::contract::ids::JobId;
use crate::contract::job::Job;
use crate::contract::reply::{CreatedConnection, ErrorCode, Outcome, Reply, ReplyError, SCHEMA_VERSION};
use crate::contract::{self, Envelope, Rejected};
use crate::flow::{Failure, FlowApi};
use crate::handler::Handled;
use crate::metrics::broker::SettlementKind;
use crate::metrics::jobs::JobEnd;

/// What is to be done with a delivery.
enum Decision {
    /// Tell the sender, then acknowledge.
    Answer(Reply),
    /// Nobody can be told: park it, then acknowledge.
    Park(Rejected),
    /// Give it back to the queue as it came.
    HandBack,
}

/// Why a job's task ends without settling its delivery.
#[derive(Debug)]
pub(super) struct Unsettled(pub(super) broker::Error);

impl<F: FlowApi> Worker<F> {
    /// Does all that is to be done about one delivery. An error means that the session is no good any more.
    pub(super) async fn process(
        &self,
        mut delivery: Delivery,
        publisher: &Publisher,
        stop: &CancellationToken,
    ) -> Result<(), Unsettled> {
        let arrival = Arrival::of(&delivery);
        let _in_flight = self.metrics.jobs.received(
            delivery.redelivered,
            delivery.body.len(),
            arrival.at_unix,
            arrival.waited(),
        );
        let mut job_id = None;
        let decision = self.decide_safely(&mut delivery, &mut job_id, stop).await;
        let answering = Answering { publisher, routes: &self.routes, metrics: &self.metrics.broker };
        let (publishing, how, end) = match &decision {
            Decision::Answer(reply) => {
                (answering.reply(&delivery, reply).await, Settlement::Ack, end_of(reply))
            }
            Decision::Park(rejected) => {
                let why = rejected.to_string();
                (answering.dead_letter(&delivery, &why).await, Settlement::Ack, JobEnd::Parked)
            }
            Decision::HandBack => (Ok(()), Settlement::Requeue, JobEnd::HandedBack),
        };
        let settled = match publishing {
            Ok(()) => self.settle(delivery, how).await,
            Err(error) => Err(error),
        };
        match settled {
            Ok(()) => {
                self.finished(&arrival, end, &decision);
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
        delivery: &mut Delivery,
        job_id: &mut Option<JobId>,
        stop: &CancellationToken,
    ) -> Decision {
        let deciding = AssertUnwindSafe(self.decide(delivery, job_id, stop)).catch_unwind();
        match deciding.await {
            Ok(decision) => decision,
            // The panic hook has logged what and where.
            Err(_payload) => {
                self.metrics.jobs.panicked();
                let message = "the worker failed on this job; whether the connection exists is unknown";
                let error = ReplyError::new(ErrorCode::Internal, message);
                Decision::Answer(failed(job_id.as_ref(), error, 0))
            }
        }
    }

    async fn decide(
        &self,
        delivery: &mut Delivery,
        job_id: &mut Option<JobId>,
        stop: &CancellationToken,
    ) -> Decision {
        let envelope = Envelope { message_id: delivery.properties.message_id().map(str::to_owned) };
        let job = match contract::parse(&delivery.body, &envelope, &self.defaults, self.limits) {
            Ok(job) => job,
            Err(rejected) => return self.reject(rejected, delivery),
        };
        Span::current().record("job_id", job.id.as_str());
        *job_id = Some(job.id.clone());
        // The job holds its own copy from here on, and may be held for minutes.
        delivery.body.clear();
        let Some(_slot) = self.slot(stop).await else { return Decision::HandBack };
        if delivery.is_stale() {
            return Decision::HandBack;
        }
        let time_left = match time_left(&job) {
            Ok(time_left) => time_left,
            Err(message) => {
                let error = ReplyError::new(ErrorCode::Expired, message);
                return Decision::Answer(failed(Some(&job.id), error, 0));
            }
        };
        let handled = self.handler.handle(&job, time_left, stop).await;
        answer_to(job, handled)
    }

    /// What to do about a message that is no job: answer it if there is anything to answer to.
    fn reject(&self, rejected: Rejected, delivery: &Delivery) -> Decision {
        let properties = &delivery.properties;
        let known = rejected.job_id.is_some()
            || properties.correlation_id().is_some()
            || properties.message_id().is_some()
            || properties.reply_to().is_some_and(|queue| self.routes.allows(queue));
        if let Some(id) = &rejected.job_id {
            Span::current().record("job_id", id.as_str());
        }
        if !known {
            return Decision::Park(rejected);
        }
        let error = ReplyError::new(ErrorCode::InvalidJob, rejected.to_string());
        Decision::Answer(failed(rejected.job_id.as_ref(), error, 0))
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
        self.metrics.jobs.completed(end, took, unix_now(), arrival.age());
        let outcome = end.as_str();
        let duration_seconds = took.as_secs_f64();
        match decision {
            Decision::Answer(Reply { outcome: Outcome::Created { connection }, attempts, .. }) => {
                info!(outcome, attempts, duration_seconds, connection_id = connection.id, "job done");
            }
            Decision::Answer(Reply { outcome: Outcome::Failed { error }, attempts, .. }) => info!(
                outcome,
                attempts,
                duration_seconds,
                code = error.code.as_str(),
                http_status = error.http_status,
                flow_code = error.flow_code,
                request_id = error.request_id,
                error = error.message,
                "job done"
            ),
            Decision::Park(rejected) => {
                warn!(outcome, duration_seconds, error = %rejected, "job done");
            }
            Decision::HandBack => info!(outcome, duration_seconds, "job done"),
        }
    }
}

/// When a delivery came, and when its sender sent it.
struct Arrival {
    at: Instant,
    at_unix: f64,
    sent_unix: Option<f64>,
}

impl Arrival {
    fn of(delivery: &Delivery) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "Unix time in seconds is far below 2^52")]
        let sent_unix = delivery.properties.timestamp().map(|seconds| seconds as f64);
        Self { at: Instant::now(), at_unix: unix_now(), sent_unix }
    }

    /// AMQP timestamps are whole seconds and clocks differ, so a job may seem to come from the future.
    fn waited(&self) -> Option<f64> {
        self.sent_unix.map(|sent| (self.at_unix - sent).max(0.0))
    }

    fn age(&self) -> Option<f64> {
        self.sent_unix.map(|sent| (unix_now() - sent).max(0.0))
    }
}

fn unix_now() -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "Unix time in milliseconds is below 2^52")]
    let milliseconds = Timestamp::now().as_millisecond() as f64;
    milliseconds / 1000.0
}

/// The time until a job expires; an explanation if it has.
fn time_left(job: &Job) -> Result<Option<Duration>, String> {
    let Some(expires_at) = job.expires_at else { return Ok(None) };
    let left = expires_at.duration_since(Timestamp::now());
    match Duration::try_from(left) {
        Ok(left) if !left.is_zero() => Ok(Some(left)),
        _ => Err(format!("the job expired at {expires_at}, before the worker took it")),
    }
}

/// What the sender is told about a job that was handled.
fn answer_to(job: Job, handled: Handled) -> Decision {
    match handled {
        Handled::Created { created, attempts } => Decision::Answer(Reply {
            schema_version: SCHEMA_VERSION,
            job_id: Some(job.id.as_str().to_owned()),
            outcome: Outcome::Created {
                connection: CreatedConnection {
                    id: created.id,
                    etag: created.etag,
                    name: job.name,
                    connection_spec_id: job.connection_spec_id,
                    ims_org_id: job.ims_org_id.as_str().to_owned(),
                    sandbox_name: job.sandbox_name.as_str().to_owned(),
                    recovered: false,
                },
            },
            attempts,
            completed_at: now_to_the_millisecond(),
        }),
        Handled::Failed { failure, limit, attempts } => {
            let message = match limit {
                Some(limit) => format!("{failure} ({})", limit.as_str()),
                None => failure.to_string(),
            };
            let error = with_answer(ReplyError::new(failure.kind.code(), message), failure);
            Decision::Answer(failed(Some(&job.id), error, attempts))
        }
        Handled::Expired { failure, attempts } => {
            let message =
                format!("the job expires before it can be tried again; the last failure: {failure}");
            let error = with_answer(ReplyError::new(ErrorCode::Expired, message), failure);
            Decision::Answer(failed(Some(&job.id), error, attempts))
        }
        Handled::HandedBack => Decision::HandBack,
    }
}

fn end_of(reply: &Reply) -> JobEnd {
    match &reply.outcome {
        Outcome::Created { .. } => JobEnd::Created,
        Outcome::Failed { error } => JobEnd::Failed(error.code),
    }
}

fn failed(job_id: Option<&JobId>, error: ReplyError, attempts: u32) -> Reply {
    Reply {
        schema_version: SCHEMA_VERSION,
        job_id: job_id.map(|id| id.as_str().to_owned()),
        outcome: Outcome::Failed { error },
        attempts,
        completed_at: now_to_the_millisecond(),
    }
}

fn with_answer(error: ReplyError, failure: Failure) -> ReplyError {
    ReplyError {
        http_status: failure.http_status,
        flow_code: failure.flow_code,
        request_id: failure.request_id,
        ..error
    }
}
