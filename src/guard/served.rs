//! The organisations that the worker is set up for: their own limits, and others in their place while it runs.

use std::collections::{HashMap, HashSet};

use tokio::time::Instant;

use super::state::State;
use super::tenant::Tenant;
use super::{Guard, GuardRules};
use crate::contract::ids::ImsOrgId;

/// An organisation's own limits, where they are not those of all.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct OrgLimits {
    /// Most calls at a time.
    pub concurrency: Option<u16>,
    /// Most calls in a second.
    pub rate: Option<f64>,
}

impl GuardRules {
    /// Most calls of an organisation at a time, and in a second, if there is such a limit.
    pub(super) fn limits_of(&self, ims_org_id: &ImsOrgId) -> (u32, Option<f64>) {
        let own = self.organisations.get(ims_org_id).copied().unwrap_or_default();
        (u32::from(own.concurrency.unwrap_or(self.concurrency)), own.rate.or(self.rate))
    }
}

impl Guard {
    /// From now on the worker is set up for these organisations. What was learnt of those that stay holds; of those that log
    /// in with new credentials (`renewed`), one call may try them at once.
    pub fn set_organisations(
        &self,
        organisations: HashMap<ImsOrgId, OrgLimits>,
        renewed: &HashSet<ImsOrgId>,
    ) {
        let mut state = self.inner.state();
        let gone = state.set_organisations(organisations, renewed, Instant::now());
        // Under the same lock as the figures are shown, lest they come back.
        self.inner.metrics.forget(&gone);
        self.inner.tell(&state);
        drop(state);
        self.inner.changed.notify_one();
    }
}

impl State {
    /// Goes by other organisations, and tells which are gone.
    fn set_organisations(
        &mut self,
        organisations: HashMap<ImsOrgId, OrgLimits>,
        renewed: &HashSet<ImsOrgId>,
        now: Instant,
    ) -> Vec<ImsOrgId> {
        let before = std::mem::replace(&mut self.rules.organisations, organisations);
        for id in self.rules.organisations.keys() {
            let tenant = self.tenants.entry(id.clone()).or_insert_with(|| Tenant::of(id, &self.rules, now));
            let (most, rate) = self.rules.limits_of(id);
            tenant.limit.set_most(most);
            tenant.pace.set_fixed(rate);
            if renewed.contains(id) {
                tenant.breaker.half_open();
            }
        }
        self.forget_strangers();
        before.into_keys().filter(|id| !self.rules.organisations.contains_key(id)).collect()
    }

    /// Forgets organisations that were taken out, when their last call has ended.
    pub(super) fn forget_strangers(&mut self) {
        if self.rules.only_these {
            let known = &self.rules.organisations;
            self.tenants.retain(|id, tenant| known.contains_key(id) || tenant.under_way > 0);
        }
    }
}
