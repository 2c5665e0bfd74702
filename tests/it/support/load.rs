//! A worker under load: it has jobs under way whenever something is done to it.

use std::time::Duration;

use super::PATIENCE;
use super::eventually::eventually;
use super::rig::{Replies, Rig};
use super::worker::WorkerProcess;

/// Long enough for jobs to be under way when something is done to them.
pub(crate) const LATENCY: Duration = Duration::from_millis(100);

/// Jobs at a time, so that a load lasts for some round trips.
pub(crate) const CONCURRENCY: (&str, &str) = ("CONCURRENCY", "20");

/// A silent broker is noticed within two seconds.
pub(crate) const HEARTBEAT: (&str, &str) = ("AMQP_HEARTBEAT", "1s");

pub(crate) const FAILURES: &str = "connection_worker_amqp_session_failures_total";

/// Jobs of one load.
const LOAD: usize = 200;

/// A worker under load, and what it has been asked and has answered so far.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) rig: Rig,
    pub(crate) worker: WorkerProcess,
    pub(crate) submitted: usize,
    pub(crate) replies: Replies,
}

impl Load {
    /// On the broker of the run; nothing if that is a foreign one.
    pub(crate) async fn start() -> Option<Self> {
        Some(Self::on(Rig::start(LATENCY).await?).await)
    }

    /// Starts the worker in a rig.
    pub(crate) async fn on(rig: Rig) -> Self {
        Self::with(rig, &[CONCURRENCY, HEARTBEAT]).await
    }

    /// The same, with other settings than usual.
    pub(crate) async fn with(rig: Rig, env: &[(&str, &str)]) -> Self {
        // A job in doubt waits there.
        rig.declare_short_retries("quorum", Duration::from_secs(1)).await;
        let worker = rig.worker(env).await;
        Self { rig, worker, submitted: 0, replies: Replies::default() }
    }

    /// Submits jobs and returns when some are done and some are under way.
    pub(crate) async fn begin(&mut self) {
        let before = self.rig.created().await;
        self.submit().await;
        let created = self.rig.wait_created(before + 30).await - before;
        assert!(created < LOAD as u64, "jobs are under way");
    }

    /// Submits jobs.
    pub(crate) async fn submit(&mut self) {
        self.rig.load(self.submitted..self.submitted + LOAD).await;
        self.submitted += LOAD;
    }

    /// The outage that was begun is noticed, and over after `end`; every job is answered by the same process.
    pub(crate) async fn survives(&mut self, failures_before: u64, end: impl FnOnce(&Rig)) {
        self.worker.wait_unready().await;
        self.worker.wait_count(FAILURES, failures_before + 1, PATIENCE).await;
        end(&self.rig);
        self.recovers().await;
    }

    /// Every job is answered, and no trace of the outage is left.
    pub(crate) async fn recovers(&mut self) {
        self.answers().await;
        let queue = self.rig.jobs_queue();
        // One that has started further consumers gathers them as soon as it has nothing to do.
        eventually("nothing is left of lost sessions", PATIENCE, async || {
            let consumers = self.rig.vhost.consumers(&queue).await;
            if consumers == 1 { Ok(()) } else { Err(consumers) }
        })
        .await;
    }

    /// Every job is answered, and the queue holds none.
    pub(crate) async fn answers(&mut self) {
        self.worker.wait_ready().await;
        self.rig.wait_answered(0..self.submitted, &mut self.replies).await;
        self.rig.settled().await;
        self.replies.assert_all_created();
    }

    /// Waits until so many sessions have failed.
    pub(crate) async fn wait_failures(&self, at_least: u64) {
        self.worker.wait_count(FAILURES, at_least, PATIENCE).await;
    }

    /// Sessions that failed so far.
    pub(crate) async fn failures(&self) -> u64 {
        self.worker.count(FAILURES).await
    }
}
