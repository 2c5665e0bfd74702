//! Whether a worker lives. One that is killed cannot be taken apart between two polls, because its tasks belong to the
//! runtime; so it is dead to the world: whatever it asks of the broker or of Flow Service never comes back, and has no effect.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

/// The life of one worker process. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Life(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Which worker it is, for the trace.
    worker: usize,
    dead: AtomicBool,
    steps: AtomicU64,
    /// It dies at this step.
    dies_at: u64,
    died: Notify,
}

impl Life {
    pub(crate) fn new(worker: usize, dies_at: Option<u64>) -> Self {
        let dies_at = dies_at.unwrap_or(u64::MAX);
        Self(Arc::new(Inner {
            worker,
            dead: AtomicBool::new(false),
            steps: AtomicU64::new(0),
            dies_at,
            died: Notify::new(),
        }))
    }

    pub(crate) fn worker(&self) -> usize {
        self.0.worker
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.0.dead.load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self) {
        self.0.dead.store(true, Ordering::Relaxed);
        self.0.died.notify_one();
    }

    /// A step of the worker's: it may be its last. Goes on only if it lives.
    pub(crate) async fn step(&self) {
        if self.0.steps.fetch_add(1, Ordering::Relaxed) + 1 == self.0.dies_at {
            self.end();
        }
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
    }

    /// Returns when it has ended.
    pub(crate) async fn ended(&self) {
        if !self.is_dead() {
            self.0.died.notified().await;
        }
    }
}
