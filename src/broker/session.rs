//! One stretch of being connected: from connect to the first error, or to an orderly close.
//!
//! Knows nothing of jobs. Whatever goes wrong ends the session; healing is the supervisor's work.

use std::sync::Arc;

use super::Error;
use super::caution::Caution;
use super::delivery::Delivery;
use super::depths::Depths;
use super::link::{Consume, Link};
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

/// A link, and a consumer of the job queue.
pub struct Session<L: Link> {
    link: Arc<L>,
    consumer: L::Consumer,
    publisher: Arc<L::Publisher>,
    prefetch: u16,
    /// The prefetch limit that is wanted for now,
    wanted: u16,
    /// and the one in force.
    limit: u16,
    consuming: bool,
    caution: Option<Caution>,
    watchdog: Watchdog<L>,
    queues: Queues,
}

impl<L: Link> std::fmt::Debug for Session<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("queue", &self.queues.jobs).finish_non_exhaustive()
    }
}

impl<L: Link> Session<L> {
    /// Starts to consume.
    pub async fn start(link: L, queues: &Queues, settings: &IntakeSettings) -> Result<Self, Error> {
        Self::start_with(link, queues, settings, settings.prefetch).await
    }

    /// The same, taking one job at a time until [`Session::may_relax`].
    ///
    /// For after a message that broke the last session by its mere arrival: so it breaks the next one alone, with no
    /// other job in hand, until the broker parks it.
    pub async fn start_careful(link: L, queues: &Queues, settings: &IntakeSettings) -> Result<Self, Error> {
        let mut session = Self::start_with(link, queues, settings, 1).await?;
        session.caution = Some(Caution::for_jobs(settings.prefetch));
        Ok(session)
    }

    async fn start_with(
        link: L,
        queues: &Queues,
        settings: &IntakeSettings,
        prefetch: u16,
    ) -> Result<Self, Error> {
        let link = Arc::new(link);
        let consumer = link.consume(&queues.jobs, prefetch).await?;
        let watchdog = Watchdog::new(settings.watch, Arc::clone(&link), queues.jobs.clone());
        Ok(Self {
            publisher: link.publisher(),
            link,
            consumer,
            prefetch: settings.prefetch,
            wanted: prefetch,
            limit: prefetch,
            consuming: true,
            caution: None,
            watchdog,
            queues: queues.clone(),
        })
    }

    /// Whether it takes fewer jobs at a time than it may.
    pub fn is_careful(&self) -> bool {
        self.caution.is_some()
    }

    /// Whether a careful session may go on as any other: as many jobs have come as were in hand when the last session
    /// broke, or none came for a while.
    ///
    /// `in_hand` says whether a job is still being worked on: then no other can come, and the quiet means nothing.
    pub fn may_relax(&self, in_hand: bool) -> bool {
        self.consuming && self.caution.as_ref().is_some_and(|caution| caution.is_over(in_hand))
    }

    /// Goes on with the full prefetch limit; gives the jobs that had arrived and were not yet taken.
    pub async fn relax(&mut self) -> Result<Vec<Delivery>, Error> {
        self.caution = None;
        let untaken = self.stop_consuming().await?;
        self.wanted = self.prefetch;
        self.resume(self.wanted).await?;
        Ok(untaken)
    }

    /// Goes on consuming after [`Session::stop_consuming`], with fewer jobs at a time for a while.
    pub async fn resume_carefully(&mut self, prefetch: u16) -> Result<(), Error> {
        self.caution = Some(Caution::for_suspects(self.caution.as_ref()));
        self.wanted = prefetch;
        self.resume(self.wanted).await
    }

    /// Goes on consuming after [`Session::stop_consuming`] as before, but with `most` jobs at a time if that is fewer.
    pub async fn resume_with(&mut self, most: u16) -> Result<(), Error> {
        self.resume(self.wanted.min(most)).await
    }

    /// Whether jobs are being taken.
    pub fn is_consuming(&self) -> bool {
        self.consuming
    }

    /// A reason to be careful has come: a session that is careful for a time stays so for a while longer.
    pub fn stay_careful(&mut self) {
        if let Some(caution) = &mut self.caution {
            caution.suspect_came();
        }
    }

    /// How many jobs may be in hand for now.
    pub fn limit(&self) -> u16 {
        self.limit
    }

    async fn resume(&mut self, prefetch: u16) -> Result<(), Error> {
        self.consumer = self.link.consume(&self.queues.jobs, prefetch).await?;
        (self.consuming, self.limit) = (true, prefetch);
        Ok(())
    }

    /// Looks at the queues, for as long as the session lasts.
    pub fn depths(&self) -> Depths<L> {
        Depths { link: Arc::clone(&self.link), queues: self.queues.clone() }
    }

    /// Publishes on this session's connection.
    pub fn publisher(&self) -> Arc<L::Publisher> {
        Arc::clone(&self.publisher)
    }

    /// Lets the session ask whether its consumer is forgotten, if that is due; [`Session::next`] then tells. To be called
    /// every now and then, with whether nothing is in hand and jobs are wanted.
    pub fn watch(&mut self, idle: bool) {
        self.watchdog.tick(idle);
    }

    /// The next job. An end that we did not ask for is an error, never a success. Safe to drop and call again.
    pub async fn next(&mut self) -> Result<Delivery, Error> {
        let next = tokio::select! {
            biased;
            next = self.consumer.next() => next,
            error = self.watchdog.alarm() => return Err(error),
        };
        self.watchdog.delivered();
        if let Some(caution) = &mut self.caution {
            caution.job_came();
        }
        next
    }

    /// Whether the broker blocks the connections (consume, publish); an error if one of them is gone.
    pub fn check(&self) -> Result<(bool, bool), Error> {
        self.link.check()
    }

    /// Takes no more jobs until it is resumed; gives those that had arrived and were not yet taken.
    pub async fn stop_consuming(&mut self) -> Result<Vec<Delivery>, Error> {
        if !std::mem::take(&mut self.consuming) {
            return Ok(Vec::new());
        }
        self.consumer.cancel().await
    }

    /// Closes in order. What is unsettled then goes back to the queue.
    pub async fn close(self) -> Result<(), Error> {
        self.link.close().await
    }
}
