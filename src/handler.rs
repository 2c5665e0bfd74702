//! One job, from its parsed request to what came of it. Knows neither AMQP nor HTTP.
//!
//! A failure that says "certainly not done" is tried again within [`Policy`]. One that says "may have been done" leaves a
//! [`Doubt`], as do earlier deliveries; then the connection is looked for before it is created again.

mod attempt;
mod lookup;
mod permit;
mod turns;

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::attempt::Attempting;
use self::turns::Turns;
use crate::contract::job::Job;
use crate::flow::{Created, Failure, FlowApi};
use crate::guard::{Arrival, Denied, Gate, Guard, Place};
use crate::metrics::attempts::AttemptMetrics;
use crate::retry::doubt::{Doubt, Lookups};
use crate::retry::policy::{Limit, Policy};
use crate::retry::tier::Tier;

/// What came of a job.
#[derive(Debug)]
pub enum Handled {
    /// The connection exists.
    Created {
        /// Its id and etag.
        created: Created,
        /// Whether it was found rather than created just now.
        recovered: bool,
        /// Attempts made, those of earlier deliveries included.
        attempts: u32,
    },
    /// It does not, or nobody can tell.
    Failed {
        /// The last failure.
        failure: Failure,
        /// Whether the connection may exist all the same.
        in_doubt: bool,
        /// The limit that ended the attempts, if the failure itself did not.
        limit: Option<Limit>,
        /// Attempts made.
        attempts: u32,
    },
    /// The job's time ran out, and the connection does not exist.
    Expired {
        /// The last failure, if there was one.
        failure: Option<Failure>,
        /// Attempts made.
        attempts: u32,
    },
    /// To be tried again after a wait that is not spent in hand.
    Later {
        /// How long.
        tier: Tier,
        /// Attempts made.
        attempts: u32,
        /// The last failure, if there was one.
        failure: Option<Failure>,
        /// How long a call may still be under way.
        unsettled: Duration,
        /// Whether every attempt up to now certainly did nothing.
        undone: bool,
    },
    /// The worker is stopping and nothing was begun: the job goes back to the queue as it came.
    HandedBack,
    /// No call may be made for now, and none was: the job comes again as it is.
    Unbegun {
        /// After how long; `None` if it is to wait in the job queue, because no job is taken for now.
        tier: Option<Tier>,
        /// Why.
        why: Denied,
    },
}

/// What is known about a job from earlier deliveries.
#[derive(Debug, Clone, Copy)]
pub struct Past {
    /// Attempts made.
    pub attempts: u32,
    /// When the first of them began, if that is known.
    pub first_seen_at: Option<Timestamp>,
    /// None of them began before this, if that is known.
    pub since: Option<Timestamp>,
    /// What they may have done.
    pub doubt: Doubt,
}

impl Past {
    /// Of a job that nobody has tried before.
    pub const NONE: Self = Self { attempts: 0, first_seen_at: None, since: None, doubt: Doubt::None };
}

/// How to try.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// How often and how long.
    pub policy: Policy,
    /// How to look for a connection that may exist.
    pub lookups: Lookups,
}

/// Creates connections.
#[derive(Debug)]
pub struct Handler<F> {
    flow: F,
    guard: Guard,
    rules: Rules,
    turns: Turns,
    metrics: AttemptMetrics,
}

impl<F: FlowApi> Handler<F> {
    /// A handler that calls `flow` as often as `rules` allow and when `guard` does.
    pub fn new(flow: F, guard: Guard, rules: Rules, metrics: AttemptMetrics) -> Self {
        Self { flow, guard, rules, turns: Turns::default(), metrics }
    }

    /// Sees to it that calls are made again when they can be. Never ends.
    pub async fn tend(&self) {
        self.guard.tend(&self.flow).await;
    }

    /// Tells whether there is a use in taking jobs, now and whenever that changes.
    pub fn gate(&self) -> watch::Receiver<Gate> {
        self.guard.gate()
    }

    /// How long a call that nobody has heard from may still be under way.
    pub fn settle(&self) -> Duration {
        self.rules.lookups.settle
    }

    /// Takes a place in hand for a job, among those of its organisation, for as long as it is worked on; else, what becomes of
    /// it. Safe to drop.
    pub async fn place(
        &self,
        job: &Job,
        past: Past,
        time_left: Option<Duration>,
        stop: &CancellationToken,
    ) -> Result<Place, Box<Handled>> {
        let started = Instant::now();
        let arrival = Arrival {
            ims_org_id: &job.ims_org_id,
            came_back: past.first_seen_at.is_some(),
            is_urgent: time_left.is_some_and(|left| left <= Tier::TenSeconds.delay()),
            patience: self.rules.policy.hold,
        };
        match stop.run_until_cancelled(self.guard.place(arrival)).await {
            None => Err(Box::new(Handled::HandedBack)),
            Some(Ok(place)) => Ok(place),
            Some(Err(denied)) => {
                let attempting = Attempting::new(self, job, past, started, time_left, stop);
                Err(Box::new(attempting.denied(denied, past.attempts)))
            }
        }
    }

    /// Creates the job's connection, or finds it, trying again where that is safe.
    ///
    /// `time_left` is the time until the job expires. When `stop` is cancelled no further call is started; one that
    /// is under way is finished, because its outcome would otherwise be unknown.
    pub async fn handle(
        &self,
        job: &Job,
        past: Past,
        time_left: Option<Duration>,
        stop: &CancellationToken,
    ) -> Handled {
        let started = Instant::now();
        let patience = self.rules.policy.hold;
        let waiting = tokio::time::timeout(patience, self.turns.take(job));
        let turn = match stop.run_until_cancelled(waiting).await {
            None => return Handled::HandedBack,
            // Another delivery of the job is being worked on; this one is not to hold a slot meanwhile.
            Some(Err(_)) => {
                return Handled::Later {
                    tier: Tier::TenSeconds,
                    attempts: past.attempts,
                    failure: None,
                    unsettled: self.settle(),
                    undone: false,
                };
            }
            Some(Ok(turn)) => turn,
        };
        if let Some(created) = turn.remembered() {
            self.metrics.answered_from_memory();
            return Handled::Created { created, recovered: true, attempts: past.attempts };
        }
        let doubt = if turn.waited { Doubt::Open(Instant::now() + self.settle()) } else { past.doubt };
        let past = Past { doubt, ..past };
        let handled = Attempting::new(self, job, past, started, time_left, stop).run().await;
        if let Handled::Created { created, .. } = &handled {
            turn.remember(created);
        }
        handled
    }
}

#[cfg(test)]
mod tests;
