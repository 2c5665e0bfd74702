//! All that admission knows, and whether it lets a call through. Pure: takes the time as an argument.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::breaker::{Breaker, JobNumber, Ticket};
use super::part::{Organisation, Part, PartId, Priority, Waiter};
use super::service::Unsent;
use super::{AdmissionRules, Call, Operation, Reason, Rejected};
use crate::contract::ids::ImsOrgId;

/// Organisations that are remembered one by one, and parts. What has been quiet is forgotten first; all beyond share what is
/// known of one.
const ORGANISATIONS_MAX: usize = 1024;
const PARTS_MAX: usize = 4096;

/// While Flow Service as a whole fails, this much time lies between two probes of parts that are known to fail.
pub(super) const PROBE_SPACING: Duration = Duration::from_millis(1_250);

/// What the budget does not allow is asked again after this.
const BUDGET_WAIT: Duration = Duration::from_secs(5);

/// See [`super::Admission`]; this is what it decides by.
#[derive(Debug)]
pub(super) struct State {
    pub(super) rules: AdmissionRules,
    /// Calls that could not be sent since an answer came back.
    pub(super) unsent: Option<Unsent>,
    pub(super) parts: BTreeMap<PartId, Part>,
    /// When the next part that is known to fail may be probed, while all fail, and which job did so last.
    pub(super) next_probe_at: Instant,
    last_prober: JobNumber,
    /// `None` stands for all beyond those that are remembered.
    pub(super) organisations: BTreeMap<Option<ImsOrgId>, Organisation>,
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
        let organisations = rules
            .organisations
            .keys()
            .map(|id| (Some(id.clone()), Organisation::new(Some(id), &rules, now)))
            .collect();
        let (parts, last_prober) = (BTreeMap::new(), JobNumber::MAX);
        Self { unsent: None, parts, next_probe_at: now, last_prober, organisations, rules }
    }

    /// The part that a call concerns, remembered from now on.
    pub(super) fn part_of(&mut self, call: &Call<'_>, now: Instant) -> PartId {
        let mut id = PartId::of(call);
        if self.parts.contains_key(&id) {
            return id;
        }
        if self.parts.len() >= PARTS_MAX {
            self.parts.retain(|_, part| !part.is_forgettable(now));
        }
        let known = self.organisations.contains_key(&id.ims_org_id);
        if !known && self.organisations.len() >= ORGANISATIONS_MAX {
            let configured = &self.rules.organisations;
            self.organisations.retain(|id, organisation| {
                id.as_ref().is_some_and(|id| configured.contains_key(id)) || !organisation.is_forgettable(now)
            });
        }
        if self.parts.len() >= PARTS_MAX || (!known && self.organisations.len() >= ORGANISATIONS_MAX) {
            id = id.among_others();
        }
        let (max, _) = self.rules.limits_of(id.ims_org_id.as_ref());
        let (rules, owner) = (&self.rules, id.ims_org_id.clone());
        let organisation = || Organisation::new(owner.as_ref(), rules, now);
        self.organisations.entry(id.ims_org_id.clone()).or_insert_with(organisation);
        self.parts.entry(id.clone()).or_insert_with(|| Part::new(rules, max, now));
        id
    }

    /// Why the call may not be made, if that is so: what it would need does not work for now.
    pub(super) fn rejection(&mut self, id: &PartId, call: &Call<'_>, now: Instant) -> Option<Rejected> {
        let fails = self.fails_with_all(id, now);
        let held_back = self.held_back_by(id);
        let organisation = self.organisations.get_mut(&id.ims_org_id)?;
        let part = self.parts.get_mut(id)?;
        organisation.touch(now);
        part.used_at = now;
        if fails && part.breaker.is_closed() {
            part.breaker.half_open();
        }
        let token = call.needs_token.then_some((&mut organisation.token, Reason::Token));
        let credentials = [(&mut organisation.credentials, Reason::Credentials)];
        let breakers = credentials.into_iter().chain(token).chain([(&mut part.breaker, held_back)]);
        let held_back = breakers.filter_map(|(breaker, reason)| {
            let retry_at = breaker.holds_back(call.job, now)?;
            Some(Rejected { reason, retry_at })
        });
        // The first says why, and all of them until when.
        let later = |first: Rejected, other: Rejected| first.retry_at.max(other.retry_at);
        let held_back = held_back.reduce(|first, other| Rejected { retry_at: later(first, other), ..first });
        if held_back.is_none()
            && call.operation.is_repeated()
            && part.breaker.is_closed()
            && !part.budget.allows(now)
        {
            return Some(Rejected { reason: Reason::Budget, retry_at: now + BUDGET_WAIT });
        }
        held_back
    }

    /// Why calls of a part are held back whose breaker is not closed.
    fn held_back_by(&self, id: &PartId) -> Reason {
        self.host_unreachable_since().map_or(id.kind.held_back(), |_| Reason::Host)
    }

    /// Keeps the next probe for this job, where one is due; gives the most jobs of its organisation that are of use.
    pub(super) fn claim(&mut self, call: &Call<'_>, now: Instant) -> Result<(PartId, Option<u32>), Rejected> {
        let id = self.part_of(call, now);
        if let Some(rejected) = self.rejection(&id, call, now) {
            return Err(rejected);
        }
        let known_to_fail = |part: &Part| !part.breaker.is_closed() && part.last_failure.is_some();
        if self.parts.get(&id).is_some_and(known_to_fail) && self.is_service_failing(now) {
            if now < self.next_probe_at && self.last_prober != call.job {
                return Err(Rejected { reason: self.held_back_by(&id), retry_at: self.next_probe_at });
            }
            (self.next_probe_at, self.last_prober) = (now + PROBE_SPACING, call.job);
        }
        for breaker in self.breakers(&id, call.needs_token) {
            breaker.claim(call.job, now);
        }
        let part_max = self.parts.get(&id).and_then(|part| part.concurrency.jobs_max());
        let by_rate = self.organisations.get_mut(&id.ims_org_id).and_then(|one| one.jobs_max(now));
        Ok((id, by_rate.into_iter().chain(part_max).min()))
    }

    /// The job makes no call now: the next one may probe.
    pub(super) fn release(&mut self, id: &PartId, job: JobNumber) {
        for breaker in self.breakers(id, true) {
            breaker.release(job);
        }
        self.wake(id, job);
    }

    fn breakers(&mut self, id: &PartId, needs_token: bool) -> impl Iterator<Item = &mut Breaker> {
        let part = self.parts.get_mut(id).map(|part| &mut part.breaker);
        let organisation = self.organisations.get_mut(&id.ims_org_id).into_iter().flat_map(move |one| {
            [Some(&mut one.credentials), Some(&mut one.token).filter(|_| needs_token)].into_iter().flatten()
        });
        part.into_iter().chain(organisation)
    }

    /// Lets the call through, if it is its turn and there is room; else it waits among those of its organisation.
    pub(super) fn admit(
        &mut self,
        id: &PartId,
        call: &Call<'_>,
        notify: &Arc<Notify>,
        now: Instant,
    ) -> Result<Answer, Rejected> {
        if let Some(rejected) = self.rejection(id, call, now) {
            return Err(rejected);
        }
        let priority = Priority { not_begun: !call.begun, job: call.job };
        let wait = if self.first_in_line(id, priority) { self.take_rate(id, now) } else { Err(None) };
        if let Err(until) = wait {
            let waiter = || Waiter { part: id.clone(), notify: Arc::clone(notify) };
            if let Some(organisation) = self.organisations.get_mut(&id.ims_org_id) {
                organisation.waiting.entry(priority).or_insert_with(waiter);
            }
            return Ok(Answer::Wait(until));
        }
        Ok(Answer::Admitted(self.let_through(id, call, priority, now)))
    }

    /// Whether there is room for one more call of the part, and nobody comes before it for whom there is.
    fn first_in_line(&self, id: &PartId, priority: Priority) -> bool {
        let Some(organisation) = self.organisations.get(&id.ims_org_id) else { return false };
        let has_room =
            |id: &PartId| self.parts.get(id).is_some_and(|part| part.concurrency.allows(part.in_flight));
        organisation.in_flight < organisation.max_in_flight
            && has_room(id)
            && !organisation.waiting.range(..priority).any(|(_, waiter)| has_room(&waiter.part))
    }

    fn take_rate(&mut self, id: &PartId, now: Instant) -> Result<(), Option<Instant>> {
        let Some(organisation) = self.organisations.get_mut(&id.ims_org_id) else { return Err(None) };
        organisation.rate.take(now).map_err(|wait| Some(now + wait))
    }

    fn let_through(&mut self, id: &PartId, call: &Call<'_>, priority: Priority, now: Instant) -> Admitted {
        let job = call.job;
        let (mut own, mut credentials, mut token) = (Ticket::default(), Ticket::default(), None);
        if let Some(part) = self.parts.get_mut(id) {
            own = part.breaker.admit(job, now);
            part.in_flight += 1;
            part.concurrency.began(part.in_flight);
        }
        if let Some(organisation) = self.organisations.get_mut(&id.ims_org_id) {
            credentials = organisation.credentials.admit(job, now);
            token = call.needs_token.then(|| organisation.token.admit(job, now));
            organisation.in_flight += 1;
            organisation.waiting.remove(&priority);
        }
        self.wake(id, job);
        let repeated = call.operation.is_repeated();
        Admitted { part: id.clone(), job, repeated, own, credentials, token }
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
        let can_go_on = |(priority, waiter): &(&Priority, &Waiter)| {
            let part = self.parts.get(&waiter.part);
            priority.job != except && part.is_some_and(|part| part.concurrency.allows(part.in_flight))
        };
        if let Some((_, waiter)) = organisation.waiting.iter().find(can_go_on) {
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
