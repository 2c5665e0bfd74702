//! What the end of a call says, and about which part. Pure: takes the time as an argument.

use tokio::time::Instant;

use super::breaker::Breaker;
use super::part::{Kind, Part, PartId};
use super::state::{Admitted, State};
use super::{BreakerScope, Reason};
use crate::flow::{Failure, FailureKind};

/// A breaker that has opened or closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Transition {
    pub(super) scope: BreakerScope,
    pub(super) opened: bool,
}

/// What an outcome says of the part that was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Evidence {
    Works,
    Fails,
    Nothing,
}

impl State {
    /// A call has ended that began then; gives the breakers that this has opened or closed.
    pub(super) fn ended(
        &mut self,
        call: &Admitted,
        began: Instant,
        failure: Option<&Failure>,
        now: Instant,
    ) -> Vec<Transition> {
        let before = self.scopes(&call.part);
        let kind = failure.map(|failure| failure.kind);
        match kind {
            Some(FailureKind::NotSent) => self.record_unsent(call.part.ims_org_id.as_ref(), now),
            // The last two may be the word of IMS.
            Some(
                FailureKind::Timeout
                | FailureKind::NoAnswer
                | FailureKind::TokenUnavailable
                | FailureKind::CredentialsRefused,
            ) => {}
            _ => self.unsent = None,
        }
        self.record_organisation(call, began, failure, now);
        if let Some(part) = self.parts.get_mut(&call.part) {
            record_part(part, call, began, failure, now);
            part.in_flight = part.in_flight.saturating_sub(1);
        }
        self.call_finished(call);
        self.transitions(&call.part, &before)
    }

    /// A call that was let through was not made, or nobody waited for its end.
    pub(super) fn ignored(&mut self, call: &Admitted) {
        if let Some(part) = self.parts.get_mut(&call.part) {
            part.in_flight = part.in_flight.saturating_sub(1);
        }
        self.call_finished(call);
        self.release(&call.part, call.job);
    }

    /// A create whose answer was lost has taken effect after all: creates work there.
    pub(super) fn confirmed(&mut self, id: &PartId, now: Instant) -> Vec<Transition> {
        let before = self.scopes(id);
        if let Some(part) = self.parts.get_mut(id) {
            part.breaker.close(now);
        }
        if let Some(organisation) = self.organisations.get_mut(&id.ims_org_id) {
            organisation.created_at = Some(now);
        }
        self.transitions(id, &before)
    }

    fn call_finished(&mut self, call: &Admitted) {
        if let Some(organisation) = self.organisations.get_mut(&call.part.ims_org_id) {
            organisation.in_flight = organisation.in_flight.saturating_sub(1);
        }
        self.wake(&call.part, call.job);
    }

    /// What a call says of its organisation: its credentials, its tokens, its rate.
    fn record_organisation(
        &mut self,
        call: &Admitted,
        began: Instant,
        failure: Option<&Failure>,
        now: Instant,
    ) {
        let Some(organisation) = self.organisations.get_mut(&call.part.ims_org_id) else { return };
        let kind = failure.map(|failure| failure.kind);
        match kind {
            // What a check lacks, creates need not lack.
            Some(FailureKind::CredentialsRefused) if call.part.kind != Kind::Check => {
                organisation.credentials.record_failure(call.credentials, now);
            }
            None | Some(FailureKind::Refused) if !organisation.credentials.is_closed() => {
                organisation.credentials.close(now);
            }
            None | Some(FailureKind::Refused) => {
                organisation.credentials.record_success(call.credentials, now);
            }
            _ => organisation.credentials.release(call.job),
        }
        match (call.token, kind) {
            (None, _) => {}
            (Some(ticket), Some(FailureKind::TokenUnavailable)) => {
                organisation.token.record_failure(ticket, now);
            }
            (Some(ticket), _) => organisation.token.record_success(ticket, now),
        }
        match kind {
            Some(FailureKind::Throttled) if self.rules.adaptive => {
                let retry_after = failure.and_then(|failure| failure.retry_after);
                organisation.rate.record_throttled(began, retry_after, now);
            }
            None | Some(FailureKind::Refused) => organisation.rate.record_answer(now),
            _ => {}
        }
        if kind.is_none() && call.part.is_create() {
            organisation.created_at = Some(now);
        }
    }

    /// The breakers that a call of this part depends on, and whether they are closed.
    fn scopes(&self, id: &PartId) -> [(BreakerScope, bool); 4] {
        let closed = |breaker: Option<&Breaker>| breaker.is_none_or(Breaker::is_closed);
        let organisation = self.organisations.get(&id.ims_org_id);
        [
            (BreakerScope::Host, self.host_unreachable_since().is_none()),
            (BreakerScope::Credentials, closed(organisation.map(|one| &one.credentials))),
            (BreakerScope::Token, closed(organisation.map(|one| &one.token))),
            (id.kind.scope(), closed(self.parts.get(id).map(|part| &part.breaker))),
        ]
    }

    fn transitions(&mut self, id: &PartId, before: &[(BreakerScope, bool)]) -> Vec<Transition> {
        let after = self.scopes(id);
        let changed: Vec<_> = before
            .iter()
            .zip(after)
            .filter(|(before, after)| before.1 != after.1)
            .map(|(_, (scope, closed))| Transition { scope, opened: !closed })
            .collect();
        if !changed.is_empty() {
            self.wake_all();
        }
        changed
    }
}

fn record_part(part: &mut Part, call: &Admitted, began: Instant, failure: Option<&Failure>, now: Instant) {
    let kind = failure.map(|failure| failure.kind);
    if call.part.is_create() {
        part.budget.ended(call.repeated, kind);
    }
    match evidence(kind, &call.part.kind) {
        Evidence::Works => {
            part.breaker.record_success(call.own, now);
            (part.succeeded_at, part.last_failure) = (Some(now), None);
            part.concurrency.record_success(began, now);
        }
        Evidence::Fails => {
            part.breaker.record_failure(call.own, now);
            part.last_failure = kind.map(FailureKind::meaning);
            if !matches!(kind, Some(FailureKind::Unauthorized | FailureKind::NotSent)) {
                part.concurrency.record_overload(began, now);
            }
        }
        Evidence::Nothing => part.breaker.release(call.job),
    }
}

fn evidence(kind: Option<FailureKind>, of: &Kind) -> Evidence {
    match kind {
        None | Some(FailureKind::Refused) => Evidence::Works,
        // A permission that a check lacks is not missing for creates, and the check does without.
        Some(FailureKind::Unauthorized) if *of == Kind::Check => Evidence::Works,
        Some(
            FailureKind::NotSent
            | FailureKind::Timeout
            | FailureKind::NoAnswer
            | FailureKind::ServerError
            | FailureKind::Unreadable
            | FailureKind::Unavailable
            | FailureKind::Unauthorized,
        ) => Evidence::Fails,
        // These concern the organisation's rate or credentials.
        Some(FailureKind::Throttled | FailureKind::TokenUnavailable | FailureKind::CredentialsRefused) => {
            Evidence::Nothing
        }
    }
}

impl Kind {
    pub(super) fn scope(&self) -> BreakerScope {
        match self {
            Self::Create(_) => BreakerScope::Create,
            Self::LookUp => BreakerScope::LookUp,
            Self::Check => BreakerScope::Check,
        }
    }

    pub(super) fn held_back(&self) -> Reason {
        match self {
            Self::Create(_) => Reason::Creates,
            Self::LookUp | Self::Check => Reason::Reads,
        }
    }
}
