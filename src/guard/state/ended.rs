//! What the end of a call says, and about whom.

use std::time::Duration;

use tokio::time::Instant;

use super::{Admitted, State, Tenant};
use crate::contract::ids::ImsOrgId;
use crate::flow::{Failure, FailureKind};
use crate::guard::gate::Scope;
use crate::guard::{BreakerState, Purpose};

/// An organisation that was well as of late shows that it is not the whole service that is down.
const LATELY: Duration = Duration::from_secs(60);

/// Which breaker the end of a call has opened or closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::guard) enum Change {
    None,
    Opened(Scope),
    Closed(Scope),
    /// A probe has begun or failed: no news.
    Probed,
}

impl State {
    /// A call has ended, that began then.
    pub(in crate::guard) fn ended(
        &mut self,
        call: &Admitted,
        began: Instant,
        failure: Option<&Failure>,
        now: Instant,
    ) -> Change {
        let before = self.states(call);
        let kind = failure.map(|failure| failure.kind);
        self.tell_ims(call, kind, now);
        if matches!(call.purpose, Purpose::First | Purpose::Repeat) {
            let repeated = call.purpose == Purpose::Repeat;
            self.budget.ended(repeated, kind);
            self.tenant(call).budget.ended(repeated, kind);
        }
        match kind {
            None | Some(FailureKind::Refused) => self.answered(call, began, now),
            Some(FailureKind::Throttled) => {
                let retry_after = failure.and_then(|failure| failure.retry_after);
                self.service.well(call.service, now);
                let tenant = self.tenant(call);
                tenant.breaker.untold(call.organisation);
                tenant.throttled(began, retry_after, now);
            }
            // A permission that is missing for looks says nothing about creates.
            Some(FailureKind::Unauthorized) if call.purpose == Purpose::Check => {
                self.answered(call, began, now);
            }
            // Flow Service has answered, and not well for this organisation.
            Some(FailureKind::Unauthorized) => {
                self.service.well(call.service, now);
                let tenant = self.tenant(call);
                tenant.breaker.ill(call.organisation, now);
            }
            // No further call can succeed until somebody does something about it.
            Some(FailureKind::CredentialsRefused) => {
                self.service.untold(call.service);
                self.tenant(call).breaker.fatal(call.organisation, now);
            }
            Some(FailureKind::TokenUnavailable) => self.nothing_said(call),
            // Nothing to do with the organisation.
            Some(FailureKind::NotSent) => {
                self.tenant(call).breaker.untold(call.organisation);
                self.service.ill(call.service, now);
                self.last_failed = Some(call.probe());
            }
            Some(
                FailureKind::Timeout
                | FailureKind::NoAnswer
                | FailureKind::ServerError
                | FailureKind::Unreadable
                | FailureKind::Unavailable,
            ) => self.failed(call, began, now),
        }
        self.tenant(call).gone();
        change(before, self.states(call))
    }

    /// A call that was let through was not made, or nobody waited for its end.
    pub(in crate::guard) fn untold(&mut self, call: &Admitted) {
        if let Some(ticket) = call.ims {
            self.ims.untold(ticket);
        }
        self.nothing_said(call);
        self.tenant(call).gone();
    }

    fn nothing_said(&mut self, call: &Admitted) {
        self.service.untold(call.service);
        self.tenant(call).breaker.untold(call.organisation);
    }

    fn tell_ims(&mut self, call: &Admitted, kind: Option<FailureKind>, now: Instant) {
        match (call.ims, kind) {
            (None, _) => {}
            (Some(ticket), Some(FailureKind::TokenUnavailable)) => self.ims.ill(ticket, now),
            (Some(ticket), _) => self.ims.well(ticket, now),
        }
    }

    /// There was an answer that says how the matter stands.
    fn answered(&mut self, call: &Admitted, began: Instant, now: Instant) {
        self.service.well(call.service, now);
        let tenant = self.tenant(call);
        tenant.breaker.well(call.organisation, now);
        // What a check does takes its own time, which says nothing about what creates take.
        let timed = call.purpose != Purpose::Check;
        tenant.answered(timed.then_some(began), now);
    }

    /// A call failed as it does when Flow Service is down: for everybody, unless there is somebody for whom it is not.
    fn failed(&mut self, call: &Admitted, began: Instant, now: Instant) {
        self.last_failed = Some(call.probe());
        let lately = |at: Instant| now.saturating_duration_since(at) < LATELY;
        let is_other = |id: &ImsOrgId| *id != call.ims_org_id;
        let others = self.tenants.iter().filter(|(id, _)| is_other(id)).map(|(_, tenant)| tenant);
        let is_well_for_others = others.filter_map(|tenant| tenant.well_at).any(lately);
        let tenant = self.tenant(call);
        tenant.overloaded(began, now);
        let was_closed = tenant.breaker.state() == BreakerState::Closed;
        tenant.breaker.ill(call.organisation, now);
        let opens = was_closed && tenant.breaker.state() == BreakerState::Open;
        match self.service.state() {
            _ if is_well_for_others => self.service.untold(call.service),
            BreakerState::HalfOpen => self.service.ill(call.service, now),
            BreakerState::Closed if opens => {
                self.service.open(now);
                // One breaker is enough to wait for.
                self.tenant(call).breaker.close(now);
            }
            BreakerState::Closed | BreakerState::Open => {}
        }
    }

    /// The same for a call as long as it is under way.
    fn tenant(&mut self, call: &Admitted) -> &mut Tenant {
        match self.tenants.get_mut(&call.ims_org_id) {
            Some(tenant) if !call.among_others => tenant,
            _ => &mut self.others,
        }
    }

    fn states(&mut self, call: &Admitted) -> [(Scope, BreakerState); 3] {
        let organisation = self.tenant(call).breaker.state();
        [
            (Scope::Service, self.service.state()),
            (Scope::Ims, self.ims.state()),
            (Scope::Organisation, organisation),
        ]
    }
}

fn change(before: [(Scope, BreakerState); 3], after: [(Scope, BreakerState); 3]) -> Change {
    let changed = before.into_iter().zip(after).find(|(before, after)| before != after);
    match changed {
        Some(((_, BreakerState::Closed), (scope, _))) => Change::Opened(scope),
        Some((_, (scope, BreakerState::Closed))) => Change::Closed(scope),
        Some(_) => Change::Probed,
        None => Change::None,
    }
}
