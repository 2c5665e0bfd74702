//! What the broker has seen: replies, dead letters, what was moved about, and how much was unsettled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A reply, or a dead letter.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    /// Milliseconds from the start.
    pub(crate) at: u32,
    pub(crate) job: u32,
    /// `type` of a reply, `dead-reason` of a dead letter.
    pub(crate) kind: String,
    pub(crate) body: Arc<[u8]>,
}

/// A message that was published to one of the worker's own queues.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Move {
    pub(crate) at: u32,
    pub(crate) job: u32,
    pub(crate) queue: usize,
}

/// All that was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) replies: Vec<Letter>,
    pub(crate) dead: Vec<Letter>,
    pub(crate) undeliverable: Vec<Letter>,
    pub(crate) moves: Vec<Move>,
    /// The most deliveries that each worker ever had unsettled, over all queues.
    pub(crate) unsettled: BTreeMap<usize, usize>,
    /// When each job was answered first: confirmed or not, a queue has the reply.
    pub(crate) answered: BTreeMap<u32, u32>,
    /// Jobs that were on their way to a consumer when it was cancelled, and that the queue took back.
    pub(crate) taken_back: BTreeSet<u32>,
    pub(crate) links_lost: usize,
}

impl Seen {
    pub(crate) fn replied(&mut self, letter: Letter) {
        self.answered.entry(letter.job).or_insert(letter.at);
        self.replies.push(letter);
    }
}
