//! The queues: their names, and what is done about missing ones.
//!
//! An existing queue is used as it is. Whether it exists is asked passively, on a channel of its own, because a
//! "no" closes the channel; and a declaration with other arguments than the queue has would be refused.

use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ErrorKind};

use super::Error;
use super::connection::step;
use super::link::Depth;
use crate::retry::tier::Tier;

/// The step in which a queue's arguments can be refused.
pub(super) const CREATE: &str = "create a queue";

/// After so many deliveries that ended badly the broker itself dead-letters a message (quorum queues only).
///
/// The worker decides about every message it can read. This is for one that the AMQP client cannot read and that
/// breaks the connection each time; the limit is high, because up to RabbitMQ 4.2 a hand-back counts too.
pub const DELIVERY_LIMIT: u32 = 50;

/// The same for the dead-letter queue, where listing counts as a delivery: out of reach. RabbitMQ 4.0 would otherwise
/// delete a message that was looked at 20 times.
const DEAD_DELIVERY_LIMIT: u32 = 1_000_000;

/// The names of the queues. All others are derived from the first two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queues {
    /// Where jobs come from.
    pub jobs: String,
    /// Where replies go that name no other place.
    pub replies: String,
}

/// What to do about missing queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopologyMode {
    /// Create them.
    Create,
    /// Refuse to start and name them.
    Verify,
}

impl Queues {
    /// Parked jobs.
    pub fn dead(&self) -> String {
        format!("{}.dead", self.jobs)
    }

    /// Jobs that wait for a long time to be tried again.
    pub fn retry(&self, tier: Tier) -> String {
        format!("{}.retry.{}", self.jobs, tier.as_str())
    }

    /// Jobs that wait for a slot.
    pub fn overflow(&self) -> String {
        format!("{}.overflow", self.jobs)
    }

    /// Jobs that wait until calls for them can be made.
    pub fn held(&self) -> String {
        format!("{}.held", self.jobs)
    }

    /// Replies that no queue would take.
    pub fn undeliverable(&self) -> String {
        format!("{}.undeliverable", self.jobs)
    }

    /// Whether a queue is one that the worker itself reads or parks in; a reply there could loop for ever.
    pub fn is_own(&self, queue: &str) -> bool {
        queue.strip_prefix(&self.jobs).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// Every queue and the arguments it is created with; the job queue last, so that no worker takes a job before there
    /// is a place for whatever comes of it.
    pub(super) fn all(&self) -> impl Iterator<Item = (String, FieldTable)> {
        let retries = Tier::ALL.map(|tier| (self.retry(tier), self.retry_arguments(tier)));
        let others = [
            (self.dead(), limited(quorum(), DEAD_DELIVERY_LIMIT)),
            (self.overflow(), limited(dead_lettering_to(&self.dead()), DELIVERY_LIMIT)),
            (self.held(), limited(dead_lettering_to(&self.dead()), DELIVERY_LIMIT)),
            (self.undeliverable(), quorum()),
            (self.replies.clone(), quorum()),
            (self.jobs.clone(), limited(dead_lettering_to(&self.dead()), DELIVERY_LIMIT)),
        ];
        retries.into_iter().chain(others)
    }

    /// A time to live for the whole queue, after which a job goes back to the job queue.
    fn retry_arguments(&self, tier: Tier) -> FieldTable {
        let mut arguments = dead_lettering_to(&self.jobs);
        let milliseconds = u32::try_from(tier.delay().as_millis()).unwrap_or(u32::MAX);
        arguments.insert("x-message-ttl".into(), AMQPValue::LongUInt(milliseconds));
        arguments
    }
}

/// Replicated, and on disk before it is confirmed.
fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments
}

/// Dead-letters with the broker's own confirms in between: without `at-least-once` a dead letter is dropped when its
/// target does not take it. That strategy needs `reject-publish`, which acts only on a queue with a length limit; ours
/// have none.
fn dead_lettering_to(queue: &str) -> FieldTable {
    let mut arguments = quorum();
    let mut text = |key: &str, value: &str| {
        arguments.insert(key.into(), AMQPValue::LongString(value.into()));
    };
    text("x-dead-letter-exchange", "");
    text("x-dead-letter-routing-key", queue);
    text("x-dead-letter-strategy", "at-least-once");
    text("x-overflow", "reject-publish");
    arguments
}

fn limited(mut arguments: FieldTable, deliveries: u32) -> FieldTable {
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongUInt(deliveries));
    arguments
}

/// Makes sure that every queue exists.
pub(super) async fn ensure(
    connection: &Connection,
    queues: &Queues,
    mode: TopologyMode,
    timeout: Duration,
) -> Result<(), Error> {
    let mut missing = Vec::new();
    for (name, arguments) in queues.all() {
        if exists(connection, &name, timeout).await? {
            continue;
        }
        match mode {
            TopologyMode::Verify => missing.push(name),
            TopologyMode::Create => declare(connection, &name, arguments, timeout).await?,
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(Error::MissingQueues(missing)) }
}

/// Asks for a queue.
pub(super) async fn exists(connection: &Connection, name: &str, timeout: Duration) -> Result<bool, Error> {
    Ok(ready(connection, name, timeout).await?.is_some())
}

/// How many messages of a queue nobody holds, if it exists.
pub(super) async fn ready(
    connection: &Connection,
    name: &str,
    timeout: Duration,
) -> Result<Option<u32>, Error> {
    Ok(look(connection, name, timeout).await?.map(|found| found.ready))
}

/// Looks at a queue, if it exists; on a channel that the answer may close.
pub(super) async fn look(
    connection: &Connection,
    name: &str,
    timeout: Duration,
) -> Result<Option<Depth>, Error> {
    let channel = step(timeout, "open a channel", connection.create_channel()).await?;
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let asked = channel.queue_declare(name.into(), options, FieldTable::default());
    match tokio::time::timeout(timeout, asked).await {
        Ok(Ok(found)) => {
            step(timeout, "close a channel", channel.close(200, "OK".into())).await?;
            Ok(Some(Depth { ready: found.message_count(), consumers: found.consumer_count() }))
        }
        Ok(Err(error)) if is_not_found(&error) => Ok(None),
        // An exclusive queue of somebody else exists, and is locked (405): it cannot be used.
        Ok(Err(error)) => Err(Error::lapin("look for a queue", error)),
        Err(_) => Err(Error::Timeout { step: "look for a queue", after: timeout }),
    }
}

fn is_not_found(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(protocol) if protocol.get_id() == 404)
}

async fn declare(
    connection: &Connection,
    name: &str,
    arguments: FieldTable,
    timeout: Duration,
) -> Result<(), Error> {
    let channel = step(timeout, "open a channel", connection.create_channel()).await?;
    let options = QueueDeclareOptions::durable();
    step(timeout, CREATE, channel.queue_declare(name.into(), options, arguments)).await?;
    step(timeout, "close a channel", channel.close(200, "OK".into())).await
}

#[cfg(test)]
mod tests {
    use super::Queues;

    #[test]
    fn own_queues_are_known_by_their_name() {
        let queues =
            Queues { jobs: "connections.jobs".to_owned(), replies: "connections.replies".to_owned() };
        for own in ["connections.jobs", "connections.jobs.dead", "connections.jobs.retry.10s"] {
            assert!(queues.is_own(own), "{own}");
        }
        for other in ["connections.replies", "connections.jobs2", "mine", ""] {
            assert!(!queues.is_own(other), "{other}");
        }
    }
}
