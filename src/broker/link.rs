//! What a worker needs of a broker: the seam behind which RabbitMQ stands, or a simulation of it.
//!
//! A link is one stretch of being connected. It never heals itself: any error means that it is lost, and whoever works with it
//! opens another. Knows nothing of jobs.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::Error;
use super::delivery::{Delivery, Settled, Settlement};
use super::properties::Properties;
use super::publisher::PublishError;

/// A connected broker.
pub trait Link: Send + Sync + 'static {
    /// Takes deliveries from one queue.
    type Consumer: Consume;
    /// Publishes.
    type Publisher: Publish;

    /// Starts to consume a queue, with at most `prefetch` unsettled deliveries; never 0, which would mean no limit.
    fn consume(
        &self,
        queue: &str,
        prefetch: u16,
    ) -> impl Future<Output = Result<Self::Consumer, Error>> + Send;

    /// Publishes over this link.
    fn publisher(&self) -> Arc<Self::Publisher>;

    /// Whether the broker blocks the connections (consume, publish); an error if one of them is gone.
    fn check(&self) -> Result<(bool, bool), Error>;

    /// What is in a queue; nothing if it does not exist.
    fn depth(&self, queue: &str) -> impl Future<Output = Result<Option<Depth>, Error>> + Send;

    /// Returns when the broker has handled all settlements of deliveries from this queue that were sent before.
    fn settled(&self, queue: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Closes in order. What is unsettled then goes back to its queue.
    fn close(&self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Deliveries from one queue.
pub trait Consume: Send {
    /// The next delivery. An end that nobody asked for is an error. Safe to drop and call again.
    fn next(&mut self) -> impl Future<Output = Result<Delivery, Error>> + Send;

    /// Keeps back the settlements of this consumer's channel until what this gives is dropped: meanwhile the broker sends what
    /// the prefetch has room for, and no more.
    fn hold(&self) -> impl Future<Output = Box<dyn Send>> + Send;

    /// Takes no more; gives those that had arrived and were not yet taken.
    fn cancel(&mut self) -> impl Future<Output = Result<Vec<Delivery>, Error>> + Send;
}

/// Publishes messages so that "sent" means: a queue has it.
pub trait Publish: Send + Sync + 'static {
    /// Publishes to a queue and waits for the broker's word. Safe to drop half-way.
    fn publish(
        &self,
        queue: &str,
        properties: &Properties,
        body: &[u8],
    ) -> impl Future<Output = Result<(), PublishError>> + Send;

    /// Waits while the broker blocks publishing; not for a connection that is gone. Safe to drop.
    fn unblocked(&self) -> impl Future<Output = ()> + Send;

    /// Whether the connection is up.
    fn is_connected(&self) -> bool;
}

/// Settles the deliveries of one channel.
pub trait Settle: std::fmt::Debug + Send + Sync {
    /// Settles one; [`Settled::Stale`] if the channel is gone.
    fn settle(&self, tag: u64, settlement: Settlement) -> BoxFuture<'_, Result<Settled, Error>>;

    /// Whether its deliveries still count.
    fn is_usable(&self) -> bool;
}

/// What the broker tells about a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Messages that nobody holds.
    pub ready: u32,
    /// Consumers of the queue, those of other workers included.
    pub consumers: u32,
}
