//! Whether Flow Service fails as a whole, or the way to it. Pure: takes the time as an argument.

use std::time::Duration;

use tokio::time::Instant;

use super::BreakerScope;
use super::part::{Part, PartId};
use super::state::State;
use crate::contract::ids::ImsOrgId;
use crate::flow::FailureKind;

/// A create that succeeded this recently shows that Flow Service as a whole is there.
const RECENT_CREATE: Duration = Duration::from_secs(10);

/// The way to the host of Flow Service: calls in a row that could not be sent, or that something else answered.
#[derive(Debug)]
pub(super) struct Unsent {
    calls: u32,
    /// When the first of them ended, and whose it was.
    since: Instant,
    of: ImsOrgId,
    /// Whether others' calls could not be sent either.
    of_several: bool,
}

impl State {
    /// A call of this organisation has ended like this.
    pub(super) fn record_host(&mut self, of: &ImsOrgId, ended: Option<FailureKind>, now: Instant) {
        match ended {
            Some(FailureKind::NotSent | FailureKind::ForeignAnswer) => {
                let new = || Unsent { calls: 0, since: now, of: of.clone(), of_several: false };
                let unsent = self.unsent.get_or_insert_with(new);
                unsent.calls = unsent.calls.saturating_add(1);
                unsent.of_several |= unsent.of != *of;
            }
            // The last two may be the word of IMS.
            Some(
                FailureKind::Timeout
                | FailureKind::NoAnswer
                | FailureKind::TokenUnavailable
                | FailureKind::CredentialsRefused,
            ) => {}
            _ => self.unsent = None,
        }
    }

    /// Since when nothing has come back from the host, whoever called, if that is so.
    pub(super) fn host_unreachable_since(&self) -> Option<Instant> {
        let failures = self.rules.breaker.failures;
        let unsent = self.unsent.as_ref().filter(|unsent| failures > 0 && unsent.calls >= failures)?;
        (unsent.of_several || self.organisations.len() == 1).then_some(unsent.since)
    }

    /// Whether nothing comes back at all, or creates fail for at least two organisations, or for the only one, and succeed for
    /// nobody.
    pub(super) fn is_service_failing(&self, now: Instant) -> bool {
        if self.host_unreachable_since().is_some() {
            return true;
        }
        if self.organisations.values().any(|organisation| is_recent(organisation.created_at, now)) {
            return false;
        }
        let fails =
            |(id, part): &(&PartId, &Part)| id.scope == BreakerScope::Create && !part.breaker.is_closed();
        let mut failing: Vec<_> = self.parts.iter().filter(fails).map(|(id, _)| &id.ims_org_id).collect();
        failing.dedup();
        failing.len() >= 2.min(self.organisations.len()) && !failing.is_empty()
    }

    /// Whether Flow Service as a whole fails, and nothing speaks for this part: then one call finds out.
    pub(super) fn fails_with_all(&self, id: &PartId, now: Instant) -> bool {
        let Some(part) = self.parts.get(id) else { return false };
        let works = id.scope != BreakerScope::Create || is_recent(part.succeeded_at, now);
        !(works && part.breaker.is_closed()) && self.is_service_failing(now)
    }
}

fn is_recent(success: Option<Instant>, now: Instant) -> bool {
    success.is_some_and(|at| now.saturating_duration_since(at) < RECENT_CREATE)
}
