//! One queue: what is ready, and whose turn it is.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use connection_worker::broker::properties::Properties;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A message as the broker keeps it.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) properties: Properties,
    pub(super) body: Arc<[u8]>,
    /// Which job it is about, if any.
    pub(super) job: u32,
    /// Deliveries that ended badly.
    pub(super) count: u32,
}

/// A queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) name: String,
    pub(super) ready: VecDeque<Stored>,
    /// How long messages live, and in which queue they end.
    pub(super) ttl: Option<(Duration, usize)>,
    /// Those who consume it, by number.
    pub(super) consumers: Vec<usize>,
    /// Where the next turn begins.
    pub(super) turn: usize,
}

impl Queue {
    /// The next consumer, in turn, that has room.
    pub(super) fn next(&mut self, all: &[Consumer]) -> Option<usize> {
        let many = self.consumers.len();
        for step in 0..many {
            let at = (self.turn + step) % many;
            let number = self.consumers[at];
            if all[number].has_room() {
                self.turn = at + 1;
                return Some(number);
            }
        }
        None
    }
}

/// A consumer.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) link: usize,
    pub(super) queue: usize,
    pub(super) prefetch: usize,
    pub(super) unsettled: usize,
    /// What is on its way or has arrived, with the moment of its arrival: numbers of deliveries.
    pub(super) buffer: VecDeque<(Instant, u64)>,
    pub(super) ended: bool,
    pub(super) news: Arc<Notify>,
}

impl Consumer {
    fn has_room(&self) -> bool {
        !self.ended && self.unsettled < self.prefetch
    }
}

/// A delivery that is not settled.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) consumer: usize,
    pub(super) message: Stored,
}

/// How long messages of a queue live, by its name, and where they end.
pub(super) fn lifetime(name: &str) -> Option<(Duration, &str)> {
    let (jobs, tier) = name.split_once(".retry.")?;
    let seconds = match tier {
        "10s" => 10,
        "1m" => 60,
        "10m" => 600,
        "1h" => 3600,
        _ => return None,
    };
    Some((Duration::from_secs(seconds), jobs))
}
