//! A worker at work: a corner with the real binary in it.

use std::ops::Deref;

use connection_worker::simulator::Options;

use super::corner::Corner;
use super::worker::WorkerProcess;

/// A worker and everything it talks to.
#[derive(Debug)]
pub(crate) struct Scene {
    corner: Corner,
    pub(crate) worker: WorkerProcess,
}

impl Scene {
    /// Starts everything and waits until the worker is ready. `env` is that of [`Corner::start_worker`].
    pub(crate) async fn start(env: &[(&str, &str)]) -> Self {
        Self::on(Corner::new().await, env).await
    }

    /// The same, with a simulator that behaves in its own way.
    pub(crate) async fn with(options: Options, env: &[(&str, &str)]) -> Self {
        Self::on(Corner::with(options).await, env).await
    }

    /// The same, in a corner that something has been done to already.
    pub(crate) async fn on(corner: Corner, env: &[(&str, &str)]) -> Self {
        let worker = corner.worker(env).await;
        Self { corner, worker }
    }

    /// A count that the worker's metrics show; the name without the prefix that all of them have.
    pub(crate) async fn count(&self, series: &str) -> u64 {
        self.worker.count(&format!("connection_worker_{series}")).await
    }
}

impl Deref for Scene {
    type Target = Corner;

    fn deref(&self) -> &Corner {
        &self.corner
    }
}
