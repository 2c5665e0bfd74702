//! One stretch of being connected: from connect to the first error, or to an orderly close.
//!
//! Knows nothing of jobs. Whatever goes wrong ends the session; healing is the supervisor's work.

mod balance;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::Error;
use super::caution::Caution;
use super::delivery::Delivery;
use super::depths::Depths;
use super::intake::{Intake, Source};
use super::link::Link;
use super::rabbitmq::LinkSettings;
use super::topology::Queues;
use super::watchdog::{Timing, Watchdog};

/// What a session needs to know.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// The broker and its queues.
    pub link: LinkSettings,
    /// How to take jobs.
    pub intake: IntakeSettings,
}

/// How a session takes jobs.
#[derive(Debug, Clone)]
pub struct IntakeSettings {
    /// Deliveries that may be unsettled at the same time: this is the limit of concurrency. lapin buffers without
    /// bounds, so it is never 0, which would mean no limit.
    pub prefetch: u16,
    /// When to ask whether the consumer is forgotten.
    pub watch: Timing,
}

/// A link, and consumers of the queues that jobs come from.
pub struct Session<L: Link> {
    link: Arc<L>,
    publisher: Arc<L::Publisher>,
    queues: Queues,
    intakes: [Intake<L::Consumer>; 3],
    prefetch: u16,
    /// Deliveries that may be in flight for now; none while it is paused.
    limit: u16,
    paused: bool,
    caution: Option<Caution>,
    watchdog: Watchdog<L>,
    look: Option<BoxFuture<'static, Result<[u32; 2], Error>>>,
    /// Which source comes first where there is not room for all.
    turn: usize,
}

impl<L: Link> std::fmt::Debug for Session<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("queue", &self.queues.jobs).finish_non_exhaustive()
    }
}

impl<L: Link> Session<L> {
    /// Starts to consume.
    pub async fn start(link: L, queues: &Queues, settings: &IntakeSettings) -> Result<Self, Error> {
        Self::start_with(link, queues, settings, settings.prefetch, None).await
    }

    /// The same, taking one job at a time until [`Session::may_relax`].
    ///
    /// For after a message that broke the last session by its mere arrival: so it breaks the next one alone, with no
    /// other delivery in flight, until the broker parks it.
    pub async fn start_careful(link: L, queues: &Queues, settings: &IntakeSettings) -> Result<Self, Error> {
        let caution = Some(Caution::for_jobs(settings.prefetch));
        Self::start_with(link, queues, settings, 1, caution).await
    }

    async fn start_with(
        link: L,
        queues: &Queues,
        settings: &IntakeSettings,
        limit: u16,
        caution: Option<Caution>,
    ) -> Result<Self, Error> {
        let link = Arc::new(link);
        let watchdog = Watchdog::new(settings.watch, Arc::clone(&link), queues.jobs.clone());
        let mut session = Self {
            publisher: link.publisher(),
            link,
            queues: queues.clone(),
            intakes: Default::default(),
            prefetch: settings.prefetch,
            limit,
            paused: false,
            caution,
            watchdog,
            look: None,
            turn: 0,
        };
        drop(session.rebalance().await?);
        session.begin_look();
        Ok(session)
    }

    /// Whether it takes fewer jobs at a time than it may.
    pub fn is_careful(&self) -> bool {
        self.caution.is_some()
    }

    /// Whether a careful session may go on as any other: as many jobs have come as were in flight when the last session
    /// broke, or none came for a while.
    ///
    /// `in_flight` says whether a job is still being worked on: then no other can come, and the quiet means nothing.
    pub fn may_relax(&self, in_flight: bool) -> bool {
        !self.paused && self.caution.as_ref().is_some_and(|caution| caution.is_over(in_flight))
    }

    /// Goes on with the full limit; gives the jobs that had arrived and were not yet taken.
    pub async fn relax(&mut self) -> Result<Vec<Delivery>, Error> {
        self.caution = None;
        let mut untaken = self.pause().await?;
        untaken.extend(self.resume(self.prefetch).await?);
        Ok(untaken)
    }

    /// Goes on after [`Session::pause`], with at most `limit` deliveries in flight for a while.
    pub async fn resume_carefully(&mut self, limit: u16) -> Result<Vec<Delivery>, Error> {
        self.caution = Some(Caution::for_suspects(self.caution.as_ref()));
        self.resume(limit).await
    }

    /// Whether jobs are being taken.
    pub fn is_consuming(&self) -> bool {
        !self.paused
    }

    /// A reason to be careful has come: a session that is careful for a time stays so for a while longer.
    pub fn stay_careful(&mut self) {
        if let Some(caution) = &mut self.caution {
            caution.suspect_came();
        }
    }

    /// How many deliveries may be in flight for now.
    pub fn limit(&self) -> u16 {
        self.limit
    }

    async fn resume(&mut self, limit: u16) -> Result<Vec<Delivery>, Error> {
        (self.paused, self.limit) = (false, limit);
        self.rebalance().await
    }

    /// Looks at the queues, for as long as the session lasts.
    pub fn depths(&self) -> Depths<L> {
        Depths { link: Arc::clone(&self.link), queues: self.queues.clone() }
    }

    /// Publishes on this session's link.
    pub fn publisher(&self) -> Arc<L::Publisher> {
        Arc::clone(&self.publisher)
    }

    /// Messages that wait in a queue and that nobody holds, as far as is known.
    pub fn ready(&self, source: Source) -> u32 {
        self.intakes.get(source as usize).map(|intake| intake.ready).unwrap_or_default()
    }

    /// The worker itself has put messages there.
    pub fn filled(&mut self, source: Source) {
        if let Some(intake) = self.intakes.get_mut(source as usize) {
            intake.ready = intake.ready.max(1);
        }
    }

    /// Lets the session ask whether its consumer is forgotten, if that is due, and what waits in the other queues;
    /// [`Session::next`] then tells. To be called every now and then, with whether nothing is in flight and jobs are wanted.
    pub fn watch(&mut self, idle: bool) {
        self.turn = self.turn.wrapping_add(1);
        let [jobs, ..] = &self.intakes;
        self.watchdog.tick(idle && !jobs.consumers.is_empty());
        if self.look.is_none() {
            self.begin_look();
        }
    }

    fn begin_look(&mut self) {
        let (link, queues) = (Arc::clone(&self.link), [self.queues.overflow(), self.queues.held()]);
        let look = async move {
            let [overflow, held] = &queues;
            let overflow = link.depth(overflow).await?.unwrap_or_default().ready;
            Ok([overflow, link.depth(held).await?.unwrap_or_default().ready])
        };
        self.look = Some(look.boxed());
    }

    fn queue(&self, at: usize) -> String {
        match at {
            0 => self.queues.jobs.clone(),
            1 => self.queues.overflow(),
            _ => self.queues.held(),
        }
    }

    /// The next job. An end that we did not ask for is an error, never a success. Safe to drop and call again.
    pub async fn next(&mut self) -> Result<Delivery, Error> {
        loop {
            let [jobs, overflow, held] = &mut self.intakes;
            let (source, (load, delivery)) = tokio::select! {
                biased;
                error = self.watchdog.alarm() => return Err(error),
                seen = looked(&mut self.look) => {
                    let [seen_overflow, seen_held] = seen?;
                    (overflow.ready, held.ready) = (seen_overflow, seen_held);
                    continue;
                }
                next = jobs.next() => (Source::Jobs, next?),
                next = overflow.next() => (Source::Overflow, next?),
                next = held.next() => (Source::Held, next?),
            };
            if source == Source::Jobs {
                self.watchdog.delivered();
            }
            if let Some(caution) = &mut self.caution {
                caution.job_came();
            }
            return Ok(delivery.from(source, &load));
        }
    }

    /// Whether the broker blocks the connections (consume, publish); an error if one of them is gone.
    pub fn check(&self) -> Result<(bool, bool), Error> {
        self.link.check()
    }

    /// Takes no more jobs until it is resumed; gives those that had arrived and were not yet taken.
    pub async fn pause(&mut self) -> Result<Vec<Delivery>, Error> {
        self.paused = true;
        let mut untaken = Vec::new();
        for (at, intake) in self.intakes.iter_mut().enumerate() {
            while let Some(one) = intake.consumers.pop() {
                untaken.extend(intake.cancel(one, source_of(at)).await?);
            }
        }
        Ok(untaken)
    }

    /// Closes in order. What is unsettled then goes back to its queue.
    pub async fn close(self) -> Result<(), Error> {
        self.link.close().await
    }
}

fn source_of(at: usize) -> Source {
    Source::ALL.get(at).copied().unwrap_or(Source::Jobs)
}

/// The result of a look that is under way. Safe to drop and call again.
async fn looked(look: &mut Option<BoxFuture<'static, Result<[u32; 2], Error>>>) -> Result<[u32; 2], Error> {
    match look {
        Some(looking) => {
            let seen = looking.await;
            *look = None;
            seen
        }
        None => std::future::pending().await,
    }
}
