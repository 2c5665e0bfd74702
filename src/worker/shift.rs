//! The work of one session: takes its deliveries, looks after its connections, and makes room for suspects.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

use super::room::Room;
use super::{Worker, suspect};
use crate::broker;
use crate::broker::delivery::Delivery;
use crate::broker::intake::Source;
use crate::broker::link::Link;
use crate::broker::session::Session;
use crate::flow::FlowApi;

/// How often the connections are looked at while nothing else happens.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How often it is looked at how many deliveries each queue is to have in flight,
const REBALANCE_INTERVAL: Duration = Duration::from_millis(50);

/// and how soon again while a queue has to wait for others' deliveries to end.
const REBALANCE_SOON: Duration = Duration::from_millis(10);

/// How long nothing is taken on account of a suspect: until the others are done, and then until it is done.
const ROOM_WAIT: Duration = Duration::from_secs(30);

/// One session's work.
pub(super) struct Shift<'a, F, L: Link> {
    worker: &'a Arc<Worker<F>>,
    session: Session<L>,
    publisher: Arc<L::Publisher>,
    stop: &'a CancellationToken,
    /// Cancelled when the session is over: its jobs wait no longer, because they will be delivered again.
    over: CancellationToken,
    _over: DropGuard,
    /// Cancelled when no job may wait in the worker for now.
    waits: CancellationToken,
    lost: mpsc::Sender<broker::Error>,
    trial: Trial,
    /// When jobs last had to make room for a suspect.
    room: Room,
    rebalance_at: Instant,
}

/// A suspect for which there is to be room: nothing is taken from the queues meanwhile.
#[derive(Debug, Default)]
enum Trial {
    #[default]
    None,
    /// Until the others are done, or have taken too long; then there may be `most` in flight.
    Waiting { delivery: Box<Delivery>, most: u16, until: Instant },
    /// It is being tried alone, until then at the most.
    Running { task: JoinHandle<()>, until: Instant },
}

impl Trial {
    /// Waits for what comes next. Safe to drop and call again.
    async fn go_on<F: FlowApi>(&mut self, worker: &Worker<F>) {
        match self {
            Self::None => std::future::pending().await,
            Self::Waiting { until, .. } => tokio::select! {
                biased;
                () = worker.idle() => {}
                () = sleep_until(*until) => {}
            },
            // How it ended, the task has told.
            Self::Running { task, until } => tokio::select! {
                biased;
                _ = task => {}
                () = sleep_until(*until) => {}
            },
        }
    }
}

impl<'a, F: FlowApi, L: Link> Shift<'a, F, L> {
    pub(super) fn new(
        worker: &'a Arc<Worker<F>>,
        session: Session<L>,
        stop: &'a CancellationToken,
        lost: mpsc::Sender<broker::Error>,
    ) -> Self {
        let publisher = session.publisher();
        let over = stop.child_token();
        let waits = over.child_token();
        let guard = over.clone().drop_guard();
        Self {
            worker,
            session,
            publisher,
            stop,
            over,
            _over: guard,
            waits,
            lost,
            trial: Trial::None,
            room: Room::default(),
            rebalance_at: Instant::now(),
        }
    }

    /// Works until told to stop. An error means that the session is lost; jobs report one through `losses`.
    pub(super) async fn work(
        &mut self,
        mut losses: mpsc::Receiver<broker::Error>,
    ) -> Result<(), broker::Error> {
        let mut check = tokio::time::interval(CHECK_INTERVAL);
        loop {
            let on_trial = !matches!(self.trial, Trial::None);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                Some(error) = losses.recv() => return Err(error),
                _ = check.tick() => self.look_after().await?,
                () = self.trial.go_on(self.worker), if on_trial => self.go_on_with_trial().await?,
                () = sleep_until(self.rebalance_at), if !on_trial => self.rebalance().await?,
                delivery = self.session.next(), if !on_trial => self.take(delivery?).await?,
            }
        }
    }

    /// Ends the work, but not the session. A suspect that was to be tried goes round once more.
    pub(super) fn end(mut self) -> Session<L> {
        if let Trial::Waiting { delivery, .. } = std::mem::take(&mut self.trial) {
            drop(self.spawn(*delivery, u16::MAX));
        }
        self.session
    }

    /// Looks whether both connections are well; ends the caution of a careful session, which can leave jobs in flight.
    async fn look_after(&mut self) -> Result<(), broker::Error> {
        self.worker.metrics.broker.connections(Some(self.session.check()?));
        let (in_use, known) = (self.worker.fair_share.in_use(), self.worker.handler.configured());
        self.worker.metrics.admission.slots(&in_use, known.into_iter());
        let idle = self.worker.tasks.is_empty();
        self.session.watch(idle && self.session.is_consuming() && matches!(self.trial, Trial::None));
        if self.session.may_relax(!idle) {
            info!("nothing that could end the session came, taking jobs as usual again");
            let untaken = self.session.relax().await?;
            self.start(untaken);
        }
        Ok(())
    }

    /// Lets each queue have its part of the deliveries in flight.
    async fn rebalance(&mut self) -> Result<(), broker::Error> {
        let (overflow, held) = (self.session.ready(Source::Overflow), self.session.ready(Source::Held));
        let keep_free = {
            let mut passage = self.worker.passage();
            for source in passage.filled() {
                self.session.filled(source);
            }
            passage.seen(overflow, held, Instant::now());
            passage.relax(self.worker.fair_share.is_full(), Instant::now())
        };
        self.worker.keep_free(keep_free);
        let untaken = self.session.rebalance().await?;
        self.start(untaken);
        let soon = self.session.waits_for_room();
        self.rebalance_at = Instant::now() + if soon { REBALANCE_SOON } else { REBALANCE_INTERVAL };
        Ok(())
    }

    /// Gives a delivery its task, unless it is a suspect and there is room to be made for it. A suspect for which none is
    /// made finds too much in flight, and goes round once more.
    async fn take(&mut self, delivery: Delivery) -> Result<(), broker::Error> {
        let most = suspect::most_in_hand(&delivery);
        if most.is_some() {
            self.session.stay_careful();
        }
        let may_make_room = self.room.may_be_made(self.session.is_careful());
        match most {
            Some(most) if most < self.session.limit() && may_make_room => {
                self.make_room(delivery, most).await
            }
            _ => {
                self.start([delivery]);
                Ok(())
            }
        }
    }

    async fn make_room(&mut self, delivery: Delivery, most: u16) -> Result<(), broker::Error> {
        info!(most, "a job that may be to blame for lost sessions is tried with fewer in flight");
        self.room.made(self.session.is_careful());
        let untaken = self.session.pause().await?;
        // Those that wait in the worker go back to their queues.
        self.waits.cancel();
        self.waits = self.over.child_token();
        self.start(untaken);
        let until = Instant::now() + ROOM_WAIT;
        self.trial = Trial::Waiting { delivery: Box::new(delivery), most, until };
        Ok(())
    }

    async fn go_on_with_trial(&mut self) -> Result<(), broker::Error> {
        let untaken = match std::mem::take(&mut self.trial) {
            Trial::Waiting { delivery, most, until } if self.worker.tasks.is_empty() => {
                let task = self.spawn(*delivery, most);
                if most == 1 {
                    self.trial = Trial::Running { task, until };
                    return Ok(());
                }
                self.session.resume_carefully(most - 1).await?
            }
            Trial::Waiting { delivery, .. } => {
                self.start([*delivery]);
                self.session.relax().await?
            }
            Trial::Running { task, .. } if !task.is_finished() => {
                warn!(
                    after_seconds = ROOM_WAIT.as_secs(),
                    "a job that may be to blame for lost sessions takes long: other jobs are taken beside it again"
                );
                self.session.relax().await?
            }
            Trial::Running { .. } | Trial::None => self.session.resume_carefully(1).await?,
        };
        self.start(untaken);
        Ok(())
    }

    fn start(&self, deliveries: impl IntoIterator<Item = Delivery>) {
        for delivery in deliveries {
            drop(self.spawn(delivery, self.session.limit()));
        }
    }

    fn spawn(&self, delivery: Delivery, in_hand: u16) -> JoinHandle<()> {
        let publisher = Arc::clone(&self.publisher);
        self.worker.spawn(delivery, in_hand, publisher, self.waits.clone(), self.lost.clone())
    }
}
