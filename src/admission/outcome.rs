//! What the end of a call says, and about which part. Pure: takes the time as an argument.

use tokio::time::Instant;

use super::BreakerScope;
use super::part::{Organisation, Part, PartId};
use super::state::{Admitted, State};
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
        self.record_host(&call.part.ims_org_id, kind, now);
        let adaptive = self.rules.adaptive;
        if let Some((organisation, part)) = self.known(&call.part) {
            organisation.record_breakers(call, kind, now);
            let retry_after = failure.and_then(|failure| failure.retry_after);
            match kind {
                Some(FailureKind::Throttled) if adaptive => {
                    organisation.rate.record_throttled(began, retry_after, now);
                }
                None | Some(FailureKind::Refused) => organisation.rate.record_answer(now),
                _ => {}
            }
            part.record(call, began, kind, now);
        }
        self.finished(call);
        self.transitions(&call.part, &before)
    }

    /// A call that was let through was not made, or nobody waited for its end.
    pub(super) fn ignored(&mut self, call: &Admitted) {
        self.finished(call);
        self.release(&call.part, call.job);
    }

    /// A create whose answer was lost has taken effect after all: creates work there.
    pub(super) fn confirmed(&mut self, id: &PartId, now: Instant) -> Vec<Transition> {
        let before = self.scopes(id);
        if let Some((organisation, part)) = self.known(id) {
            part.breaker.close(now);
            organisation.created_at = Some(now);
        }
        self.transitions(id, &before)
    }

    fn finished(&mut self, call: &Admitted) {
        if let Some((organisation, part)) = self.known(&call.part) {
            part.in_flight = part.in_flight.saturating_sub(1);
            organisation.in_flight = organisation.in_flight.saturating_sub(1);
        }
        self.wake(&call.part, call.job);
    }

    /// The breakers that a call of this part depends on, and whether they are closed.
    fn scopes(&mut self, id: &PartId) -> Vec<(BreakerScope, bool)> {
        let mut scopes = vec![(BreakerScope::Host, self.host_unreachable_since().is_none())];
        if let Some((organisation, part)) = self.known(id) {
            scopes.extend([
                (BreakerScope::Credentials, organisation.credentials.is_closed()),
                (BreakerScope::Token, organisation.token.is_closed()),
                (id.scope, part.breaker.is_closed()),
            ]);
        }
        scopes
    }

    fn transitions(&mut self, id: &PartId, before: &[(BreakerScope, bool)]) -> Vec<Transition> {
        let after = self.scopes(id);
        let changed = before.iter().zip(after).filter(|(before, after)| **before != *after);
        let changed: Vec<_> =
            changed.map(|(_, (scope, closed))| Transition { scope, opened: !closed }).collect();
        if !changed.is_empty() {
            self.wake_all();
        }
        changed
    }
}

impl Organisation {
    /// What a call says of the organisation's credentials and tokens.
    fn record_breakers(&mut self, call: &Admitted, kind: Option<FailureKind>, now: Instant) {
        match kind {
            // What a check lacks, creates need not lack.
            Some(FailureKind::CredentialsRefused) if call.part.scope != BreakerScope::Check => {
                self.credentials.record_failure(call.credentials, now);
            }
            None | Some(FailureKind::Refused) if !self.credentials.is_closed() => self.credentials.close(now),
            None | Some(FailureKind::Refused) => self.credentials.record_success(call.credentials, now),
            _ => self.credentials.release(call.job),
        }
        match (call.token, kind) {
            (None, _) => {}
            (Some(ticket), Some(FailureKind::TokenUnavailable)) => self.token.record_failure(ticket, now),
            (Some(ticket), _) => self.token.record_success(ticket, now),
        }
        if kind.is_none() && call.part.scope == BreakerScope::Create {
            self.created_at = Some(now);
        }
    }
}

impl Part {
    fn record(&mut self, call: &Admitted, began: Instant, kind: Option<FailureKind>, now: Instant) {
        if call.part.scope == BreakerScope::Create {
            self.budget.ended(call.repeated, kind);
        }
        match evidence(kind, call.part.scope) {
            Evidence::Works => {
                self.breaker.record_success(call.own, now);
                (self.succeeded_at, self.last_failure) = (Some(now), None);
                self.concurrency.record_success(began, now);
            }
            Evidence::Fails => {
                self.breaker.record_failure(call.own, now);
                self.last_failure = kind.map(FailureKind::meaning);
                if kind.is_some_and(FailureKind::may_be_overload) {
                    self.concurrency.ended(began, now, true);
                }
            }
            Evidence::Nothing => self.breaker.release(call.job),
        }
    }
}

fn evidence(kind: Option<FailureKind>, of: BreakerScope) -> Evidence {
    match kind {
        None | Some(FailureKind::Refused) => Evidence::Works,
        // A permission that a check lacks is not missing for creates, and the check does without.
        Some(FailureKind::Unauthorized) if of == BreakerScope::Check => Evidence::Works,
        Some(
            FailureKind::NotSent
            | FailureKind::ForeignAnswer
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
