//! Channels that carry batches, and which batch is open for which queue.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::OwnedSemaphorePermit;

use super::batch::{Batch, Member};

/// A batch and the channel that carries it.
pub(super) struct Lane {
    pub(super) channel: Channel,
    pub(super) batch: Arc<Batch>,
    order: Mutex<()>,
    _permit: OwnedSemaphorePermit,
}

impl Lane {
    /// A new batch on a channel that carries nothing else, and the part of its first message.
    pub(super) fn new(channel: Channel, permit: OwnedSemaphorePermit) -> (Arc<Self>, Member) {
        let (batch, member) = Batch::open();
        (Arc::new(Self { channel, batch, order: Mutex::default(), _permit: permit }), member)
    }

    /// Publishes a message, and returns when the broker has said whether it took it.
    ///
    /// lapin first counts a message and then hands over its frames, both when it is polled for the first time; confirms
    /// come by that count. Two tasks that did so at the same time could each be told what became of the other's message
    /// (measured: of 3,000 replies to a queue that is now full and now not, 3 to 5 were lost and as many told twice). So
    /// one is polled at a time.
    pub(super) async fn publish(
        &self,
        queue: ShortString,
        options: BasicPublishOptions,
        properties: BasicProperties,
        body: &[u8],
    ) -> Result<Confirmation, lapin::Error> {
        let mut publishing = pin!(self.channel.basic_publish("".into(), queue, options, body, properties));
        let in_order = poll_fn(|context| {
            let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
            publishing.as_mut().poll(context)
        });
        in_order.await?.await
    }
}

/// The batch that was opened last for each queue; it is kept by its messages.
#[derive(Default)]
pub(super) struct Lanes(Mutex<HashMap<String, Weak<Lane>>>);

impl Lanes {
    /// The batch that was opened last for a queue, if it is still under way.
    pub(super) fn latest(&self, queue: &str) -> Option<Arc<Batch>> {
        let lane = self.lock().get(queue)?.upgrade()?;
        Some(Arc::clone(&lane.batch))
    }

    /// A part in the batch of a queue, if one is open.
    pub(super) fn join(&self, queue: &str) -> Option<(Arc<Lane>, Member)> {
        joined(&self.lock(), queue)
    }

    /// Lets others join a new batch. If one was opened meanwhile, that is the one to join.
    pub(super) fn open(&self, queue: &str, lane: &Arc<Lane>) -> Option<(Arc<Lane>, Member)> {
        let mut lanes = self.lock();
        let earlier = joined(&lanes, queue);
        if earlier.is_none() {
            lanes.retain(|_, lane| lane.strong_count() > 0);
            lanes.insert(queue.to_owned(), Arc::downgrade(lane));
        }
        earlier
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Weak<Lane>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn joined(lanes: &HashMap<String, Weak<Lane>>, queue: &str) -> Option<(Arc<Lane>, Member)> {
    let lane = lanes.get(queue)?.upgrade()?;
    let member = lane.batch.join()?;
    Some((lane, member))
}
