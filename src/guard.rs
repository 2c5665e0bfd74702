//! Whether a call may be made now: protects Flow Service from the worker, and organisations from each other.
//!
//! Every call first gets a [`Pass`], and tells it how it ended. What calls have met decides about the next ones: circuit
//! breakers (for Flow Service, IMS and each organisation), a limit of concurrency and a pace that adapt to what an
//! organisation is given, and a budget for repeated calls. Before that, a job takes a [`Place`] in hand, of which each
//! organisation has its share. Knows neither HTTP nor AMQP, and of a job no more than whose it is; [`Guard::gate`] says
//! whether there is a use in taking jobs at all.

mod breaker;
mod budget;
mod denied;
mod gate;
mod guarded;
mod hand;
mod limit;
mod pace;
mod place;
mod served;
mod share;
mod state;
mod tenant;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{info, warn};

pub use self::breaker::{BreakerRules, BreakerState};
pub use self::denied::{Denied, Reason};
pub use self::gate::{Gate, Scope};
pub use self::guarded::Guarded;
pub use self::place::{Arrival, Place};
pub use self::served::OrgLimits;
pub use self::state::Figures;
use self::state::{Admitted, Answer, Change, State};
use self::tenant::Queue;
use crate::contract::ids::{ImsOrgId, SandboxName};
use crate::flow::Failure;
use crate::metrics::guard::GuardMetrics;

/// How often who waits looks whether there is company.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What the guard goes by.
#[derive(Debug, Clone)]
pub struct GuardRules {
    /// When breakers open.
    pub breaker: BreakerRules,
    /// How many repeated calls may fail in the long run, as a share of the calls that succeed, from 0 to 1.
    pub retry_share: f64,
    /// Most jobs in hand at a time, of all organisations together.
    pub places: u16,
    /// Most calls of one organisation at a time.
    pub concurrency: u16,
    /// Whether limits fall and grow with what calls meet.
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

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The first call for its job.
    First,
    /// A call that was made before and failed.
    Repeat,
    /// Looking for what an earlier call has done.
    Look,
    /// Looking into something besides the create, in its own time: a permission that it lacks is not missing for creates.
    Check,
}

/// Which call is to be made.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// For whom.
    pub ims_org_id: &'a ImsOrgId,
    /// And where.
    pub sandbox_name: &'a SandboxName,
    /// Whether an access token has to be fetched first.
    pub needs_token: bool,
    /// What it is for.
    pub purpose: Purpose,
}

/// How long a job may wait in hand until its call can be made.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// While other organisations have jobs too: the place in hand is theirs as well.
    pub in_company: Duration,
    /// Else. Not shorter.
    pub alone: Duration,
}

/// Decides about calls. Clones decide together.
#[derive(Debug, Clone)]
pub struct Guard {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// Told when a breaker has changed.
    changed: Notify,
    gate: watch::Sender<Gate>,
    metrics: GuardMetrics,
}

impl Guard {
    /// A guard that has seen nothing yet.
    pub fn new(rules: GuardRules, metrics: GuardMetrics) -> Self {
        let now = Instant::now();
        let mut state = State::new(rules, now);
        metrics.organisations(&state.organisations(now));
        let state = Mutex::new(state);
        let (gate, _) = watch::channel(Gate::Open);
        Self { inner: Arc::new(Inner { state, changed: Notify::new(), gate, metrics }) }
    }

    /// Waits until a call may be made, if there is the patience for it. Safe to drop.
    ///
    /// Those who wait are let through in the order in which they came; who finds nobody waiting, and room, need not.
    pub async fn admit(&self, call: Call<'_>, patience: Patience) -> Result<Pass, Denied> {
        let inner = &self.inner;
        let asked = Instant::now();
        let admitted = match inner.ask(call, asked, patience)? {
            Answer::Yes(admitted) => admitted,
            Answer::Wait { queue, .. } => {
                let waits = || inner.wait_on(call, asked, patience);
                in_turn(queue, waits, || inner.ask(call, asked, patience)).await?
            }
        };
        let began = Instant::now();
        inner.metrics.admitted(began - asked);
        Ok(Pass { inner: Arc::clone(inner), admitted: Some(admitted), began })
    }
}

/// Lets those who wait in a queue ask again, one at a time and in the order in which they came; `waits` says whether one
/// whose turn it is not may wait on. Safe to drop.
async fn in_turn<T>(
    queue: Queue,
    waits: impl Fn() -> Result<(), Denied>,
    ask: impl Fn() -> Result<Answer<T>, Denied>,
) -> Result<T, Denied> {
    let Queue { turn, freed } = queue;
    let mut turn = pin!(turn.lock_owned());
    let _turn = loop {
        // Somebody may come meanwhile for whom there has to be room, so the patience is asked for again.
        match timeout(ASK_AGAIN, &mut turn).await {
            Ok(turn) => break turn,
            Err(_) => waits()?,
        }
    };
    loop {
        let until = match ask()? {
            Answer::Yes(answer) => return Ok(answer),
            Answer::Wait { until, .. } => until.min(Instant::now() + ASK_AGAIN),
        };
        // Whether it is time or something has ended, the state knows.
        drop(timeout_at(until, freed.notified()).await);
    }
}

impl Inner {
    fn ask(&self, call: Call<'_>, asked: Instant, patience: Patience) -> Result<Answer<Admitted>, Denied> {
        let answer = self.state().admit(call, asked, patience, Instant::now());
        answer.inspect_err(|denied| self.metrics.denied(denied.reason))
    }

    fn wait_on(&self, call: Call<'_>, asked: Instant, patience: Patience) -> Result<(), Denied> {
        let waits = self.state().wait_on(call, asked, patience, Instant::now());
        waits.inspect_err(|denied| self.metrics.denied(denied.reason))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whether jobs are to be taken, if that has changed.
    fn tell(&self, state: &State) {
        let gate = state.gate();
        self.gate.send_if_modified(|told| std::mem::replace(told, gate) != gate);
    }

    fn report(&self, change: Change, ims_org_id: &ImsOrgId, failure: Option<&Failure>) {
        let org = ims_org_id.as_str();
        match change {
            Change::None | Change::Probed => {}
            Change::Opened(scope) => {
                self.metrics.opened(scope);
                let error = failure.map(tracing::field::display);
                let breaker = scope.as_str();
                warn!(
                    breaker,
                    ims_org_id = org,
                    error,
                    "a circuit breaker opens: calls fail, and are held back"
                );
            }
            Change::Closed(scope) => {
                info!(
                    breaker = scope.as_str(),
                    ims_org_id = org,
                    "a circuit breaker closes: calls succeed again"
                );
            }
        }
    }
}

/// Permission for one call.
#[derive(Debug)]
pub struct Pass {
    inner: Arc<Inner>,
    admitted: Option<Admitted>,
    began: Instant,
}

impl Pass {
    /// The call has ended, with an answer or a failure.
    pub fn ended(mut self, failure: Option<&Failure>) {
        let Some(admitted) = self.admitted.take() else { return };
        let mut state = self.inner.state();
        let change = state.ended(&admitted, self.began, failure, Instant::now());
        if change == Change::None {
            return;
        }
        self.inner.tell(&state);
        drop(state);
        self.inner.changed.notify_one();
        self.inner.report(change, &admitted.ims_org_id, failure);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(admitted) = self.admitted.take() {
            self.inner.state().untold(&admitted);
        }
    }
}

#[cfg(test)]
mod tests;
