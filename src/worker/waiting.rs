//! A job waits until it can run: until its next call could be made, and there is a slot for it. Or it leaves for another
//! queue, so that others behind it can run.

use std::pin::pin;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Worker;
use super::passage::{Blocked, Passage};
use crate::admission::{Claim, Reason};
use crate::broker::intake::Source;
use crate::contract::job::Job;
use crate::fair_share::{Slot, Tenant};
use crate::flow::FlowApi;
use crate::handler::Past;

const NO_SLOT: &str = "all slots of its share are in use";

/// How waiting ended.
pub(super) enum Waited {
    /// The job can run.
    Run(Slot, Claim),
    /// It goes to another queue.
    Leave(Source, &'static str),
    /// Its time is up.
    Expired,
    /// The worker is stopping.
    Stopped,
}

/// A job that waits.
pub(super) struct Waiting<'a> {
    pub(super) job: &'a Job,
    pub(super) past: &'a Past,
    /// Its number, see [`crate::admission::Admission::number`].
    pub(super) number: u64,
    /// Where it came from.
    pub(super) source: Source,
    pub(super) since: Instant,
    /// When it expires, if nobody has to look first what became of it.
    pub(super) expires: Option<Instant>,
}

impl<F: FlowApi> Worker<F> {
    /// Waits until the job can run, or is better off elsewhere.
    pub(super) async fn wait(&self, waiting: &Waiting<'_>, stop: &CancellationToken) -> Waited {
        let mut counted = None;
        loop {
            if waiting.expires.is_some_and(|at| at <= Instant::now()) {
                return Waited::Expired;
            }
            // Before the claim, so that no change between the two is missed.
            let mut changed = pin!(self.handler.changed());
            changed.as_mut().enable();
            let rejected = match self.handler.claim(waiting.job, waiting.past, waiting.number) {
                Ok(claim) => return self.wait_for_slot(waiting, claim, stop).await,
                Err(rejected) => rejected,
            };
            let is_probed = rejected.reason == Reason::Probing && waiting.source == Source::Jobs;
            let blocked = if is_probed { Blocked::Probe } else { Blocked::Calls };
            if is_probed {
                counted.get_or_insert_with(|| Waits::begin(self, Blocked::Probe));
            }
            let Err(again) = self.leave(waiting, blocked) else {
                return Waited::Leave(Source::Held, rejected.reason.explanation());
            };
            let until = waiting.expires.into_iter().chain([again, rejected.retry_at]).min().unwrap_or(again);
            tokio::select! {
                biased;
                () = stop.cancelled() => return Waited::Stopped,
                () = changed => {}
                () = sleep_until(until) => {}
            }
        }
    }

    async fn wait_for_slot(&self, waiting: &Waiting<'_>, claim: Claim, stop: &CancellationToken) -> Waited {
        let tenant = tenant_of(waiting.job);
        let overflows = self.passage().is_overflowing(&tenant);
        if waiting.source == Source::Jobs
            && !self.fair_share.is_entitled(&tenant, overflows)
            && self.passage().goes_behind(&tenant, Instant::now())
        {
            return Waited::Leave(Source::Overflow, NO_SLOT);
        }
        let mut request = match self.fair_share.request(tenant.clone(), claim.jobs_max, overflows) {
            Err(request) => request,
            Ok(slot) => {
                self.passage().ran_at_once(waiting.source, Instant::now());
                return Waited::Run(slot, claim);
            }
        };
        let _counted = (waiting.source == Source::Jobs).then(|| Waits::begin(self, Blocked::Slot));
        loop {
            let (blocked, why) = if request.is_at_max() {
                (Blocked::Scarce, Reason::Busy.explanation())
            } else if self.fair_share.is_entitled(&tenant, overflows)
                || (waiting.source == Source::Jobs && !overflows && self.fair_share.is_small(&tenant))
            {
                (Blocked::Turn, NO_SLOT)
            } else {
                (Blocked::Slot, NO_SLOT)
            };
            let Err(again) = self.leave(waiting, blocked) else {
                return Waited::Leave(Source::Overflow, why);
            };
            if waiting.expires.is_some_and(|at| at <= Instant::now()) {
                return Waited::Expired;
            }
            let until = waiting.expires.map_or(again, |at| at.min(again));
            tokio::select! {
                biased;
                () = stop.cancelled() => return Waited::Stopped,
                slot = request.granted() => return Waited::Run(slot, claim),
                () = sleep_until(until) => {}
            }
        }
    }

    fn leave(&self, waiting: &Waiting<'_>, blocked: Blocked) -> Result<(), Instant> {
        self.passage().leave(waiting.source, blocked, waiting.since, Instant::now())
    }

    /// Keeps as many slots free as are needed to look through the job queue, from now on.
    pub(super) fn keep_free(&self, slots: Option<u32>) {
        if let Some(slots) = slots {
            self.fair_share.keep_free(slots);
        }
    }
}

impl<F> Worker<F> {
    pub(super) fn passage(&self) -> MutexGuard<'_, Passage> {
        self.passage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Organisations share the slots; within one, sandboxes and sources do, each of which can be slow by itself.
pub(super) fn tenant_of(job: &Job) -> Tenant {
    Tenant {
        name: job.ims_org_id.as_str().to_owned(),
        member: format!("{}/{}", job.sandbox_name.as_str(), job.connection_spec_id),
    }
}

/// A job of the job queue waits, until this is dropped.
struct Waits<'a, F> {
    worker: &'a Worker<F>,
    blocked: Blocked,
}

impl<'a, F: FlowApi> Waits<'a, F> {
    fn begin(worker: &'a Worker<F>, blocked: Blocked) -> Self {
        worker.passage().waits(blocked, Instant::now());
        Self { worker, blocked }
    }
}

impl<F> Drop for Waits<'_, F> {
    fn drop(&mut self) {
        self.worker.passage().waits_no_more(self.blocked, Instant::now());
    }
}

/// When a job expires that has this much time left.
pub(super) fn expires(time_left: Option<Duration>) -> Option<Instant> {
    time_left.map(|left| Instant::now() + left)
}

/// A job of the job queue is being moved, until this is dropped.
pub(super) struct Moved<'a, F>(&'a Worker<F>);

impl<'a, F: FlowApi> Moved<'a, F> {
    pub(super) fn begin(worker: &'a Worker<F>) -> Self {
        let keep_free = worker.passage().move_begins(Instant::now());
        worker.keep_free(keep_free);
        Self(worker)
    }
}

impl<F> Drop for Moved<'_, F> {
    fn drop(&mut self) {
        self.0.passage().move_ends();
    }
}
