//! One stretch of being connected: from connect to the first error, or to an orderly close.
//!
//! Knows nothing of jobs. Whatever goes wrong ends the session; healing is the supervisor's work.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};

use super::Error;
use super::acks::Acks;
use super::caution::Caution;
use super::connection::{Endpoint, connect, step};
use super::delivery::Delivery;
use super::depths::Depths;
use super::publisher::Publisher;
use super::topology::{self, Queues, TopologyMode};
use super::watchdog::{Timing, Watchdog};

/// What a session needs to know.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// The broker.
    pub endpoint: Endpoint,
    /// The queues.
    pub queues: Queues,
    /// What to do about missing queues.
    pub topology: TopologyMode,
    /// Deliveries that may be unsettled at the same time: this is the limit of concurrency. lapin buffers without
    /// bounds, so it is never 0, which would mean no limit.
    pub prefetch: u16,
    /// Channels to publish on; each carries the messages to one queue.
    pub publish_channels: usize,
    /// When to ask whether the consumer is forgotten.
    pub watch: Timing,
}

/// Two connections, a consumer on one and a publisher on the other.
pub struct Session {
    consume: Arc<Connection>,
    publish: Arc<Connection>,
    channel: Channel,
    consumer: Consumer,
    acks: Arc<Acks>,
    publisher: Arc<Publisher>,
    prefetch: u16,
    /// The prefetch limit that is wanted for now,
    wanted: u16,
    /// and the one in force.
    limit: u16,
    consuming: bool,
    caution: Option<Caution>,
    watchdog: Watchdog,
    queue: String,
    queues: Queues,
    timeout: Duration,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("queue", &self.queue).finish_non_exhaustive()
    }
}

impl Session {
    /// Connects, makes sure of the queues, and starts to consume.
    pub async fn open(settings: &SessionSettings) -> Result<Self, Error> {
        Self::open_with(settings, settings.prefetch).await
    }

    /// The same, taking one job at a time until [`Session::may_relax`].
    ///
    /// For after a message that broke the last session by its mere arrival: so it breaks the next one alone, with no
    /// other job in hand, until the broker parks it.
    pub async fn open_careful(settings: &SessionSettings) -> Result<Self, Error> {
        let mut session = Self::open_with(settings, 1).await?;
        session.caution = Some(Caution::for_jobs(settings.prefetch));
        Ok(session)
    }

    async fn open_with(settings: &SessionSettings, prefetch: u16) -> Result<Self, Error> {
        let endpoint = &settings.endpoint;
        let timeout = endpoint.timeout;
        let (consume, publish) =
            tokio::try_join!(connect(endpoint, "consume"), connect(endpoint, "publish"))?;
        topology::ensure(&consume, &settings.queues, settings.topology, timeout).await?;

        let (consume, publish) = (Arc::new(consume), Arc::new(publish));
        let publisher = Publisher::new(Arc::clone(&publish), settings.publish_channels, timeout).await?;
        publisher.check_permission().await?;
        let channel = step(timeout, "open a channel", consume.create_channel()).await?;
        let queue = settings.queues.jobs.clone();
        let consumer = start_consumer(&channel, &queue, prefetch, timeout).await?;
        let watchdog = Watchdog::new(settings.watch, Arc::clone(&consume), queue.clone(), timeout);
        Ok(Self {
            consume,
            publish,
            acks: Arc::new(Acks::new(channel.clone())),
            channel,
            consumer,
            publisher: Arc::new(publisher),
            prefetch: settings.prefetch,
            wanted: prefetch,
            limit: prefetch,
            consuming: true,
            caution: None,
            watchdog,
            queue,
            queues: settings.queues.clone(),
            timeout,
        })
    }

    /// Whether it takes fewer jobs at a time than it may.
    pub fn is_careful(&self) -> bool {
        self.caution.is_some()
    }

    /// Whether a careful session may go on as any other: as many jobs have come as were in hand when the last session
    /// broke, or none came for a while.
    ///
    /// `in_hand` says whether a job is still being worked on: then no other can come, and the quiet means nothing.
    pub fn may_relax(&self, in_hand: bool) -> bool {
        self.consuming && self.caution.as_ref().is_some_and(|caution| caution.is_over(in_hand))
    }

    /// Goes on with the full prefetch limit; gives the jobs that had arrived and were not yet taken.
    pub async fn relax(&mut self) -> Result<Vec<Delivery>, Error> {
        self.caution = None;
        let untaken = self.stop_consuming().await?;
        self.wanted = self.prefetch;
        self.resume(self.wanted).await?;
        Ok(untaken)
    }

    /// Goes on consuming after [`Session::stop_consuming`], with fewer jobs at a time for a while.
    pub async fn resume_carefully(&mut self, prefetch: u16) -> Result<(), Error> {
        self.caution = Some(Caution::for_suspects(self.caution.as_ref()));
        self.wanted = prefetch;
        self.resume(self.wanted).await
    }

    /// Goes on consuming after [`Session::stop_consuming`] as before, but with `most` jobs at a time if that is fewer.
    pub async fn resume_with(&mut self, most: u16) -> Result<(), Error> {
        self.resume(self.wanted.min(most)).await
    }

    /// Whether jobs are being taken.
    pub fn is_consuming(&self) -> bool {
        self.consuming
    }

    /// A reason to be careful has come: a session that is careful for a time stays so for a while longer.
    pub fn stay_careful(&mut self) {
        if let Some(caution) = &mut self.caution {
            caution.suspect_came();
        }
    }

    /// How many jobs may be in hand for now.
    pub fn limit(&self) -> u16 {
        self.limit
    }

    async fn resume(&mut self, prefetch: u16) -> Result<(), Error> {
        self.consumer = start_consumer(&self.channel, &self.queue, prefetch, self.timeout).await?;
        (self.consuming, self.limit) = (true, prefetch);
        Ok(())
    }

    /// Looks at the queues, for as long as the session lasts.
    pub fn depths(&self) -> Depths {
        Depths { connection: Arc::clone(&self.consume), queues: self.queues.clone(), timeout: self.timeout }
    }

    /// Publishes on this session's connection.
    pub fn publisher(&self) -> Arc<Publisher> {
        Arc::clone(&self.publisher)
    }

    /// Lets the session ask whether its consumer is forgotten, if that is due; [`Session::next`] then tells. To be called
    /// every now and then, with whether nothing is in hand and jobs are wanted.
    pub fn watch(&mut self, idle: bool) {
        self.watchdog.tick(idle);
    }

    /// The next job. An end that we did not ask for is an error, never a success. Safe to drop and call again.
    pub async fn next(&mut self) -> Result<Delivery, Error> {
        let next = tokio::select! {
            biased;
            next = self.consumer.next() => next,
            error = self.watchdog.alarm() => return Err(error),
        };
        self.watchdog.delivered();
        if let Some(caution) = &mut self.caution {
            caution.job_came();
        }
        match next {
            Some(Ok(delivery)) => Ok(self.delivery(delivery)),
            Some(Err(error)) => Err(Error::lapin("consume the job queue", error)),
            None if self.consume.status().connected() => Err(Error::Cancelled { queue: self.queue.clone() }),
            None => Err(Error::Closed { role: "consume" }),
        }
    }

    /// Whether the broker blocks the connections (consume, publish); an error if one of them is gone.
    pub fn check(&self) -> Result<(bool, bool), Error> {
        if !self.consume.status().connected() {
            return Err(Error::Closed { role: "consume" });
        }
        if !self.publish.status().connected() {
            return Err(Error::Closed { role: "publish" });
        }
        Ok((self.consume.status().blocked(), self.publish.status().blocked()))
    }

    /// Takes no more jobs until it is resumed; gives those that had arrived and were not yet taken.
    pub async fn stop_consuming(&mut self) -> Result<Vec<Delivery>, Error> {
        if !std::mem::take(&mut self.consuming) {
            return Ok(Vec::new());
        }
        let cancelling = self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default());
        step(self.timeout, "stop consuming", cancelling).await?;
        let buffered = self.consumer.by_ref().try_collect::<Vec<_>>();
        let buffered = step(self.timeout, "stop consuming", buffered).await?;
        Ok(buffered.into_iter().map(|delivery| self.delivery(delivery)).collect())
    }

    fn delivery(&self, delivery: lapin::message::Delivery) -> Delivery {
        Delivery::new(delivery, self.timeout).among(&self.acks)
    }

    /// Closes in order. What is unsettled then goes back to the queue.
    ///
    /// Quorum queues can lose acknowledgements that arrive right before the channel closes, so one answered
    /// request goes in between: once it is answered, everything before it was handled.
    pub async fn close(self) -> Result<(), Error> {
        let round_trip = self.channel.basic_qos(self.prefetch, BasicQosOptions { global: false });
        step(self.timeout, "settle the last jobs", round_trip).await?;
        step(self.timeout, "close the channel", self.channel.close(200, "OK".into())).await?;
        step(self.timeout, "close the consume connection", self.consume.close(200, "OK".into())).await?;
        step(self.timeout, "close the publish connection", self.publish.close(200, "OK".into())).await
    }
}

/// Starts to consume, after the prefetch limit is set: it holds only for consumers that start later, and per consumer,
/// because quorum queues refuse the global kind.
async fn start_consumer(
    channel: &Channel,
    queue: &str,
    prefetch: u16,
    timeout: Duration,
) -> Result<Consumer, Error> {
    let qos = channel.basic_qos(prefetch, BasicQosOptions { global: false });
    step(timeout, "limit the prefetch", qos).await?;
    let options = BasicConsumeOptions::default();
    let consuming = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
    step(timeout, "consume the job queue", consuming).await
}
