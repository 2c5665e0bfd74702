//! All that the guard knows, and whether it lets a call through. Pure: told the time.

mod ended;
mod places;

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

pub(super) use self::ended::Change;
use super::breaker::{Breaker, Ticket};
use super::budget::Budget;
use super::tenant::{Queue, Tenant};
use super::{BreakerState, Call, Denied, Gate, GuardRules, Patience, Purpose, Reason};
use crate::contract::ids::{ImsOrgId, SandboxName};
use crate::flow::ProbeRequest;

/// The budget of the whole worker, as a multiple of an organisation's: one that fails altogether does not empty it.
const WHOLE_BUDGET: f64 = 4.0;

/// Organisations that are remembered. Those that have been quiet are forgotten first; of a flood of others, all share what
/// is known about one.
const TENANTS_MAX: usize = 1024;

/// Who meets a breaker that is not closed asks again after half the time that it has been so: the longer something is
/// down, the less there is a use in asking often. But not sooner than this,
const ILL_WAIT_MIN: Duration = Duration::from_secs(1);

/// and not later than this, for that is how long a person who has mended it must wait to see it.
const ILL_WAIT_MAX: Duration = Duration::from_secs(600);

/// Who has waited in vain for others' calls to end asks again after this.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// What the budget does not allow waits for so long. Not for less: it would only come round again and again.
const BUDGET_WAIT: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub(super) struct State {
    pub(super) rules: GuardRules,
    pub(super) service: Breaker,
    pub(super) ims: Breaker,
    budget: Budget,
    pub(super) tenants: HashMap<ImsOrgId, Tenant>,
    /// Stands for all for whom there is no place.
    others: Tenant,
    /// When the places in hand were last shared out, and among how many organisations.
    shared_at: Option<Instant>,
    present: usize,
    /// Where a call failed last: a probe goes there.
    last_failed: Option<ProbeRequest>,
}

/// What is told to who is not turned away.
#[derive(Debug)]
pub(super) enum Answer<T> {
    /// Go on.
    Yes(T),
    /// It is worth asking again then, or when something of the organisation has ended.
    Wait { until: Instant, queue: Queue },
}

/// A call that was let through.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) ims_org_id: ImsOrgId,
    sandbox_name: SandboxName,
    among_others: bool,
    service: Ticket,
    ims: Option<Ticket>,
    organisation: Ticket,
    purpose: Purpose,
}

impl Admitted {
    /// The question whether Flow Service is there, where this call went.
    fn probe(&self) -> ProbeRequest {
        ProbeRequest { ims_org_id: self.ims_org_id.clone(), sandbox_name: self.sandbox_name.clone() }
    }
}

impl State {
    pub(super) fn new(rules: GuardRules, now: Instant) -> Self {
        Self {
            service: Breaker::new(rules.breaker, now),
            ims: Breaker::new(rules.breaker, now),
            budget: Budget::new(WHOLE_BUDGET, rules.retry_share, now),
            tenants: rules.organisations.keys().map(|id| (id.clone(), Tenant::of(id, &rules, now))).collect(),
            others: Tenant::new(&rules, now),
            shared_at: None,
            present: 0,
            last_failed: None,
            rules,
        }
    }

    /// Lets a call through that was `asked` for then, if it may begin before the patience ends.
    pub(super) fn admit(
        &mut self,
        call: Call<'_>,
        asked: Instant,
        patience: Patience,
        now: Instant,
    ) -> Result<Answer<Admitted>, Denied> {
        let among_others = self.heard_of(call.ims_org_id, now);
        let in_company = self.in_company(call.ims_org_id);
        let until = self.until(call, asked, patience);
        let tenant = self.tenants.get_mut(call.ims_org_id).unwrap_or(&mut self.others);
        tenant.asks(call.needs_token, now);
        self.ims.half_open_if_due(now);
        tenant.breaker.half_open_if_due(now);
        let ims = call.needs_token.then_some((&self.ims, Reason::Identity));
        let breakers = [(&self.service, Reason::Service), (&tenant.breaker, Reason::Organisation)];
        if let Some((breaker, reason)) = breakers.into_iter().chain(ims).find(|(it, _)| !it.is_ready()) {
            let wait = (breaker.ill_for(now) / 2).clamp(ILL_WAIT_MIN, ILL_WAIT_MAX);
            return Err(Denied { reason, wait });
        }
        // A probe is worth its call whatever it is for.
        let probes = breakers.iter().any(|(it, _)| it.state() == BreakerState::HalfOpen);
        let repeats = call.purpose == Purpose::Repeat && !probes;
        if repeats && !(self.budget.allows(now) && tenant.budget.allows(now)) {
            return Err(Denied { reason: Reason::Budget, wait: BUDGET_WAIT });
        }
        if !tenant.limit.allows(tenant.under_way) {
            return tenant.busy(BUSY_WAIT, until, now);
        }
        if let Err(wait) = tenant.pace.take(now) {
            // In company, who would wait in vain does not wait at all.
            let in_vain = in_company && now + wait >= until;
            return tenant.busy(wait, if in_vain { now } else { until }, now);
        }
        tenant.under_way += 1;
        tenant.limit.began(tenant.under_way);
        Ok(Answer::Yes(Admitted {
            ims_org_id: call.ims_org_id.clone(),
            sandbox_name: call.sandbox_name.clone(),
            among_others,
            service: self.service.admit(),
            ims: call.needs_token.then(|| self.ims.admit()),
            organisation: tenant.breaker.admit(),
            purpose: call.purpose,
        }))
    }

    /// Whether a call that was `asked` for then may be waited for on.
    pub(super) fn wait_on(
        &mut self,
        call: Call<'_>,
        asked: Instant,
        patience: Patience,
        now: Instant,
    ) -> Result<(), Denied> {
        let until = self.until(call, asked, patience);
        let tenant = self.tenants.get_mut(call.ims_org_id).unwrap_or(&mut self.others);
        tenant.busy(BUSY_WAIT, until, now).map(|_: Answer<()>| ())
    }

    fn until(&self, call: Call<'_>, asked: Instant, patience: Patience) -> Instant {
        let in_company = self.in_company(call.ims_org_id);
        asked + if in_company { patience.in_company } else { patience.alone }
    }

    /// How much of the worker's budget for repeats there is, from 0 to 1.
    pub(super) fn budget_level(&mut self, now: Instant) -> f64 {
        self.budget.level(now)
    }

    /// Whether there is a use in taking jobs: not if no organisation could have a call.
    pub(super) fn gate(&self) -> Gate {
        let known: Vec<_> = if self.rules.organisations.is_empty() {
            self.tenants.values().collect()
        } else {
            self.rules.organisations.keys().filter_map(|id| self.tenants.get(id)).collect()
        };
        // Of those that have not been heard of, nothing ill is known.
        let unheard = self.rules.organisations.len() > known.len() || known.is_empty();
        let of_tenant = |tenant: &Tenant| {
            let ims = if tenant.needs_token { Gate::of(self.ims.state()) } else { Gate::Open };
            Gate::of(tenant.breaker.state()).min(ims)
        };
        let best = if unheard { None } else { known.into_iter().map(of_tenant).max() };
        Gate::of(self.service.state()).min(best.unwrap_or(Gate::Open))
    }

    /// When the next breaker is due to be probed.
    pub(super) fn due(&self) -> Option<Instant> {
        let tenants = self.tenants.values().chain([&self.others]).map(|tenant| &tenant.breaker);
        tenants.chain([&self.service, &self.ims]).filter_map(Breaker::due).min()
    }

    /// Where to probe Flow Service, if that is due.
    pub(super) fn service_probe(&self, now: Instant) -> Option<ProbeRequest> {
        self.service.due().filter(|due| *due <= now).and_then(|_| self.last_failed.clone())
    }

    /// Lets single calls through for all that are due to be probed, but not to Flow Service.
    pub(super) fn half_open_if_due(&mut self, now: Instant) {
        self.ims.half_open_if_due(now);
        for tenant in self.tenants.values_mut().chain([&mut self.others]) {
            tenant.breaker.half_open_if_due(now);
        }
    }

    /// How the organisations fare: those the worker is set up for, and all others together.
    pub(super) fn organisations(&mut self, now: Instant) -> Vec<(Option<ImsOrgId>, Figures)> {
        let mut others = Figures::default();
        let mut known = Vec::new();
        for (id, tenant) in &mut self.tenants {
            let figures = Figures::of(tenant, now);
            if self.rules.organisations.contains_key(id) {
                known.push((Some(id.clone()), figures));
            } else {
                others = others.with(figures);
            }
        }
        known.push((None, others.with(Figures::of(&mut self.others, now))));
        known
    }

    /// Whether an organisation is remembered by itself; if there is a place, it is from now on.
    fn is_known(&mut self, ims_org_id: &ImsOrgId, now: Instant) -> bool {
        if self.tenants.contains_key(ims_org_id) {
            return true;
        }
        if self.tenants.len() >= TENANTS_MAX {
            self.tenants.retain(|_, tenant| !tenant.is_forgettable(now));
        }
        let has_place = self.tenants.len() < TENANTS_MAX;
        if has_place {
            self.tenants.insert(ims_org_id.clone(), Tenant::of(ims_org_id, &self.rules, now));
        }
        has_place
    }
}

/// How one organisation fares, or several together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Figures {
    /// Most calls at a time, for now: of several, the lowest.
    pub limit: Option<f64>,
    /// Jobs in hand.
    pub held: u32,
    /// Most jobs in hand, for now, if it is not alone: of several, the lowest.
    pub share: Option<u32>,
    /// Calls under way.
    pub under_way: u32,
    /// Most calls in a second, for now: of several, the lowest.
    pub rate: Option<f64>,
    /// How many have an open breaker. One that is half-open lets the next job through, if there is one.
    pub down: u32,
}

impl Figures {
    fn of(tenant: &mut Tenant, now: Instant) -> Self {
        Self {
            limit: Some(tenant.limit.value()),
            held: tenant.hand.held(),
            share: Some(tenant.hand.most).filter(|most| *most < u32::MAX),
            under_way: tenant.under_way,
            rate: tenant.pace.rate(now),
            down: u32::from(tenant.breaker.state() == BreakerState::Open),
        }
    }

    fn with(self, other: Self) -> Self {
        let lower = |one: Option<f64>, other: Option<f64>| one.into_iter().chain(other).reduce(f64::min);
        Self {
            limit: lower(self.limit, other.limit),
            held: self.held + other.held,
            share: self.share.into_iter().chain(other.share).min(),
            under_way: self.under_way + other.under_way,
            rate: lower(self.rate, other.rate),
            down: self.down + other.down,
        }
    }
}
