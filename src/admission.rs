//! Whether a call may be made now: protects Flow Service from the worker, and its parts from each other.
//!
//! A *part* is the smallest thing that can fail by itself: creates of a connection spec in a sandbox, look-ups in a
//! sandbox, optional checks in a sandbox. Each has a circuit breaker, a concurrency limit that adapts, and a budget for
//! repeated calls; an organisation has a rate and two breakers for its credentials. What fails in one part says nothing
//! about another; only while all fail, or nothing comes back from the host at all, probes are spaced out over all parts,
//! and a part of which nothing is known is tried with one call.
//!
//! Before a job takes a slot it makes a [`Claim`]: whether its next call could be made. Each call then waits for a
//! [`Permit`], and tells it how it ended. Jobs that have begun come first, the oldest before all others.
//! Knows neither HTTP nor AMQP nor who has which share of the slots.

mod breaker;
mod budget;
mod call;
mod concurrency;
mod outcome;
mod part;
mod rate;
mod reason;
mod report;
mod service;
mod state;
mod window;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

pub use self::breaker::BreakerRules;
pub use self::call::{Call, Operation};
use self::outcome::Transition;
use self::part::{PartId, Priority};
pub use self::reason::{BreakerScope, Reason, Rejected};
pub use self::report::{Figures, HeldBack};
use self::state::{Admitted, Answer, State};
use crate::contract::ids::ImsOrgId;
use crate::flow::Failure;
use crate::metrics::admission::AdmissionMetrics;

/// What admission goes by.
#[derive(Debug, Clone)]
pub struct AdmissionRules {
    /// When breakers open.
    pub breaker: BreakerRules,
    /// How many repeated calls may fail in the long run, as a share of the calls that succeed, from 0 to 1.
    pub retry_share: f64,
    /// Most calls of one organisation at a time.
    pub concurrency: u16,
    /// Whether limits fall and grow with how calls end.
    pub adaptive: bool,
    /// Most calls of one organisation in a second, if there is such a limit.
    pub rate: Option<f64>,
    /// Longest `Retry-After` that holds up all calls of an organisation.
    pub longest_retry_after: Duration,
    /// The organisations that the worker is set up for, with limits of their own; none if it is set up for none.
    pub organisations: HashMap<ImsOrgId, OrgLimits>,
    /// Whether no others come than those.
    pub only_these: bool,
}

/// An organisation's own limits, where they are not those of all.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct OrgLimits {
    /// Most calls at a time.
    pub concurrency: Option<u16>,
    /// Most calls in a second.
    pub rate: Option<f64>,
}

/// Decides about calls. Clones decide together.
#[derive(Debug, Clone)]
pub struct Admission {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// Notified when a breaker has changed.
    changed: Notify,
    numbers: AtomicU64,
    metrics: AdmissionMetrics,
}

impl Admission {
    /// Knows nothing bad of anybody.
    pub fn new(rules: AdmissionRules, metrics: AdmissionMetrics) -> Self {
        let state = Mutex::new(State::new(rules, Instant::now()));
        let inner = Inner { state, changed: Notify::new(), numbers: AtomicU64::new(0), metrics };
        let admission = Self { inner: Arc::new(inner) };
        admission.refresh();
        admission
    }

    /// A number for a job, higher than those before.
    pub fn number(&self) -> u64 {
        self.inner.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Waits until a breaker changes: then those whose claim was rejected may ask again.
    pub fn changed(&self) -> Notified<'_> {
        self.inner.changed.notified()
    }

    /// Whether these calls of one job could be made now. Where only one may, to find out, it is kept for this job until the
    /// claim is dropped.
    pub fn claim(&self, calls: &[Call<'_>]) -> Result<Claim, Rejected> {
        let job = calls.first().map_or(0, |call| call.job);
        let mut claim = Claim { inner: Arc::clone(&self.inner), parts: Vec::new(), job, jobs_max: None };
        for call in calls {
            let part = PartId::of(call);
            let jobs_max = self.inner.state().claim(&part, call, Instant::now())?;
            claim.parts.push(part);
            claim.jobs_max = claim.jobs_max.into_iter().chain(jobs_max).min();
        }
        Ok(claim)
    }

    /// Waits until the call may be made, for `patience` at the most. Safe to drop.
    pub async fn admit(&self, call: Call<'_>, patience: Duration) -> Result<Permit, Rejected> {
        let inner = &self.inner;
        let asked = Instant::now();
        let admitted = inner.admitted(&PartId::of(&call), &call, asked + patience).await;
        let admitted = admitted.inspect_err(|rejected| inner.metrics.rejected(rejected.reason))?;
        let began = Instant::now();
        inner.metrics.admitted(began - asked);
        Ok(Permit { inner: Arc::clone(inner), admitted: Some(admitted), began })
    }

    /// This create has taken effect although its answer was lost.
    pub fn confirm_create(&self, create: &Call<'_>) {
        let part = PartId::of(create);
        let transitions = self.inner.state().confirmed(&part, Instant::now());
        self.inner.report(&transitions, &part, None);
    }

    /// From now on the worker is set up for these organisations. What was learnt of those that stay holds; for those with
    /// new credentials (`renewed`) one call may try them at once.
    pub fn set_organisations(
        &self,
        organisations: HashMap<ImsOrgId, OrgLimits>,
        renewed: &HashSet<ImsOrgId>,
    ) {
        let gone = self.inner.state().set_organisations(organisations, renewed, Instant::now());
        self.inner.metrics.forget(&gone);
        self.inner.changed.notify_waiters();
    }
}

impl Inner {
    async fn admitted(
        self: &Arc<Self>,
        part: &PartId,
        call: &Call<'_>,
        until: Instant,
    ) -> Result<Admitted, Rejected> {
        let notify = Arc::new(Notify::new());
        let mut waiting = None;
        loop {
            let asked = self.state().admit(part, call, &notify, Instant::now());
            let due = match asked {
                Ok(Answer::Admitted(admitted)) => return Ok(admitted),
                Ok(Answer::Wait(due)) => due.unwrap_or(until).min(until),
                Err(rejected) => return Err(rejected),
            };
            let new = || Waiting { inner: Arc::clone(self), part: part.clone(), priority: call.priority() };
            waiting.get_or_insert_with(new);
            // Whether it is time or something has ended, the state knows.
            drop(timeout_at(due, notify.notified()).await);
            if Instant::now() >= until {
                return Err(Rejected { reason: Reason::Busy, retry_at: until });
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, transitions: &[Transition], part: &PartId, failure: Option<&Failure>) {
        for Transition { scope, opened } in transitions {
            let breaker = scope.as_str();
            let ims_org_id = (*scope != BreakerScope::Host).then(|| part.ims_org_id.as_str());
            let of_part = Some(part).filter(|part| part.scope == *scope);
            let sandbox_name = of_part.map(|part| part.sandbox_name.as_str());
            let connection_spec_id = of_part.and_then(|part| part.connection_spec_id.as_deref());
            let message = match (scope, opened) {
                (BreakerScope::Host, true) => {
                    "Flow Service cannot be reached: lately no call could be sent, or something else answered"
                }
                (BreakerScope::Host, false) => "Flow Service can be reached again",
                (_, true) => "circuit breaker opened: these calls fail and are held back, others go on",
                (_, false) => "circuit breaker closed: these calls succeed again",
            };
            if *opened {
                self.metrics.opened(*scope);
                let error = failure.map(tracing::field::display);
                warn!(breaker, ims_org_id, sandbox_name, connection_spec_id, error, "{message}");
            } else {
                info!(breaker, ims_org_id, sandbox_name, connection_spec_id, "{message}");
            }
        }
        if !transitions.is_empty() {
            self.changed.notify_waiters();
        }
    }
}

/// A place among those that wait for a permit.
struct Waiting {
    inner: Arc<Inner>,
    part: PartId,
    priority: Priority,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.inner.state().forget_waiter(&self.part, self.priority);
    }
}

/// The prospect of a call; where a breaker is half-open, the right to be the one that probes.
#[derive(Debug)]
pub struct Claim {
    inner: Arc<Inner>,
    parts: Vec<PartId>,
    job: u64,
    /// The most jobs of its organisation in flight that are of use, while its calls are scarce.
    pub jobs_max: Option<u32>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        for part in &self.parts {
            state.release(part, self.job);
        }
    }
}

/// Permission for one call.
#[derive(Debug)]
pub struct Permit {
    inner: Arc<Inner>,
    admitted: Option<Admitted>,
    began: Instant,
}

impl Permit {
    /// The call has ended, with an answer or a failure.
    pub fn ended(mut self, failure: Option<&Failure>) {
        let Some(admitted) = self.admitted.take() else { return };
        let transitions = self.inner.state().ended(&admitted, self.began, failure, Instant::now());
        self.inner.report(&transitions, &admitted.part, failure);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(admitted) = self.admitted.take() {
            self.inner.state().ignored(&admitted);
        }
    }
}

#[cfg(test)]
mod tests;
