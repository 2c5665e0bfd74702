//! RabbitMQ in memory: queues that hand out, count and dead-letter as quorum queues do, links that are lost at any step, and
//! a ledger of all that was published.

pub(crate) mod hold;
pub(crate) mod ledger;
pub(crate) mod link;
mod links;
mod queue;
mod step;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use connection_worker::broker::Error;
use fastrand::Rng;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use self::hold::State;
use self::link::SimLink;
use crate::life::Life;
use crate::trace::{Trace, What};

/// How unkind the broker is. All shares are of steps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unkind {
    /// A step at which the link is lost.
    pub(crate) cut: f64,
    /// A message that is refused.
    pub(crate) refused: f64,
    /// A message whose confirm does not come in time, or not at all; half of them are taken, some of those late.
    pub(crate) unconfirmed: f64,
    /// A message of a retry queue that comes back twice.
    pub(crate) twice: f64,
    /// All that lasts until then.
    pub(crate) until: Duration,
    /// A message with which the connection that publishes is lost, and it alone.
    pub(crate) publish_cut: f64,
    /// From when to when nobody can connect.
    pub(crate) down: Vec<(Duration, Duration)>,
    /// From when to when the broker blocks whoever publishes.
    pub(crate) blocked: Vec<(Duration, Duration)>,
    /// Longest time that a step takes, in milliseconds; the shortest is none.
    pub(crate) slowness: u64,
}

/// The broker. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Broker {
    state: Arc<Mutex<State>>,
    /// Something is due earlier than what was due before.
    sooner: Arc<Notify>,
    /// A reply or a dead letter has come.
    came: Arc<Notify>,
    pub(crate) trace: Trace,
}

impl Broker {
    pub(crate) fn new(seed: u64, unkind: Unkind, trace: Trace) -> Self {
        let (sooner, came) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let state = State::new(seed, unkind, trace.clone(), (Arc::clone(&sooner), Arc::clone(&came)));
        Self { state: Arc::new(Mutex::new(state)), sooner, came, trace }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what is due, for ever.
    pub(crate) async fn run(self) {
        loop {
            let due = self.state().next_due();
            match due {
                None => self.sooner.notified().await,
                Some(due) => tokio::select! {
                    biased;
                    () = self.sooner.notified() => {}
                    () = sleep_until(due) => {}
                },
            }
            self.state().run_due(Instant::now());
        }
    }

    /// Connects a worker.
    pub(crate) async fn open(&self, life: &Life) -> Result<SimLink, Error> {
        life.step().await;
        let delay = self.state().latency() * 3;
        sleep(delay).await;
        life.step().await;
        let opened = self.state().open(life.worker());
        let Some(link) = opened else {
            return Err(Error::Timeout { step: "connect", after: Duration::from_millis(100) });
        };
        self.trace.note(What::SessionOpened, crate::trace::NOBODY, life.worker());
        Ok(SimLink::new(self.clone(), link, life.clone()))
    }

    /// A worker is gone: its links are lost, and the broker notices after a while.
    pub(crate) fn lose(&self, worker: usize, notices: Duration) {
        self.state().lose(worker, notices);
    }

    /// Waits until a reply or a dead letter comes. Safe to drop.
    pub(crate) async fn comes(&self) {
        self.came.notified().await;
    }
}

/// Whether something happens that happens in such a share of cases.
pub(crate) fn chance(random: &mut Rng, share: f64) -> bool {
    share > 0.0 && random.f64() < share
}
