//! The queues that a session takes jobs from, with their consumers and what these have in flight.
//!
//! AMQP only lets a consumer's prefetch be set when it starts, and what a cancelled consumer has delivered stays unsettled. So a
//! queue that is to have more in flight gets a further consumer, and one that is to have less has some cancelled, and holds
//! what they have delivered until it is settled.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::select_all;
use tokio::time::{Instant, timeout_at};

use super::Error;
use super::delivery::Delivery;
use super::link::Consume;
use super::windows::Standing;

/// A consumer that is to be cancelled has what it will get when nothing has come for this long,
const FILL: Duration = Duration::from_millis(40);

/// and others' settlements are not kept back for longer than this.
const FILL_MAX: Duration = Duration::from_millis(500);

/// Consumers of a queue are not cancelled sooner than this after the last that was.
const REST: Duration = Duration::from_millis(500);

/// "Lately" means in this stretch of time, and in the one before.
const STRETCH: Duration = Duration::from_millis(200);

/// A queue from which jobs are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Where senders put them.
    Jobs,
    /// Jobs that wait for a slot.
    Overflow,
    /// Jobs that wait until calls for them can be made.
    Held,
}

impl Source {
    /// Every source.
    pub const ALL: [Self; 3] = [Self::Jobs, Self::Overflow, Self::Held];

    /// The source in logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Overflow => "overflow",
            Self::Held => "held",
        }
    }
}

/// What one consumer has delivered that is not settled.
#[derive(Debug, Default)]
pub(super) struct Load {
    unsettled: AtomicU16,
    running: AtomicU16,
}

/// Counts something of a consumer's, until it is dropped.
#[derive(Debug)]
pub struct Counted {
    load: Arc<Load>,
    running: bool,
}

impl Load {
    /// A delivery is in flight.
    pub(super) fn delivered(self: &Arc<Self>) -> Counted {
        self.unsettled.fetch_add(1, Ordering::Relaxed);
        Counted { load: Arc::clone(self), running: false }
    }

    pub(super) fn unsettled(&self) -> u16 {
        self.unsettled.load(Ordering::Relaxed)
    }

    pub(super) fn running(&self) -> u16 {
        self.running.load(Ordering::Relaxed)
    }
}

impl Counted {
    /// The delivery's job runs.
    pub(super) fn run(&self) -> Self {
        self.load.running.fetch_add(1, Ordering::Relaxed);
        Self { load: Arc::clone(&self.load), running: true }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let counter = if self.running { &self.load.running } else { &self.load.unsettled };
        counter.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One of the queues that jobs come from.
#[derive(Debug)]
pub(super) struct Intake<C> {
    pub(super) consumers: Vec<QueueConsumer<C>>,
    /// What consumers that were cancelled have delivered.
    old: Vec<Arc<Load>>,
    peak: Peak,
    cancelled_at: Option<Instant>,
    /// Messages that nobody held when somebody last looked.
    pub(super) ready: u32,
}

/// The most that was in flight lately.
#[derive(Debug)]
struct Peak {
    since: Instant,
    now: u16,
    before: u16,
}

impl Peak {
    fn new() -> Self {
        Self { since: Instant::now(), now: 0, before: 0 }
    }

    fn seen(&mut self, in_flight: u16) -> u16 {
        if self.since.elapsed() >= STRETCH {
            *self = Self { since: Instant::now(), now: 0, before: self.now };
        }
        self.now = self.now.max(in_flight);
        self.now.max(self.before)
    }
}

#[derive(Debug)]
pub(super) struct QueueConsumer<C> {
    consumer: C,
    prefetch: u16,
    load: Arc<Load>,
}

impl<C> Default for Intake<C> {
    fn default() -> Self {
        Self { consumers: Vec::new(), old: Vec::new(), peak: Peak::new(), cancelled_at: None, ready: 0 }
    }
}

impl<C> QueueConsumer<C> {
    /// What it holds or may come to hold.
    fn claim(&self) -> u16 {
        self.load.unsettled().max(self.prefetch)
    }
}

impl<C> Intake<C> {
    /// A further consumer, with this prefetch.
    pub(super) fn add(&mut self, consumer: C, prefetch: u16) {
        self.consumers.push(QueueConsumer { consumer, prefetch, load: Arc::default() });
    }

    pub(super) fn standing(&mut self) -> Standing {
        self.old.retain(|load| load.unsettled() + load.running() > 0);
        let old: u16 = self.old.iter().map(|load| load.unsettled()).sum();
        let loads = || self.consumers.iter().map(|one| &one.load).chain(&self.old);
        let is_full = |one: &QueueConsumer<C>| one.load.unsettled() >= one.prefetch;
        let unsettled = loads().map(|load| load.unsettled()).sum();
        let peak = self.peak.seen(unsettled);
        Standing {
            claim: old + self.consumers.iter().map(QueueConsumer::claim).sum::<u16>(),
            prefetch: self.consumers.iter().map(|one| one.prefetch).sum(),
            unsettled,
            peak,
            running: loads().map(|load| load.running()).sum(),
            is_full: !self.consumers.is_empty() && self.consumers.iter().all(is_full),
            has_rested: self.cancelled_at.is_none_or(|at| at.elapsed() >= REST),
            ready: self.ready > 0,
        }
    }
}

impl<C: Consume> Intake<C> {
    /// The next delivery of any consumer; none ever comes where there is none. Safe to drop and call again.
    pub(super) async fn next(&mut self) -> Result<(Arc<Load>, Delivery), Error> {
        let nexts = self.consumers.iter_mut().map(|one| {
            let QueueConsumer { consumer, load, .. } = one;
            let next = consumer.next().map(|next| next.map(|delivery| (Arc::clone(load), delivery)));
            Box::pin(next)
        });
        let nexts: Vec<_> = nexts.collect();
        if nexts.is_empty() {
            return std::future::pending().await;
        }
        select_all(nexts).await.0
    }

    /// Cancels a consumer; gives what had arrived and was not yet taken.
    ///
    /// What the queue has sent and the broker's channel has not yet passed on when it is told, a quorum queue takes back and
    /// delivers as redelivered (rabbitmq-server#3729): such a job looks as if it might have been begun. So a consumer is
    /// cancelled when it has all that it may hold, which keeping the settlements back brings about where there is more to come.
    pub(super) async fn cancel(
        &mut self,
        mut one: QueueConsumer<C>,
        source: Source,
    ) -> Result<Vec<Delivery>, Error> {
        let _held = one.consumer.hold().await;
        let mut untaken = Vec::new();
        let latest = Instant::now() + FILL_MAX;
        while one.load.unsettled() < one.prefetch {
            let until = latest.min(Instant::now() + FILL);
            let Ok(next) = timeout_at(until, one.consumer.next()).await else { break };
            untaken.push(next?.from(source, &one.load));
        }
        let rest = one.consumer.cancel().await?;
        untaken.extend(rest.into_iter().map(|delivery| delivery.from(source, &one.load)));
        self.old.push(one.load);
        self.cancelled_at = Some(Instant::now());
        Ok(untaken)
    }
}
