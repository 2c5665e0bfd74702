//! The link to RabbitMQ: two connections, one to take deliveries and settle them, one to publish.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, Consumer};

use super::Error;
use super::acks::Acks;
use super::connection::{Endpoint, connect, step};
use super::delivery::{Delivery, Message};
use super::link::{Consume, Depth, Link, Settle};
use super::properties::Properties;
use super::publisher::Publisher;
use super::topology::{self, Queues, TopologyMode};

/// How to reach the broker, and what has to be there.
#[derive(Debug, Clone)]
pub struct LinkSettings {
    /// The broker.
    pub endpoint: Endpoint,
    /// The queues.
    pub queues: Queues,
    /// What to do about missing queues.
    pub topology: TopologyMode,
    /// Channels to publish on; each carries the messages to one queue.
    pub publish_channels: usize,
}

/// A link to RabbitMQ.
pub struct RabbitMq {
    consume: Arc<Connection>,
    publish: Arc<Connection>,
    publisher: Arc<Publisher>,
    /// The channels of the queues that are consumed, each with what is to be settled on it.
    channels: Mutex<HashMap<String, Arc<Acks>>>,
    timeout: Duration,
}

impl std::fmt::Debug for RabbitMq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RabbitMq").field("publisher", &self.publisher).finish_non_exhaustive()
    }
}

impl RabbitMq {
    /// Connects, and makes sure of the queues and of the right to publish.
    pub async fn open(settings: &LinkSettings) -> Result<Self, Error> {
        let endpoint = &settings.endpoint;
        let timeout = endpoint.timeout;
        let (consume, publish) =
            tokio::try_join!(connect(endpoint, "consume"), connect(endpoint, "publish"))?;
        topology::ensure(&consume, &settings.queues, settings.topology, timeout).await?;
        let publish = Arc::new(publish);
        let publisher = Publisher::new(Arc::clone(&publish), settings.publish_channels, timeout).await?;
        publisher.check_permission().await?;
        Ok(Self {
            consume: Arc::new(consume),
            publish,
            publisher: Arc::new(publisher),
            channels: Mutex::default(),
            timeout,
        })
    }

    /// The channel on which a queue is consumed.
    async fn channel(&self, queue: &str) -> Result<Arc<Acks>, Error> {
        let known = self.channels.lock().unwrap_or_else(PoisonError::into_inner).get(queue).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let channel = step(self.timeout, "open a channel", self.consume.create_channel()).await?;
        let acks = Arc::new(Acks::new(channel, self.timeout));
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(channels.entry(queue.to_owned()).or_insert(acks)))
    }
}

impl Link for RabbitMq {
    type Consumer = QueueConsumer;
    type Publisher = Publisher;

    /// The prefetch limit is set before: it holds only for consumers that start later, and per consumer, because quorum queues
    /// refuse the global kind.
    async fn consume(&self, queue: &str, prefetch: u16) -> Result<QueueConsumer, Error> {
        let acks = self.channel(queue).await?;
        let qos = acks.channel().basic_qos(prefetch, BasicQosOptions { global: false });
        step(self.timeout, "limit the prefetch", qos).await?;
        let options = BasicConsumeOptions::default();
        let consuming = acks.channel().basic_consume(queue.into(), "".into(), options, FieldTable::default());
        let consumer = step(self.timeout, "consume a queue", consuming).await?;
        let (connection, queue, timeout) = (Arc::clone(&self.consume), queue.to_owned(), self.timeout);
        Ok(QueueConsumer { connection, consumer, acks, queue, timeout })
    }

    fn publisher(&self) -> Arc<Publisher> {
        Arc::clone(&self.publisher)
    }

    fn check(&self) -> Result<(bool, bool), Error> {
        if !self.consume.status().connected() {
            return Err(Error::Closed { role: "consume" });
        }
        if !self.publish.status().connected() {
            return Err(Error::Closed { role: "publish" });
        }
        Ok((self.consume.status().blocked(), self.publish.status().blocked()))
    }

    async fn depth(&self, queue: &str) -> Result<Option<Depth>, Error> {
        topology::look(&self.consume, queue, self.timeout).await
    }

    /// Once a request is answered, everything before it on its channel was handled.
    async fn settled(&self, queue: &str) -> Result<(), Error> {
        let known = self.channels.lock().unwrap_or_else(PoisonError::into_inner).get(queue).cloned();
        let Some(acks) = known else { return Ok(()) };
        let round_trip = acks.channel().basic_qos(1, BasicQosOptions { global: false });
        step(self.timeout, "settle the last jobs", round_trip).await
    }

    /// Quorum queues can lose acknowledgements that arrive right before the channel closes, so one answered request goes in
    /// between.
    async fn close(&self) -> Result<(), Error> {
        let channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (queue, acks) in channels {
            self.settled(&queue).await?;
            step(self.timeout, "close the channel", acks.channel().close(200, "OK".into())).await?;
        }
        step(self.timeout, "close the consume connection", self.consume.close(200, "OK".into())).await?;
        step(self.timeout, "close the publish connection", self.publish.close(200, "OK".into())).await
    }
}

/// Consumes one queue.
#[derive(Debug)]
pub struct QueueConsumer {
    connection: Arc<Connection>,
    consumer: Consumer,
    acks: Arc<Acks>,
    queue: String,
    timeout: Duration,
}

impl QueueConsumer {
    fn taken(&self, message: lapin::message::Delivery) -> Delivery {
        self.acks.delivered(message.delivery_tag);
        let channel = Arc::downgrade(&self.acks);
        delivery(message, channel)
    }
}

impl Consume for QueueConsumer {
    async fn hold(&self) -> Box<dyn Send> {
        Box::new(self.acks.turn().await)
    }

    async fn next(&mut self) -> Result<Delivery, Error> {
        match self.consumer.next().await {
            Some(Ok(message)) => Ok(self.taken(message)),
            Some(Err(error)) => Err(Error::lapin("consume a queue", error)),
            None if self.connection.status().connected() => {
                Err(Error::Cancelled { queue: self.queue.clone() })
            }
            None => Err(Error::Closed { role: "consume" }),
        }
    }

    async fn cancel(&mut self) -> Result<Vec<Delivery>, Error> {
        let channel = self.acks.channel();
        let cancelling = channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default());
        step(self.timeout, "stop consuming", cancelling).await?;
        let buffered = self.consumer.by_ref().try_collect::<Vec<_>>();
        let buffered = step(self.timeout, "stop consuming", buffered).await?;
        Ok(buffered.into_iter().map(|message| self.taken(message)).collect())
    }
}

/// A delivery of lapin's, in our words.
pub(super) fn delivery(message: lapin::message::Delivery, channel: Weak<dyn Settle>) -> Delivery {
    let tag = message.delivery_tag;
    let (properties, body, redelivered) = (Properties(message.properties), message.data, message.redelivered);
    Delivery::new(Message { properties, body, redelivered }, tag, channel)
}
