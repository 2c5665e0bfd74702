//! The sender's side of the contract: publishes jobs, collects replies. For tools, not for the worker.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};

use super::Error;
use super::connection::{Endpoint, connect, step};
use super::properties::Properties;
use super::publisher::Publisher;

/// A connection of a sender.
pub struct Client {
    connection: Arc<Connection>,
    publisher: Publisher,
    timeout: Duration,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("publisher", &self.publisher).finish_non_exhaustive()
    }
}

/// A queue of the sender's own that lives as long as its connection.
#[derive(Debug)]
pub struct Replies {
    queue: String,
    consumer: Consumer,
    _channel: Channel,
}

impl Client {
    /// Connects, with so many channels to publish on; `role` is part of the name that RabbitMQ's management pages show.
    pub async fn open(endpoint: &Endpoint, role: &str, channels: usize) -> Result<Self, Error> {
        let connection = Arc::new(connect(endpoint, role).await?);
        let publisher = Publisher::new(Arc::clone(&connection), channels, endpoint.timeout).await?;
        Ok(Self { connection, publisher, timeout: endpoint.timeout })
    }

    /// Publishes jobs.
    pub fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// Opens a queue for replies; the broker names it.
    pub async fn replies(&self) -> Result<Replies, Error> {
        let channel = step(self.timeout, "open a channel", self.connection.create_channel()).await?;
        let options =
            QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let declaring = channel.queue_declare("".into(), options, FieldTable::default());
        let queue = step(self.timeout, "create a reply queue", declaring).await?.name().to_string();
        // Nobody else can read this queue and it goes with the connection, so there is nothing to acknowledge for.
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let consuming =
            channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default());
        let consumer = step(self.timeout, "consume the reply queue", consuming).await?;
        Ok(Replies { queue, consumer, _channel: channel })
    }

    /// Closes in order.
    pub async fn close(self) -> Result<(), Error> {
        step(self.timeout, "close the connection", self.connection.close(200, "OK".into())).await
    }
}

impl Replies {
    /// The queue's name, for `reply_to`.
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// The next reply.
    pub async fn next(&mut self) -> Result<(Properties, Vec<u8>), Error> {
        match self.consumer.next().await {
            Some(Ok(delivery)) => Ok((Properties(delivery.properties), delivery.data)),
            Some(Err(error)) => Err(Error::lapin("consume the reply queue", error)),
            None => Err(Error::Cancelled { queue: self.queue.clone() }),
        }
    }
}
