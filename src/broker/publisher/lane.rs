//! Which batch is open for which queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use lapin::Channel;
use tokio::sync::OwnedSemaphorePermit;

use super::batch::{Batch, Member};

/// A batch and the channel that carries it.
pub(super) struct Lane {
    pub(super) channel: Channel,
    pub(super) batch: Arc<Batch>,
    _permit: OwnedSemaphorePermit,
}

impl Lane {
    /// A new batch on a channel that carries nothing else, and the part of its first message.
    pub(super) fn new(channel: Channel, permit: OwnedSemaphorePermit) -> (Arc<Self>, Member) {
        let (batch, member) = Batch::open();
        (Arc::new(Self { channel, batch, _permit: permit }), member)
    }
}

/// The batch that was opened last for each queue; it is kept by its messages.
#[derive(Default)]
pub(super) struct Lanes(Mutex<HashMap<String, Weak<Lane>>>);

impl Lanes {
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
