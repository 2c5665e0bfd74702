//! The work of one session: takes its deliveries, looks after its connections, and makes room for suspects.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::info;

use super::{Worker, job};
use crate::broker;
use crate::broker::delivery::Delivery;
use crate::broker::publisher::Publisher;
use crate::broker::session::Session;
use crate::flow::FlowApi;

/// How often the connections are looked at while nothing else happens.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// One session's work.
pub(super) struct Shift<'a, F> {
    worker: &'a Arc<Worker<F>>,
    session: Session,
    publisher: Arc<Publisher>,
    stop: &'a CancellationToken,
    /// Cancelled when the session is over: its jobs wait no longer, because they will be delivered again.
    over: CancellationToken,
    _over: DropGuard,
    /// Cancelled when no job may wait in hand for now.
    waits: CancellationToken,
    lost: mpsc::Sender<broker::Error>,
    trial: Trial,
}

/// A suspect for which there is to be room: nothing is taken from the queue meanwhile.
#[derive(Debug, Default)]
enum Trial {
    #[default]
    None,
    /// Until the others are done; then there may be so many in hand.
    Waiting(Box<Delivery>, u16),
    /// It is being tried alone.
    Running,
}

impl<'a, F: FlowApi> Shift<'a, F> {
    pub(super) fn new(
        worker: &'a Arc<Worker<F>>,
        session: Session,
        stop: &'a CancellationToken,
        lost: mpsc::Sender<broker::Error>,
    ) -> Self {
        let publisher = session.publisher();
        let over = stop.child_token();
        let waits = over.child_token();
        let guard = over.clone().drop_guard();
        Self { worker, session, publisher, stop, over, _over: guard, waits, lost, trial: Trial::None }
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
                () = self.worker.idle(), if on_trial => self.go_on_with_trial().await?,
                delivery = self.session.next(), if !on_trial => self.take(delivery?).await?,
            }
        }
    }

    /// Ends the work, but not the session; gives the job that had waited to be tried, too.
    pub(super) fn end(self) -> (Session, Option<Delivery>) {
        let waiting = match self.trial {
            Trial::Waiting(delivery, _) => Some(*delivery),
            Trial::None | Trial::Running => None,
        };
        (self.session, waiting)
    }

    /// Looks whether both connections are well; ends the caution of a careful session, which can leave jobs in hand.
    async fn look_after(&mut self) -> Result<(), broker::Error> {
        self.worker.metrics.broker.connections(Some(self.session.check()?));
        self.session.watch(self.worker.tasks.is_empty() && matches!(self.trial, Trial::None));
        if self.session.may_relax(!self.worker.tasks.is_empty()) {
            info!("nothing that could end the session came, taking jobs as usual again");
            let untaken = self.session.relax().await?;
            self.start(untaken);
        }
        Ok(())
    }

    /// Gives a delivery its task, unless it is a suspect and too much else is in hand for it.
    async fn take(&mut self, delivery: Delivery) -> Result<(), broker::Error> {
        let most = job::most_in_hand(&delivery);
        if most.is_some() {
            self.session.stay_careful();
        }
        match most {
            Some(most) if most < self.session.limit() => self.make_room(delivery, most).await,
            _ => {
                self.start([delivery]);
                Ok(())
            }
        }
    }

    async fn make_room(&mut self, delivery: Delivery, most: u16) -> Result<(), broker::Error> {
        info!(most, "a job that may be to blame for lost sessions is tried with less in hand");
        let untaken = self.session.stop_consuming().await?;
        self.start(untaken);
        // Those that wait in hand go to the retry queues.
        self.waits.cancel();
        self.waits = self.over.child_token();
        self.trial = Trial::Waiting(Box::new(delivery), most);
        Ok(())
    }

    /// Nothing is in hand: the trial begins, or is over.
    async fn go_on_with_trial(&mut self) -> Result<(), broker::Error> {
        match std::mem::take(&mut self.trial) {
            Trial::Waiting(delivery, most) => {
                self.spawn(*delivery, most);
                if most > 1 {
                    return self.session.resume_carefully(most - 1).await;
                }
                self.trial = Trial::Running;
                Ok(())
            }
            Trial::Running | Trial::None => self.session.resume_carefully(1).await,
        }
    }

    fn start(&self, deliveries: impl IntoIterator<Item = Delivery>) {
        for delivery in deliveries {
            self.spawn(delivery, self.session.limit());
        }
    }

    fn spawn(&self, delivery: Delivery, in_hand: u16) {
        let publisher = Arc::clone(&self.publisher);
        self.worker.spawn(delivery, in_hand, publisher, self.waits.clone(), self.lost.clone());
    }
}
