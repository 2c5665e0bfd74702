//! Whether Flow Service fails as a whole, or the way to it. Pure: takes the time as an argument.

use std::time::Duration;

use tokio::time::Instant;

use super::part::PartId;
use super::state::State;
use crate::contract::ids::ImsOrgId;

/// A create that succeeded this recently shows that Flow Service as a whole is there.
const RECENT_CREATE: Duration = Duration::from_secs(10);

/// The way to the host of Flow Service: calls in a row that could not be sent.
#[derive(Debug)]
pub(super) struct Unsent {
    calls: u32,
    /// When the first of them ended, and whose it was.
    since: Instant,
    of: Option<ImsOrgId>,
    /// Whether others' calls could not be sent either.
    of_several: bool,
}

impl State {
    /// A call could not be sent.
    pub(super) fn record_unsent(&mut self, of: Option<&ImsOrgId>, now: Instant) {
        let new = || Unsent { calls: 0, since: now, of: of.cloned(), of_several: false };
        let unsent = self.unsent.get_or_insert_with(new);
        unsent.calls = unsent.calls.saturating_add(1);
        unsent.of_several |= unsent.of.as_ref() != of;
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
        let recent = |at: Instant| now.saturating_duration_since(at) < RECENT_CREATE;
        if self.organisations.values().filter_map(|organisation| organisation.created_at).any(recent) {
            return false;
        }
        let failing = self.parts.iter().filter(|(id, part)| id.is_create() && !part.breaker.is_closed());
        let mut failing: Vec<_> = failing.map(|(id, _)| &id.ims_org_id).collect();
        failing.dedup();
        failing.len() >= 2.min(self.organisations.len()) && !failing.is_empty()
    }

    /// Whether Flow Service as a whole fails, and nothing speaks for this part: then one call finds out.
    pub(super) fn fails_with_all(&self, id: &PartId, now: Instant) -> bool {
        let recent = |at: Instant| now.saturating_duration_since(at) < RECENT_CREATE;
        let Some(part) = self.parts.get(id) else { return false };
        let works = part.breaker.is_closed() && (!id.is_create() || part.succeeded_at.is_some_and(recent));
        !works && self.is_service_failing(now)
    }
}
