//! One delivery, from its arrival to its settlement. The only order: the reply is confirmed, then the job is settled.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::{Span, warn};

use super::answer::{Answering, Parked};
use super::arrival::{Arrival, unix_now};
use super::decision::{Decision, Deferral};
use super::suspicion::{self, Suspicion};
use super::{Worker, reply};
use crate::broker;
use crate::broker::delivery::{Delivery, Settled, Settlement};
use crate::broker::publisher::Publisher;
use crate::contract::history::{DeadReason, History};
use crate::contract::ids::JobId;
use crate::contract::job::Job;
use crate::contract::{self, Envelope, Rejected};
use crate::flow::FlowApi;
use crate::handler::{Handled, Past};
use crate::metrics::broker::SettlementKind;
use crate::metrics::jobs::JobEnd;
use crate::retry::doubt::Doubt;
use crate::retry::tier::Tier;

/// Why a job's task ends without settling its delivery.
#[derive(Debug)]
pub(super) struct Unsettled(pub(super) broker::Error);

impl<F: FlowApi> Worker<F> {
    /// Does all that is to be done about one delivery, of which there are up to `in_hand`. An error means that the session is no good any more.
    pub(super) async fn process(
        &self,
        delivery: Delivery,
        in_hand: u16,
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
        let decision = self.decide_safely(&delivery, in_hand, publisher, &mut job_id, stop).await;
        let answering = Answering { publisher, routes: &self.routes, metrics: &self.metrics.broker };
        let told = publish(&answering, &delivery, &decision).await;
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
        publisher: &Publisher,
        job_id: &mut Option<JobId>,
        stop: &CancellationToken,
    ) -> Decision {
        let deciding =
            AssertUnwindSafe(self.decide(delivery, in_hand, publisher, job_id, stop)).catch_unwind();
        match deciding.await {
            Ok(decision) => decision,
            // The panic hook has logged what and where.
            Err(_payload) => {
                self.metrics.jobs.panicked();
                let message = "the worker failed on this job; whether the connection exists is unknown";
                let reply = reply::internal(job_id.as_ref(), message);
                Decision::Answer(reply, Some(DeadReason::Internal))
            }
        }
    }

    async fn decide(
        &self,
        delivery: &Delivery,
        in_hand: u16,
        publisher: &Publisher,
        job_id: &mut Option<JobId>,
        stop: &CancellationToken,
    ) -> Decision {
        let envelope = Envelope { message_id: delivery.properties.message_id().map(str::to_owned) };
        let history = delivery.history();
        if let Some(decision) = suspect(delivery, in_hand, &history, &envelope) {
            return decision;
        }
        let job = match contract::parse(&delivery.body, &envelope, &self.defaults, self.limits) {
            Ok(job) => job,
            Err(rejected) => return self.reject(rejected, delivery),
        };
        Span::current().record("job_id", job.id.as_str());
        *job_id = Some(job.id.clone());
        let Some(_slot) = self.slot(stop).await else { return Decision::HandBack };
        // What comes of a job could not be published: it is better not begun.
        if stop.run_until_cancelled(publisher.unblocked()).await.is_none() || delivery.is_stale() {
            return Decision::HandBack;
        }
        let past = Past {
            attempts: history.attempts.unwrap_or_default(),
            first_seen_at: history.first_seen_at,
            doubt: match (delivery.redelivered, history.attempts) {
                (true, _) => Doubt::Open,
                (false, Some(_)) => Doubt::Settled,
                (false, None) => Doubt::None,
            },
        };
        let began = Timestamp::now();
        match self.handler.handle(&job, past, time_left(&job), stop).await {
            Handled::HandedBack => Decision::HandBack,
            Handled::Later { .. } if delivery.is_stale() => Decision::HandBack,
            Handled::Later { tier, attempts, failure } => Decision::Defer(Deferral {
                tier,
                history: History {
                    attempts: Some(attempts),
                    first_seen_at: history.first_seen_at.or(Some(began)),
                    trials: None,
                },
                why: failure.map(|failure| failure.to_string()).unwrap_or_default(),
            }),
            handled => reply::answer(job, handled),
        }
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
        Decision::Answer(reply::invalid(&rejected), None)
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
        decision.log(end, took);
    }
}

/// Publishes all that has to be safe before the delivery is settled.
async fn publish(
    answering: &Answering<'_>,
    delivery: &Delivery,
    decision: &Decision,
) -> Result<(), broker::Error> {
    match decision {
        Decision::Answer(reply, park) => {
            if let Some(reason) = park {
                answering.dead_letter(delivery, *reason, &Parked::of(reply)).await?;
            }
            answering.reply(delivery, reply).await
        }
        Decision::Park(rejected) => {
            let parked = Parked { attempts: 0, why: rejected.to_string() };
            answering.dead_letter(delivery, DeadReason::Malformed, &parked).await
        }
        Decision::Defer(Deferral { tier, history, why }) => {
            answering.defer(delivery, *tier, history, why).await
        }
        Decision::HandBack => Ok(()),
    }
}

/// How many jobs may be in hand while this one is tried, if that matters.
pub(super) fn most_in_hand(delivery: &Delivery) -> Option<u16> {
    let trials = delivery.history().trials;
    match suspicion::of(trials, delivery.redelivered, delivery.delivery_count) {
        Suspicion::AtMost(most) => Some(most),
        Suspicion::None | Suspicion::Note(_) | Suspicion::Guilty => None,
    }
}

/// What to do about a delivery that may be one that kills the worker, if it is not to be tried now, with up to `in_hand`
/// jobs in hand. Its body is not looked into: that may be what kills.
fn suspect(delivery: &Delivery, in_hand: u16, history: &History, envelope: &Envelope) -> Option<Decision> {
    let note = |trials, why: &str| {
        Some(Decision::Defer(Deferral {
            tier: Tier::TenSeconds,
            history: History {
                attempts: Some(history.attempts.unwrap_or_default()),
                first_seen_at: history.first_seen_at,
                trials: Some(trials),
            },
            why: why.to_owned(),
        }))
    };
    match suspicion::of(history.trials, delivery.redelivered, delivery.delivery_count) {
        Suspicion::None => None,
        Suspicion::AtMost(most) if in_hand <= most => None,
        Suspicion::AtMost(_) => note(history.trials.unwrap_or_default(), "too many other jobs are in hand"),
        Suspicion::Note(trials) => note(trials, "the session ended while the job was in hand"),
        Suspicion::Guilty => {
            let message = "each time the worker tried this job alone, it or its session ended; whether the connection exists is unknown";
            let id = envelope.message_id.as_deref().and_then(|id| JobId::parse(id).ok());
            Some(Decision::Answer(reply::internal(id.as_ref(), message), Some(DeadReason::CrashLoop)))
        }
    }
}

/// The time until a job expires, if it does; nothing if it has.
fn time_left(job: &Job) -> Option<Duration> {
    let left = job.expires_at?.duration_since(Timestamp::now());
    Some(Duration::try_from(left).unwrap_or_default())
}
