//! A worker as an orchestrator runs it: started, killed, started anew, told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use connection_worker::broker::Error;
use connection_worker::worker::SessionEnd;
use fastrand::Rng;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::World;
use crate::broker::chance;
use crate::flow::door::Door;
use crate::life::Life;
use crate::parts::Parts;
use crate::plan::Stay;
use crate::trace::{NOBODY, What};

/// As in `app.rs`: first and highest ceiling of the pause between sessions.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));

/// A place for a worker.
pub(super) struct Replica {
    world: World,
    stay: Stay,
    random: Rng,
    /// How many processes there were, of all replicas.
    workers: Arc<AtomicUsize>,
}

impl Replica {
    pub(super) fn new(world: World, stay: Stay, random: Rng, workers: Arc<AtomicUsize>) -> Self {
        Self { world, stay, random, workers }
    }

    pub(super) async fn live(mut self) {
        sleep_until(self.world.began + self.stay.from).await;
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        if let Some(until) = self.stay.until {
            let until = self.world.began + until;
            tokio::spawn(async move {
                sleep_until(until).await;
                stopping.cancel();
            });
        }
        let mut deaths = std::mem::take(&mut self.stay.deaths).into_iter();
        while !stop.is_cancelled() {
            let life = Life::new(self.workers.fetch_add(1, Ordering::Relaxed), deaths.next());
            self.world.broker.trace.note(What::Started, NOBODY, life.worker());
            tokio::select! {
                biased;
                () = life.ended() => {}
                () = self.process(&life, &stop) => return,
            }
            self.world.broker.trace.note(What::Killed, NOBODY, life.worker());
            // A machine that is gone is noticed only when it sends no heartbeats.
            let late = chance(&mut self.random, 0.1);
            let notices = Duration::from_millis(if late { 30_000 } else { self.random.u64(0..=50) });
            self.world.broker.lose(life.worker(), notices);
            sleep(Duration::from_millis(self.random.u64(500..=5_000))).await;
        }
    }

    /// One process, until it has drained.
    async fn process(&self, life: &Life, stop: &CancellationToken) {
        let World { broker: _, flow, config, killers, began: _ } = &self.world;
        let parts = Parts::new(config, Door::new(flow.clone(), life.clone(), Arc::clone(killers)));
        tokio::select! {
            biased;
            () = self.supervise(&parts, life, stop) => {}
            () = parts.tend() => {}
        }
        self.world.broker.trace.note(What::Stopped, NOBODY, life.worker());
    }

    /// Opens one session after the other.
    async fn supervise(&self, parts: &Parts, life: &Life, stop: &CancellationToken) {
        let (mut ceiling, mut careful) = (PAUSES.0, false);
        while !stop.is_cancelled() {
            let started = Instant::now();
            let opened = match self.world.broker.open(life).await {
                Ok(link) => parts.open(link, careful).await,
                Err(error) => Err(error),
            };
            let error = match opened {
                Ok(session) => match parts.work(session, stop).await {
                    SessionEnd::Drained { .. } => return,
                    SessionEnd::Lost(error) => error,
                },
                Err(error) => error,
            };
            self.world.broker.trace.note(What::SessionLost, NOBODY, life.worker());
            careful = matches!(error, Error::Unreadable { .. } | Error::TaskFailed);
            ceiling = if started.elapsed() >= Duration::from_secs(10) {
                PAUSES.0
            } else {
                PAUSES.1.min(ceiling * 2)
            };
            sleep(ceiling.mul_f64(fastrand::f64())).await;
        }
    }
}
