//! What admission tells people: what is held back and why, and how the organisations fare.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::breaker::Breaker;
use super::part::Organisation;
use super::state::State;
use super::{Admission, BreakerScope, OrgLimits};
use crate::contract::ids::{ImsOrgId, SandboxName};

/// How often the figures on the metrics page are brought up to date.
const REFRESH: Duration = Duration::from_secs(1);

/// Calls that are held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack {
    /// By which breaker.
    pub scope: BreakerScope,
    /// Whose; `None` for everybody.
    pub ims_org_id: Option<ImsOrgId>,
    /// Where; `None` for every sandbox.
    pub sandbox_name: Option<SandboxName>,
    /// Of which connection spec; `None` for every one.
    pub connection_spec_id: Option<String>,
    /// How the last call ended, for a person.
    pub why: Option<&'static str>,
    /// For how long it has been so.
    pub lasts: Duration,
    /// In what time the next call tries again; zero if it may do so now.
    pub next_in: Duration,
}

/// How one organisation fares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Most calls of a part at a time, for now: the lowest of all parts.
    pub limit: f64,
    /// Calls in flight.
    pub in_flight: u32,
    /// Most calls in a second, for now, if there is such a limit.
    pub rate: Option<f64>,
}

impl Admission {
    /// Keeps the metrics up to date. Never ends.
    pub async fn run_background(&self) {
        loop {
            sleep(REFRESH).await;
            self.refresh();
        }
    }

    pub(super) fn refresh(&self) {
        let now = Instant::now();
        let mut state = self.inner.state();
        state.forget_organisations();
        let metrics = &self.inner.metrics;
        metrics.budget(state.budget_level(now));
        let (held_back, figures) = (state.held_back(now), state.figures(now));
        metrics.organisations(&held_back, &figures, |id| state.rules.organisations.contains_key(id));
    }

    /// The organisations that the worker is set up for.
    pub fn configured(&self) -> Vec<ImsOrgId> {
        self.inner.state().rules.organisations.keys().cloned().collect()
    }

    /// What is held back now, in a fixed order.
    pub fn held_back(&self) -> Vec<HeldBack> {
        self.inner.state().held_back(Instant::now())
    }
}

impl State {
    fn held_back(&self, now: Instant) -> Vec<HeldBack> {
        let held = |scope, since, next: Option<Instant>| HeldBack {
            scope,
            ims_org_id: None,
            sandbox_name: None,
            connection_spec_id: None,
            why: None,
            lasts: now.saturating_duration_since(since),
            next_in: next.map(|at| at.saturating_duration_since(now)).unwrap_or_default(),
        };
        let by = |scope, breaker: &Breaker, id: &ImsOrgId| {
            let held = held(scope, breaker.open_since()?, breaker.next_probe_at());
            Some(HeldBack { ims_org_id: Some(id.clone()), ..held })
        };
        let host = self.host_unreachable_since();
        let host = host.map(|since| held(BreakerScope::Host, since, Some(self.next_probe_at)));
        let organisations = self.organisations.iter().flat_map(|(id, one)| {
            let token = by(BreakerScope::Token, &one.token, id);
            token.into_iter().chain(by(BreakerScope::Credentials, &one.credentials, id))
        });
        let parts = self.parts.iter().filter_map(|(id, part)| {
            let (sandbox_name, connection_spec_id) =
                (Some(id.sandbox_name.clone()), id.connection_spec_id.clone());
            let held = by(id.scope, &part.breaker, &id.ims_org_id)?;
            Some(HeldBack { sandbox_name, connection_spec_id, why: part.last_failure, ..held })
        });
        host.into_iter().chain(organisations).chain(parts).collect()
    }

    /// How much of its budget for repeated calls the part has left that has least, from 0 to 1.
    fn budget_level(&mut self, now: Instant) -> f64 {
        self.parts.values_mut().map(|part| part.budget.level(now)).fold(1.0, f64::min)
    }

    /// How each organisation fares.
    fn figures(&mut self, now: Instant) -> BTreeMap<ImsOrgId, Figures> {
        let of_one = |(id, one): (&ImsOrgId, &mut Organisation)| {
            let (limit, in_flight, rate) = (f64::from(one.max_in_flight), one.in_flight, one.rate.rate(now));
            (id.clone(), Figures { limit, in_flight, rate })
        };
        let mut figures: BTreeMap<_, _> = self.organisations.iter_mut().map(of_one).collect();
        for (id, part) in &self.parts {
            if let Some(of_one) = figures.get_mut(&id.ims_org_id) {
                of_one.limit = of_one.limit.min(part.concurrency.value());
            }
        }
        figures
    }

    /// Goes by other organisations, and tells which are gone.
    pub(super) fn set_organisations(
        &mut self,
        organisations: HashMap<ImsOrgId, OrgLimits>,
        renewed: &HashSet<ImsOrgId>,
        now: Instant,
    ) -> Vec<ImsOrgId> {
        let before = std::mem::replace(&mut self.rules.organisations, organisations);
        let rules = &self.rules;
        for id in rules.organisations.keys() {
            let new = || Organisation::new(id, rules, now);
            let organisation = self.organisations.entry(id.clone()).or_insert_with(new);
            let (max, rate) = rules.limits_of(id);
            organisation.max_in_flight = max;
            organisation.rate.set_fixed(rate);
            if renewed.contains(id) {
                let refused = [&mut organisation.token, &mut organisation.credentials].into_iter();
                refused.filter(|breaker| !breaker.is_closed()).for_each(Breaker::half_open);
            }
            for (_, part) in self.parts.iter_mut().filter(|(part, _)| part.ims_org_id == *id) {
                part.concurrency.set_max(max);
            }
        }
        self.wake_all();
        before.into_keys().filter(|id| !self.rules.organisations.contains_key(id)).collect()
    }
}
