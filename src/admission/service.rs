//! Whether Flow Service fails as a whole, or the way to it, and who finds out when it does no longer. Pure: takes the time as an
//! argument.

use std::time::Duration;

use tokio::time::Instant;

use super::part::{Organisation, PartId};
use super::state::{Admitted, PROBE_SPACING, State};
use crate::contract::ids::ImsOrgId;

/// A create that succeeded this recently shows that Flow Service as a whole is there.
const RECENT_CREATE: Duration = Duration::from_secs(10);

/// Who has asked for a call within this time may be left a probe.
const HERE: Duration = Duration::from_secs(10);

impl State {
    /// Whether creates fail for at least two organisations, or for the only one, and succeed for nobody.
    pub(super) fn is_service_failing(&self, now: Instant) -> bool {
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

    /// A call could not be sent, and the host is to blame. If it was a probe, others make the next one: it may be this organisation alone whose
    /// calls cannot be sent.
    pub(super) fn host_failed(&mut self, call: &Admitted, now: Instant) {
        self.host.record_failure(call.host, now);
        if let Some(next) = self.host.next_probe_at() {
            self.host_prober = Some((call.part.ims_org_id.clone(), next + PROBE_SPACING));
        }
    }

    /// Until when an organisation leaves the probe of the host to others, if any are here.
    pub(super) fn others_probe_host_first(&self, id: &PartId, now: Instant) -> Option<Instant> {
        let (prober, until) = self.host_prober.as_ref()?;
        let is_other = |(other, one): (&Option<ImsOrgId>, &Organisation)| {
            *other != id.ims_org_id && one.is_here(HERE, now)
        };
        let others_first = !self.host.is_closed()
            && *prober == id.ims_org_id
            && now < *until
            && self.organisations.iter().any(is_other);
        others_first.then_some(*until)
    }
}
