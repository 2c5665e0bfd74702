//! Publishing what came of a job: to the sender, or where an operator finds it.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{error, warn};
use uuid::Uuid;

use super::decision::{Decision, Deferral, Moving, Parking};
use super::route::{ReplyRoutes, Route};
use crate::broker;
use crate::broker::delivery::Delivery;
use crate::broker::intake::Source;
use crate::broker::link::Publish;
use crate::broker::properties::{NewProperties, Properties};
use crate::broker::publisher::PublishError;
use crate::clock;
use crate::contract::history::{self, DeadReason, History};
use crate::contract::reply::{Outcome, Reply, reply_id};
use crate::metrics::broker::{BrokerMetrics, PublishResult};
use crate::retry::doubling;
use crate::retry::tier::Tier;
use crate::telemetry::Chain;
use crate::traces::{Sending, TRACEPARENT, TRACESTATE};

/// First pause before a message that was not taken is published again; it doubles.
const PUBLISH_PAUSE: Duration = Duration::from_millis(200);

/// Longest such pause.
const PUBLISH_PAUSE_MAX: Duration = Duration::from_secs(10);

/// Longest text of a foreign origin in a header: all headers have to fit into one frame.
const HEADER_LENGTH: usize = 1024;

fn shortened(text: &str) -> String {
    text.chars().take(HEADER_LENGTH).collect()
}

/// Publishes on behalf of one job.
#[derive(Debug)]
pub(super) struct Answering<'a, P> {
    pub(super) publisher: &'a P,
    pub(super) routes: &'a ReplyRoutes,
    pub(super) metrics: &'a BrokerMetrics,
}

impl<P: Publish> Answering<'_, P> {
    /// Publishes a reply and returns when a queue has it: the sender's, or the one for undeliverable replies.
    ///
    /// An error means that nobody has the reply; the job must then not be acknowledged.
    pub(super) async fn reply(&self, job: &Delivery, reply: &Reply) -> Result<(), broker::Error> {
        let body = match reply.to_json() {
            Ok(body) => body,
            Err(error) => {
                // A reply is made of texts and numbers; there is nothing in it that could fail to be JSON.
                error!(%error, "a reply could not be written as JSON");
                return Err(broker::Error::TaskFailed);
            }
        };
        let properties = reply_properties(&job.properties, reply)?;
        let route = self.routes.route(job.properties.reply_to());
        if let Route::Overruled(queue) = route {
            warn!(queue, "the job's reply_to is not allowed, the reply goes to the reply queue");
        }
        match self.publish("reply", route.queue(), &properties, &body).await {
            Ok(()) => Ok(()),
            Err(error @ (PublishError::Returned { .. } | PublishError::Refused(_))) => {
                self.undeliverable(route.queue(), properties, &body, &error).await
            }
            Err(PublishError::Unconfirmed(error)) => Err(error),
        }
    }

    async fn undeliverable(
        &self,
        queue: &str,
        properties: Properties,
        body: &[u8],
        why: &PublishError,
    ) -> Result<(), broker::Error> {
        let parking = self.routes.undeliverable();
        warn!(reply_queue = queue, error = %Chain(why), "the reply cannot be delivered, it goes to {parking}");
        let properties = properties.with_headers([
            ("undeliverable-queue", queue.to_owned()),
            ("undeliverable-reason", why.to_string()),
        ]);
        self.park("parked", &parking, &properties, body).await?;
        self.metrics.reply_undeliverable(why.result());
        Ok(())
    }

    /// Puts a copy into the dead-letter queue.
    pub(super) async fn dead_letter(
        &self,
        job: &Delivery,
        reason: DeadReason,
        history: &History,
        why: &str,
    ) -> Result<(), broker::Error> {
        let parked = [
            (history::DEAD_REASON, reason.as_str().to_owned()),
            (history::DEAD_AT, now_to_the_millisecond().to_string()),
            (history::LAST_ERROR, shortened(why)),
        ];
        let properties = job.properties.clone().without_headers(&history::ALL);
        let properties = properties.with_headers(history.headers().chain(parked));
        self.park("parked", &self.routes.dead(), &properties, &job.body).await?;
        self.metrics.dead_lettered(reason);
        Ok(())
    }

    /// Puts a job into a retry queue, from which it comes back by itself.
    pub(super) async fn defer(
        &self,
        job: &Delivery,
        tier: Tier,
        history: &History,
        why: Option<&str>,
    ) -> Result<(), broker::Error> {
        self.requeue("retry", &self.routes.retry(tier), job, history, why).await
    }

    /// Puts a job into another queue that the worker takes jobs from.
    pub(super) async fn move_to(
        &self,
        to: Source,
        job: &Delivery,
        history: &History,
        why: &str,
    ) -> Result<(), broker::Error> {
        self.requeue("moved", &self.routes.source(to), job, history, Some(why)).await?;
        self.metrics.moved(job.source, to);
        Ok(())
    }

    async fn requeue(
        &self,
        kind: &'static str,
        queue: &str,
        job: &Delivery,
        history: &History,
        why: Option<&str>,
    ) -> Result<(), broker::Error> {
        let why = why.or_else(|| job.properties.header(history::LAST_ERROR));
        let why = why.map(|why| (history::LAST_ERROR, shortened(why)));
        let properties = job.properties.clone().without_headers(&history::ALL);
        let properties = properties.with_headers(history.headers().chain(why));
        self.park(kind, queue, &properties, &job.body).await
    }

    /// Publishes to one of the worker's own queues, until it takes the message or is found to be missing.
    async fn park(
        &self,
        kind: &'static str,
        queue: &str,
        properties: &Properties,
        body: &[u8],
    ) -> Result<(), broker::Error> {
        let mut pauses = doubling(PUBLISH_PAUSE, PUBLISH_PAUSE_MAX);
        loop {
            let error = match self.publish(kind, queue, properties, body).await {
                Ok(()) => return Ok(()),
                Err(PublishError::Unconfirmed(error)) => return Err(error),
                // The next session makes sure of the queues before it takes a job.
                Err(PublishError::Returned { queue }) => {
                    return Err(broker::Error::MissingQueues(vec![queue]));
                }
                Err(error) => error,
            };
            error!(queue, error = %Chain(&error), "a message cannot be parked; its job is held until it can");
            tokio::time::sleep(pauses.next().unwrap_or(PUBLISH_PAUSE_MAX)).await;
        }
    }

    /// Publishes, and again for as long as the broker's word does not come but the connection is up.
    ///
    /// What came of the job is known by now. To give it up would have the job done again, so it is held: its slot is
    /// the back-pressure. While the broker blocks the connection, nothing is published at all.
    ///
    /// The message goes on with the job's trace.
    async fn publish(
        &self,
        kind: &'static str,
        queue: &str,
        properties: &Properties,
        body: &[u8],
    ) -> Result<(), PublishError> {
        let sending = Sending::begin(queue, body.len());
        let published = match sending.headers() {
            None => self.publish_until_known(kind, queue, properties, body).await,
            Some(trace) => {
                let properties = properties.clone().without_headers(&[TRACEPARENT, TRACESTATE]);
                let properties = properties.with_headers(trace.iter().cloned());
                self.publish_until_known(kind, queue, &properties, body).await
            }
        };
        sending.ended(published.as_ref().err().map(|error| error.result().as_str()));
        published
    }

    async fn publish_until_known(
        &self,
        kind: &'static str,
        queue: &str,
        properties: &Properties,
        body: &[u8],
    ) -> Result<(), PublishError> {
        let mut pauses = doubling(PUBLISH_PAUSE, PUBLISH_PAUSE_MAX);
        loop {
            self.publisher.unblocked().await;
            let started = Instant::now();
            let published = self.publisher.publish(queue, properties, body).await;
            let result = published.as_ref().map_or_else(PublishError::result, |()| PublishResult::Confirmed);
            self.metrics.published(kind, result, started.elapsed());
            match published {
                Err(PublishError::Unconfirmed(error)) if self.publisher.is_connected() => {
                    warn!(error = %Chain(&error), "the broker did not confirm a message, publishing it again");
                    tokio::time::sleep(pauses.next().unwrap_or(PUBLISH_PAUSE_MAX)).await;
                }
                other => return other,
            }
        }
    }
}

/// Publishes all that has to be safe before the delivery is settled.
pub(super) async fn publish(
    answering: &Answering<'_, impl Publish>,
    delivery: &Delivery,
    decision: &Decision,
) -> Result<(), broker::Error> {
    match decision {
        Decision::Answer(reply, parking) => {
            if let (Some(Parking { reason, history }), Outcome::Failed { error }) = (parking, &reply.outcome)
            {
                answering.dead_letter(delivery, *reason, history, &error.message).await?;
            }
            answering.reply(delivery, reply).await
        }
        Decision::Park(rejected) => {
            let (reason, history) =
                (DeadReason::Malformed, History { attempts: Some(0), ..History::default() });
            answering.dead_letter(delivery, reason, &history, &rejected.to_string()).await
        }
        // A stale delivery comes again by itself; a copy of it would be one too many.
        Decision::Defer(_) | Decision::Move(_) if delivery.is_stale() => {
            Err(broker::Error::Closed { role: "consume" })
        }
        Decision::Defer(Deferral { tier, history, why }) => {
            answering.defer(delivery, *tier, history, why.as_deref()).await
        }
        Decision::Move(Moving { to, history, why, .. }) => {
            answering.move_to(*to, delivery, history, why).await
        }
        Decision::HandBack => Ok(()),
    }
}

fn reply_properties(job: &Properties, reply: &Reply) -> Result<Properties, broker::Error> {
    let correlation_id = job.correlation_id().or(job.message_id()).or(reply.job_id.as_deref());
    // Every answer to the same job has the same id; two messages that are no jobs are never the same one.
    let id = reply.job_id.as_deref().map_or_else(Uuid::new_v4, reply_id);
    Properties::json(NewProperties {
        message_id: id.to_string(),
        correlation_id: correlation_id.map(str::to_owned),
        kind: match reply.outcome {
            Outcome::Created { .. } => "connection.created",
            Outcome::Failed { .. } => "connection.failed",
        },
        timestamp: u64::try_from(reply.completed_at.as_second()).unwrap_or_default(),
        reply_to: None,
        headers: Vec::new(),
    })
}

/// The time now, as it stands in messages.
pub(super) fn now_to_the_millisecond() -> Timestamp {
    let now = clock::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
