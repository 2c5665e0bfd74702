//! What admission tells people: what is held back and why, and how the organisations fare.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::breaker::Breaker;
use super::part::{Kind, Organisation, PartId};
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

/// How one organisation fares, or several together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Figures {
    /// Most calls of a part at a time, for now: of several, the lowest.
    pub limit: Option<f64>,
    /// Calls in flight.
    pub in_flight: u32,
    /// Most calls in a second, for now: of several, the lowest.
    pub rate: Option<f64>,
    /// Breakers that are not closed.
    pub held_back: u32,
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
        state.forget_removed();
        let metrics = &self.inner.metrics;
        metrics.held_back(&state.held_back(now));
        metrics.budget(state.budget_level(now));
        metrics.organisations(&state.figures(now));
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
        let held_back = |scope, since, next: Option<Instant>| HeldBack {
            scope,
            ims_org_id: None,
            sandbox_name: None,
            connection_spec_id: None,
            why: None,
            lasts: now.saturating_duration_since(since),
            next_in: next.map(|at| at.saturating_duration_since(now)).unwrap_or_default(),
        };
        let of = |scope, breaker: &Breaker, id: Option<&ImsOrgId>| {
            let held = held_back(scope, breaker.open_since()?, breaker.next_probe_at());
            Some(HeldBack { ims_org_id: id.cloned(), ..held })
        };
        let host = self.host_unreachable_since();
        let host = host.map(|since| held_back(BreakerScope::Host, since, Some(self.next_probe_at)));
        let organisations = self.organisations.iter().flat_map(|(id, one)| {
            let token = of(BreakerScope::Token, &one.token, id.as_ref());
            [token, of(BreakerScope::Credentials, &one.credentials, id.as_ref())].into_iter().flatten()
        });
        let parts = self.parts.iter().filter_map(|(id, part)| {
            let held = of(id.kind.scope(), &part.breaker, id.ims_org_id.as_ref())?;
            let connection_spec_id = id.connection_spec_id().map(str::to_owned);
            let (sandbox_name, why) = (id.sandbox_name.clone(), part.last_failure);
            Some(HeldBack { sandbox_name, connection_spec_id, why, ..held })
        });
        host.into_iter().chain(organisations).chain(parts).collect()
    }

    /// How much of its budget for repeated calls the part has left that has least, from 0 to 1.
    fn budget_level(&mut self, now: Instant) -> f64 {
        self.parts.values_mut().map(|part| part.budget.level(now)).fold(1.0, f64::min)
    }

    /// How the organisations fare: those the worker is set up for, and all others together (`None`).
    fn figures(&mut self, now: Instant) -> Vec<(Option<ImsOrgId>, Figures)> {
        let mut of_each: HashMap<Option<ImsOrgId>, Figures> = HashMap::new();
        of_each.entry(None).or_default();
        let configured = &self.rules.organisations;
        let label = |id: &Option<ImsOrgId>| id.clone().filter(|id| configured.contains_key(id));
        for (id, organisation) in &mut self.organisations {
            let figures = of_each.entry(label(id)).or_default();
            let own = Figures {
                limit: Some(f64::from(organisation.max_in_flight)),
                in_flight: organisation.in_flight,
                rate: organisation.rate.rate(now),
                held_back: u32::from(!organisation.token.is_closed())
                    + u32::from(!organisation.credentials.is_closed()),
            };
            *figures = figures.with(own);
        }
        for (id, part) in &self.parts {
            let figures = of_each.entry(label(&id.ims_org_id)).or_default();
            let limit = Some(part.concurrency.value());
            let held_back = u32::from(!part.breaker.is_closed());
            *figures = figures.with(Figures { limit, held_back, ..Figures::default() });
        }
        of_each.into_iter().collect()
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
            let new = || Organisation::new(Some(id), rules, now);
            let organisation = self.organisations.entry(Some(id.clone())).or_insert_with(new);
            let (max, rate) = rules.limits_of(Some(id));
            organisation.max_in_flight = max;
            organisation.rate.set_fixed(rate);
            if renewed.contains(id) {
                for breaker in [&mut organisation.token, &mut organisation.credentials] {
                    if !breaker.is_closed() {
                        breaker.half_open();
                    }
                }
            }
            let own = self.parts.iter_mut().filter(|(part, _)| part.ims_org_id.as_ref() == Some(id));
            for (_, part) in own {
                part.concurrency.set_max(max);
            }
        }
        self.wake_all();
        before.into_keys().filter(|id| !self.rules.organisations.contains_key(id)).collect()
    }

    /// Forgets organisations that were taken out, when their last call has ended.
    fn forget_removed(&mut self) {
        if !self.rules.only_these {
            return;
        }
        let configured = &self.rules.organisations;
        self.organisations.retain(|id, one| {
            id.as_ref().is_none_or(|id| configured.contains_key(id))
                || one.in_flight > 0
                || !one.waiting.is_empty()
        });
        let known = &self.organisations;
        self.parts.retain(|id, part| known.contains_key(&id.ims_org_id) || part.in_flight > 0);
    }
}

impl Figures {
    fn with(self, other: Self) -> Self {
        let lower = |one: Option<f64>, other: Option<f64>| one.into_iter().chain(other).reduce(f64::min);
        Self {
            limit: lower(self.limit, other.limit),
            in_flight: self.in_flight + other.in_flight,
            rate: lower(self.rate, other.rate),
            held_back: self.held_back + other.held_back,
        }
    }
}

impl PartId {
    pub(super) fn connection_spec_id(&self) -> Option<&str> {
        match &self.kind {
            Kind::Create(spec) => Some(spec),
            Kind::LookUp | Kind::Check => None,
        }
    }
}
