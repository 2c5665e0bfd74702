//! All that admission knows, and whether it lets a call through. Pure: takes the time as an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::breaker::{Breaker, JobNumber, Ticket};
use super::part::{Organisation, Part, PartId, Priority, Waiter};
use super::service::Unsent;
use super::{AdmissionRules, BreakerScope, Call, Operation, Reason, Rejected};
use crate::contract::ids::ImsOrgId;

/// Parts that are remembered one by one. What was not used for longest is forgotten first.
const PARTS_MAX: usize = 4096;

/// While Flow Service as a whole fails, this much time lies between two probes of parts that are known to fail.
pub(super) const PROBE_SPACING: Duration = Duration::from_millis(1_250);

/// What the budget does not allow is asked again after this.
const BUDGET_WAIT: Duration = Duration::from_secs(5);

/// See [`super::Admission`]; this is what it decides by.
#[derive(Debug)]
pub(super) struct State {
    pub(super) rules: AdmissionRules,
    /// Calls that did not reach Flow Service since it last answered.
    pub(super) unsent: Option<Unsent>,
    pub(super) parts: BTreeMap<PartId, Part>,
    /// When the next part that is known to fail may be probed, while all fail, and which job did so last.
    pub(super) next_probe_at: Instant,
    last_prober: JobNumber,
    pub(super) organisations: BTreeMap<ImsOrgId, Organisation>,
}

/// A call that was let through.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) part: PartId,
    pub(super) job: JobNumber,
    pub(super) repeated: bool,
    pub(super) own: Ticket,
    pub(super) credentials: Ticket,
    /// If a token has to be fetched.
    pub(super) token: Option<Ticket>,
}

/// What is told to a call that is not rejected.
#[derive(Debug)]
pub(super) enum Answer {
    Admitted(Admitted),
    /// To ask again then, or when notified.
    Wait(Option<Instant>),
}

impl State {
    pub(super) fn new(rules: AdmissionRules, now: Instant) -> Self {
        let new = |id: &ImsOrgId| (id.clone(), Organisation::new(id, &rules, now));
        let organisations = rules.organisations.keys().map(new).collect();
        let (parts, last_prober) = (BTreeMap::new(), JobNumber::MAX);
        Self { unsent: None, parts, next_probe_at: now, last_prober, organisations, rules }
    }

    /// Remembers the part from now on, and its organisation.
    fn remember(&mut self, id: &PartId, now: Instant) {
        if self.parts.contains_key(id) {
            return;
        }
        if self.parts.len() >= PARTS_MAX {
            let idle = self.parts.iter().filter(|(_, part)| part.in_flight == 0);
            let oldest = idle.min_by_key(|(_, part)| part.used_at).map(|(id, _)| id.clone());
            oldest.and_then(|oldest| self.parts.remove(&oldest));
        }
        let (max, _) = self.rules.limits_of(&id.ims_org_id);
        self.parts.insert(id.clone(), Part::new(&self.rules, max, now));
        let organisation = || Organisation::new(&id.ims_org_id, &self.rules, now);
        self.organisations.entry(id.ims_org_id.clone()).or_insert_with(organisation);
    }

    /// Forgets organisations of which no part is left, and those that were taken out when their last call has ended.
    pub(super) fn forget_organisations(&mut self) {
        let configured = &self.rules.organisations;
        if self.rules.only_these {
            self.parts.retain(|id, part| configured.contains_key(&id.ims_org_id) || part.in_flight > 0);
        }
        let known: BTreeSet<_> = self.parts.keys().map(|id| &id.ims_org_id).collect();
        let is_in_use = |one: &Organisation| one.in_flight > 0 || !one.waiting.is_empty();
        self.organisations
            .retain(|id, one| known.contains(id) || configured.contains_key(id) || is_in_use(one));
    }

    /// What is known of a part and of its organisation.
    pub(super) fn known(&mut self, id: &PartId) -> Option<(&mut Organisation, &mut Part)> {
        Some((self.organisations.get_mut(&id.ims_org_id)?, self.parts.get_mut(id)?))
    }

    /// Why the call may not be made, if that is so: what it would need does not work for now.
    fn rejection(&mut self, id: &PartId, call: &Call<'_>, now: Instant) -> Option<Rejected> {
        let fails = self.fails_with_all(id, now);
        let scope = self.scope_of(id);
        let (organisation, part) = self.known(id)?;
        part.used_at = now;
        let of_part = part.last_failure.map_or(Reason::Probing, |_| Reason::Breaker(scope));
        if fails && part.breaker.is_closed() {
            part.breaker.half_open();
        }
        let of_token = (&mut organisation.token, Reason::Breaker(BreakerScope::Token));
        let credentials = [(&mut organisation.credentials, Reason::Breaker(BreakerScope::Credentials))];
        let token = call.needs_token.then_some(of_token);
        let breakers = credentials.into_iter().chain(token).chain([(&mut part.breaker, of_part)]);
        let held_back = breakers.filter_map(|(breaker, reason)| {
            Some(Rejected { reason, retry_at: breaker.holds_back(call.job, now)? })
        });
        // The first says why, and all of them until when.
        let later = |first: Rejected, other: Rejected| first.retry_at.max(other.retry_at);
        let held_back = held_back.reduce(|first, other| Rejected { retry_at: later(first, other), ..first });
        let is_over_budget =
            call.operation.is_repeated() && part.breaker.is_closed() && !part.budget.allows(now);
        let over_budget = Rejected { reason: Reason::Budget, retry_at: now + BUDGET_WAIT };
        held_back.or(is_over_budget.then_some(over_budget))
    }

    /// What holds calls of a part back whose breaker is not closed.
    fn scope_of(&self, id: &PartId) -> BreakerScope {
        self.host_unreachable_since().map_or(id.scope, |_| BreakerScope::Host)
    }

    /// Keeps the next probe for this job, where one is due; gives the most jobs of its organisation that are of use.
    pub(super) fn claim(
        &mut self,
        id: &PartId,
        call: &Call<'_>,
        now: Instant,
    ) -> Result<Option<u32>, Rejected> {
        self.remember(id, now);
        if let Some(rejected) = self.rejection(id, call, now) {
            return Err(rejected);
        }
        let known_to_fail = |part: &Part| !part.breaker.is_closed() && part.last_failure.is_some();
        if self.parts.get(id).is_some_and(known_to_fail) && self.is_service_failing(now) {
            if now < self.next_probe_at && self.last_prober != call.job {
                let reason = Reason::Breaker(self.scope_of(id));
                return Err(Rejected { reason, retry_at: self.next_probe_at });
            }
            (self.next_probe_at, self.last_prober) = (now + PROBE_SPACING, call.job);
        }
        for breaker in self.breakers(id, call.needs_token) {
            breaker.claim(call.job, now);
        }
        let Some((organisation, part)) = self.known(id) else { return Ok(None) };
        Ok(organisation.jobs_max(now).into_iter().chain(part.concurrency.jobs_max()).min())
    }

    /// The job makes no call now: the next one may probe.
    pub(super) fn release(&mut self, id: &PartId, job: JobNumber) {
        for breaker in self.breakers(id, true) {
            breaker.release(job);
        }
        self.wake(id, job);
    }

    fn breakers(&mut self, id: &PartId, needs_token: bool) -> impl Iterator<Item = &mut Breaker> {
        self.known(id).into_iter().flat_map(move |(organisation, part)| {
            let token = needs_token.then_some(&mut organisation.token);
            [&mut part.breaker, &mut organisation.credentials].into_iter().chain(token)
        })
    }

    /// Lets the call through, if it is its turn and there is room; else it waits among those of its organisation.
    pub(super) fn admit(
        &mut self,
        id: &PartId,
        call: &Call<'_>,
        notify: &Arc<Notify>,
        now: Instant,
    ) -> Result<Answer, Rejected> {
        self.remember(id, now);
        if let Some(rejected) = self.rejection(id, call, now) {
            return Err(rejected);
        }
        let is_first = self.is_first_in_line(id, call.priority());
        let Some((organisation, part)) = self.known(id) else { return Ok(Answer::Wait(None)) };
        let rate =
            if is_first { organisation.rate.take(now).map_err(|wait| Some(now + wait)) } else { Err(None) };
        if let Err(until) = rate {
            let waiter = || Waiter { part: id.clone(), notify: Arc::clone(notify) };
            organisation.waiting.entry(call.priority()).or_insert_with(waiter);
            return Ok(Answer::Wait(until));
        }
        let job = call.job;
        let admitted = Admitted {
            part: id.clone(),
            job,
            repeated: call.operation.is_repeated(),
            own: part.breaker.admit(job, now),
            credentials: organisation.credentials.admit(job, now),
            token: call.needs_token.then(|| organisation.token.admit(job, now)),
        };
        part.in_flight += 1;
        part.concurrency.began(part.in_flight);
        organisation.in_flight += 1;
        organisation.waiting.remove(&call.priority());
        self.wake(id, job);
        Ok(Answer::Admitted(admitted))
    }

    /// Whether there is room for one more call of the part, and nobody comes before it for whom there is.
    fn is_first_in_line(&self, id: &PartId, priority: Priority) -> bool {
        let Some(organisation) = self.organisations.get(&id.ims_org_id) else { return false };
        organisation.in_flight < organisation.max_in_flight
            && self.has_room(id)
            && !organisation.waiting.range(..priority).any(|(_, waiter)| self.has_room(&waiter.part))
    }

    fn has_room(&self, id: &PartId) -> bool {
        self.parts.get(id).is_none_or(|part| part.concurrency.allows(part.in_flight))
    }

    /// A call does not wait any more.
    pub(super) fn forget_waiter(&mut self, id: &PartId, priority: Priority) {
        if let Some(organisation) = self.organisations.get_mut(&id.ims_org_id) {
            organisation.waiting.remove(&priority);
        }
        self.wake(id, priority.job);
    }

    /// Something has ended of which there can be only so many: tells the first that can go on.
    pub(super) fn wake(&self, id: &PartId, except: JobNumber) {
        let Some(organisation) = self.organisations.get(&id.ims_org_id) else { return };
        if organisation.in_flight >= organisation.max_in_flight {
            return;
        }
        let mut others = organisation.waiting.iter().filter(|(priority, _)| priority.job != except);
        if let Some((_, waiter)) = others.find(|(_, waiter)| self.has_room(&waiter.part)) {
            waiter.notify.notify_one();
        }
    }

    /// A breaker has changed: all that wait look again.
    pub(super) fn wake_all(&self) {
        for waiter in self.organisations.values().flat_map(|one| one.waiting.values()) {
            waiter.notify.notify_one();
        }
    }
}

impl Operation<'_> {
    fn is_repeated(&self) -> bool {
        matches!(self, Self::Create { repeated: true, .. })
    }
}

impl Call<'_> {
    pub(super) fn priority(&self) -> Priority {
        Priority { not_begun: !self.begun, job: self.job }
    }
}
