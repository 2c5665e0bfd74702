//! Publishes messages so that "sent" means: a queue has it.
//!
//! A message counts as sent only when the broker has confirmed it *and* has not returned it. lapin does not say which
//! message was returned as soon as several are under way on one channel; `batch.rs` finds out. Batches are per queue, so
//! that a queue which does not answer holds up nobody else. A channel whose batch did not end well is thrown away. While
//! many messages are under way, further ones gather so that they go together (`crowd.rs`).

mod batch;
mod crowd;
mod lane;
mod pool;

use std::sync::Arc;
use std::time::Duration;

use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{Confirmation, Connection};
use uuid::Uuid;

use self::batch::{After, Fate, Member};
use self::crowd::Crowd;
use self::lane::{Lane, Lanes};
use self::pool::Pool;
use super::Error;
use super::connection::step;
use super::link::Publish;
use super::properties::Properties;
use super::topology::exists;
use crate::metrics::broker::PublishResult;

const PUBLISH: &str = "publish a message";

/// How often a blocked connection is looked at: lapin tells the state, and the change only to one listener.
const BLOCKED_CHECK: Duration = Duration::from_millis(200);

/// Addresses of requesters that use direct reply-to. They are no queues: up to RabbitMQ 3.13 the broker returns every
/// mandatory message to them, the delivered ones too (measured on 3.10), and later none. Whether the requester is still
/// there is told by a passive declaration.
const DIRECT_REPLY: &str = "amq.rabbitmq.reply-to.";

/// Pauses before a refused message is published again. A queue that loses its leader refuses what was on its way, and is
/// well again as soon as another one is elected; a queue that is full still refuses then.
const REFUSED_PAUSES: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(2)];

/// A pool of channels for mandatory, confirmed publishing to the default exchange.
pub struct Publisher {
    connection: Arc<Connection>,
    pool: Pool,
    lanes: Lanes,
    crowd: Crowd,
    timeout: Duration,
}

/// What is published.
struct Message<'a> {
    queue: ShortString,
    mandatory: bool,
    properties: &'a Properties,
    body: &'a [u8],
}

/// Why a message of a batch was not sent.
enum Failed {
    /// For a reason of its own.
    Itself(PublishError),
    /// It was confirmed, but another one of its batch was not, so that nobody knows whether it came back.
    Doubtful,
    /// The broker closed the channel, perhaps over another message of its batch.
    Spoilt,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").field("pool", &self.pool).finish_non_exhaustive()
    }
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// No queue of that name, or no requester at that address: nobody has the message.
    #[error("there is no queue {queue}")]
    Returned {
        /// The queue's name.
        queue: String,
    },
    /// The broker would not take it: the queue is full, or the name is none it accepts.
    #[error("the broker refused the message")]
    Refused(#[source] Option<Error>),
    /// Nobody knows: no word from the broker, or the connection was lost. It may have been sent.
    #[error("the broker did not confirm the message")]
    Unconfirmed(#[source] Error),
}

impl PublishError {
    /// The error as it is counted.
    pub fn result(&self) -> PublishResult {
        match self {
            Self::Returned { .. } => PublishResult::Returned,
            Self::Refused(_) => PublishResult::Refused,
            Self::Unconfirmed(_) => PublishResult::Unconfirmed,
        }
    }
}

impl Failed {
    fn into_error(self) -> PublishError {
        match self {
            Self::Itself(error) => error,
            Self::Doubtful | Self::Spoilt => PublishError::Unconfirmed(Error::Spoilt),
        }
    }
}

impl Publisher {
    /// A pool of at most `channels` channels on `connection`; the first is opened at once.
    pub(super) async fn new(
        connection: Arc<Connection>,
        channels: usize,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let pool = Pool::new(Arc::clone(&connection), channels, timeout).await?;
        Ok(Self { connection, pool, lanes: Lanes::default(), crowd: Crowd::default(), timeout })
    }

    /// Whether the broker blocks publishing for now (memory or disk alarm).
    fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// Makes sure that the user may publish at all: a worker that may not would create connections and never get rid
    /// of a reply. The message goes to a queue that does not exist, so nobody gets it.
    pub(super) async fn check_permission(&self) -> Result<(), Error> {
        let nowhere = format!("connection-worker.{}", Uuid::new_v4());
        match self.publish(&nowhere, &Properties::default(), b"").await {
            Ok(()) | Err(PublishError::Returned { .. } | PublishError::Refused(None)) => Ok(()),
            // While the broker blocks publishers it says nothing, neither yes nor no.
            Err(_) if self.is_blocked() => Ok(()),
            Err(PublishError::Refused(Some(error)) | PublishError::Unconfirmed(error)) => Err(error),
        }
    }

    async fn publish_once(
        &self,
        queue: &str,
        properties: &Properties,
        body: &[u8],
    ) -> Result<(), PublishError> {
        let key = ShortString::try_new(queue)
            .map_err(|_| PublishError::Refused(Some(Error::TooLong { what: "the queue's name" })))?;
        let is_direct = queue.starts_with(DIRECT_REPLY);
        if is_direct && !self.requester_is_there(queue).await? {
            return Err(PublishError::Returned { queue: queue.to_owned() });
        }
        let message = Message { queue: key, mandatory: !is_direct, properties, body };
        let passer = self.crowd.enter();
        // Without a channel for the next batch, none would come of those who wait for it.
        if self.pool.has_room() {
            passer.gather(|| self.lanes.latest(queue)).await;
        }
        let first = self.join(queue).await.map_err(PublishError::Unconfirmed)?;
        let again = match self.publish_on(first, &message).await {
            Err(Failed::Doubtful) => self.join(queue).await,
            // Alone: else the message to blame would spoil the others once more.
            Err(Failed::Spoilt) => self.open_lane().await,
            published => return published.map_err(Failed::into_error),
        };
        let again = again.map_err(PublishError::Unconfirmed)?;
        self.publish_on(again, &message).await.map_err(Failed::into_error)
    }

    /// Gives its part in the lane away, so that whoever is in need of a second one holds none meanwhile.
    async fn publish_on(
        &self,
        (lane, mut member): (Arc<Lane>, Member),
        message: &Message<'_>,
    ) -> Result<(), Failed> {
        let Message { queue, mandatory, properties, body } = message;
        let options = BasicPublishOptions { mandatory: *mandatory, ..BasicPublishOptions::default() };
        let publishing = lane.publish(queue.clone(), options, properties.0.clone(), body);
        let (taken, returned) = match step(self.timeout, PUBLISH, publishing).await {
            Ok(Confirmation::Ack(returned)) => (true, returned),
            Ok(Confirmation::Nack(returned)) => (false, returned),
            Ok(Confirmation::NotRequested) => return Err(Failed::Spoilt),
            Err(error) => return Err(self.failed(error, &lane)),
        };
        let returned = returned.map(|message| message.delivery.properties.message_id().clone());
        match member.confirmed(taken, returned) {
            After::Nothing => {}
            After::Reuse => self.pool.give_back(lane.channel.clone()),
            // Dropped, it would be closing for a while, and a connection with such a channel cannot be closed.
            After::Close => drop(step(self.timeout, PUBLISH, lane.channel.close(200, "OK".into())).await),
        }
        if !taken {
            return Err(Failed::Itself(PublishError::Refused(None)));
        }
        match member.fate(properties.0.message_id()).await {
            Fate::Routed => Ok(()),
            Fate::Returned => Err(Failed::Itself(PublishError::Returned { queue: queue.to_string() })),
            Fate::Unknown => Err(Failed::Doubtful),
        }
    }

    fn failed(&self, error: Error, lane: &Lane) -> Failed {
        match error {
            // The broker closed the channel over a message. If over this one, sending it again would end the same way.
            Error::Refused { .. } | Error::Lost { .. } if self.is_connected() && lane.batch.is_shared() => {
                Failed::Spoilt
            }
            Error::Refused { .. } if self.is_connected() => {
                Failed::Itself(PublishError::Refused(Some(error)))
            }
            error => Failed::Itself(PublishError::Unconfirmed(error)),
        }
    }

    /// A part in the batch that is open for this queue, or in a new one.
    async fn join(&self, queue: &str) -> Result<(Arc<Lane>, Member), Error> {
        if let Some(joined) = self.lanes.join(queue) {
            return Ok(joined);
        }
        let (lane, member) = self.open_lane().await?;
        match self.lanes.open(queue, &lane) {
            None => Ok((lane, member)),
            // There was none when this one began to wait for a channel.
            Some(joined) => {
                self.pool.give_back(lane.channel.clone());
                Ok(joined)
            }
        }
    }

    /// A batch of its own, as soon as there is a channel for it.
    async fn open_lane(&self) -> Result<(Arc<Lane>, Member), Error> {
        let (channel, permit) = self.pool.channel().await?;
        Ok(Lane::new(channel, permit))
    }

    /// Whether a direct reply would be delivered. The requester may leave right after the answer: direct replies are
    /// delivered at most once, by RabbitMQ's own definition.
    async fn requester_is_there(&self, address: &str) -> Result<bool, PublishError> {
        let _permit = self.pool.permit().await.map_err(PublishError::Unconfirmed)?;
        match exists(&self.connection, address, self.timeout).await {
            Err(error @ Error::Refused { .. }) if self.is_connected() => {
                Err(PublishError::Refused(Some(error)))
            }
            asked => asked.map_err(PublishError::Unconfirmed),
        }
    }
}

impl Publish for Publisher {
    /// Dropped half-way, the channel goes with it, and the messages that share it are published again.
    async fn publish(&self, queue: &str, properties: &Properties, body: &[u8]) -> Result<(), PublishError> {
        for pause in REFUSED_PAUSES {
            match self.publish_once(queue, properties, body).await {
                Err(PublishError::Refused(None)) => tokio::time::sleep(pause).await,
                other => return other,
            }
        }
        self.publish_once(queue, properties, body).await
    }

    async fn unblocked(&self) {
        while self.is_blocked() && self.is_connected() {
            tokio::time::sleep(BLOCKED_CHECK).await;
        }
    }

    fn is_connected(&self) -> bool {
        self.connection.status().connected()
    }
}
