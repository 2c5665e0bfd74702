//! Whether Flow Service fails as a whole, or the way to it. Pure: takes the time as an argument.

use std::time::Duration;

use tokio::time::Instant;

use super::part::PartId;
use super::state::State;

/// A create that succeeded this recently shows that Flow Service as a whole is there.
const RECENT_CREATE: Duration = Duration::from_secs(10);

/// The way to the host of Flow Service: whether anything comes back at all.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// Calls in a row that could not be sent, and when the first of them ended.
    unsent: u32,
    since: Option<Instant>,
}

impl Host {
    /// A call could not be sent.
    pub(super) fn record_unsent(&mut self, now: Instant) {
        self.unsent = self.unsent.saturating_add(1);
        self.since.get_or_insert(now);
    }

    /// An answer came back, whatever it was.
    pub(super) fn record_answer(&mut self) {
        *self = Self::default();
    }

    /// Since when nothing comes back, if that is so.
    pub(super) fn unreachable_since(&self, failures: u32) -> Option<Instant> {
        self.since.filter(|_| failures > 0 && self.unsent >= failures)
    }
}

impl State {
    /// Since when nothing has come back from the host, if that is so.
    pub(super) fn host_unreachable_since(&self) -> Option<Instant> {
        self.host.unreachable_since(self.rules.breaker.failures)
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
