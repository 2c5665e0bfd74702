//! Looks how much is in the queues, for the metrics page.
//!
//! Every worker looks for itself: one that nobody has to appoint cannot be missing. The looks are few, and spread out, so
//! that those of many workers do not come at once.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tracing::debug;

use super::link::Link;
use super::topology::Queues;
use crate::metrics::queues::{Queue, QueueMetrics};
use crate::telemetry::Chain;

/// Shortest time between two looks at a queue; what is added to it is drawn from zero to a third of it.
const PAUSE: Duration = Duration::from_secs(15);

/// Longest time from the start of a session to the first look.
const FIRST: Duration = Duration::from_secs(3);

/// Looks at the queues of one session.
#[derive(Debug)]
pub struct Depths<L> {
    pub(super) link: Arc<L>,
    pub(super) queues: Queues,
}

impl<L: Link> Depths<L> {
    /// Looks now and then, on channels of their own: a queue that is missing closes no other. Never ends; to be dropped
    /// with its session.
    pub async fn watch(&self, metrics: &QueueMetrics) -> Infallible {
        let mut pause = drawn(FIRST);
        loop {
            tokio::time::sleep(pause).await;
            self.look(metrics).await;
            pause = PAUSE + drawn(PAUSE / 3);
        }
    }

    async fn look(&self, metrics: &QueueMetrics) {
        for queue in Queue::all() {
            match self.link.depth(&self.name(queue)).await {
                Ok(found) => {
                    let found = found.unwrap_or_default();
                    metrics.seen(queue, found.ready, found.consumers);
                }
                // If the connection is no good, the session finds out by itself.
                Err(error) => return debug!(error = %Chain(&error), "the queues could not be looked at"),
            }
        }
    }

    fn name(&self, queue: Queue) -> String {
        match queue {
            Queue::Jobs => self.queues.jobs.clone(),
            Queue::Overflow => self.queues.overflow(),
            Queue::Held => self.queues.held(),
            Queue::Retry(tier) => self.queues.retry(tier),
            Queue::Dead => self.queues.dead(),
            Queue::Undeliverable => self.queues.undeliverable(),
            Queue::Replies => self.queues.replies.clone(),
        }
    }
}

/// Evenly from zero to a ceiling.
fn drawn(ceiling: Duration) -> Duration {
    ceiling.mul_f64(fastrand::f64())
}
