//! The parts of Flow Service, each of which can fail by itself, and what is known of an organisation as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::breaker::{Breaker, BreakerRules, JobNumber};
use super::budget::Budget;
use super::concurrency::{ConcurrencyLimit, whole};
use super::rate::AdaptiveRate;
use super::{AdmissionRules, BreakerScope, Call, Operation, OrgLimits};
use crate::contract::ids::{ImsOrgId, SandboxName};

/// A credential counts as refused after this many refusals without a success between them: a single one can be a slip.
const REFUSALS: u32 = 2;

/// An organisation with a rate may have as many jobs in flight as it can make calls in this time: enough to use the rate,
/// few enough that those which have begun come to an end.
const JOBS_AHEAD: Duration = Duration::from_secs(3);

/// But not fewer than this.
const JOBS_MIN: f64 = 4.0;

/// A part, by name. Reads and writes fail apart, and so do checks that no job depends on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PartId {
    pub(super) ims_org_id: ImsOrgId,
    pub(super) sandbox_name: SandboxName,
    /// Creates, look-ups or checks.
    pub(super) scope: BreakerScope,
    /// What is created; nothing for look-ups and checks.
    pub(super) connection_spec_id: Option<String>,
}

impl PartId {
    pub(super) fn of(call: &Call<'_>) -> Self {
        let (scope, connection_spec_id) = match call.operation {
            Operation::Create { connection_spec_id, .. } => (BreakerScope::Create, Some(connection_spec_id)),
            Operation::LookUp => (BreakerScope::LookUp, None),
            Operation::Check => (BreakerScope::Check, None),
        };
        let (ims_org_id, sandbox_name) = (call.ims_org_id.clone(), call.sandbox_name.clone());
        Self { ims_org_id, sandbox_name, scope, connection_spec_id: connection_spec_id.map(str::to_owned) }
    }
}

/// What is known of a part.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) breaker: Breaker,
    pub(super) concurrency: ConcurrencyLimit,
    pub(super) budget: Budget,
    pub(super) in_flight: u32,
    /// How its last failed call ended, for a person.
    pub(super) last_failure: Option<&'static str>,
    pub(super) succeeded_at: Option<Instant>,
    pub(super) used_at: Instant,
}

impl Part {
    pub(super) fn new(rules: &AdmissionRules, max: u32, now: Instant) -> Self {
        Self {
            breaker: Breaker::new(rules.breaker, now),
            concurrency: ConcurrencyLimit::new(max, rules.adaptive, now),
            budget: Budget::new(rules.retry_share, now),
            in_flight: 0,
            last_failure: None,
            succeeded_at: None,
            used_at: now,
        }
    }
}

/// A call that waits for its permit.
#[derive(Debug, Clone)]
pub(super) struct Waiter {
    pub(super) part: PartId,
    pub(super) notify: Arc<Notify>,
}

/// Jobs that have begun come before those that have not, and the oldest first: so that scarce calls bring jobs to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Priority {
    pub(super) not_begun: bool,
    pub(super) job: JobNumber,
}

/// What is known of an organisation: its rate, and whether its credentials are good.
#[derive(Debug)]
pub(super) struct Organisation {
    pub(super) rate: AdaptiveRate,
    pub(super) max_in_flight: u32,
    pub(super) in_flight: u32,
    /// Whether IMS issues tokens for it.
    pub(super) token: Breaker,
    /// Whether its credentials are accepted.
    pub(super) credentials: Breaker,
    pub(super) waiting: BTreeMap<Priority, Waiter>,
    /// When a create last succeeded.
    pub(super) created_at: Option<Instant>,
}

impl Organisation {
    pub(super) fn new(ims_org_id: &ImsOrgId, rules: &AdmissionRules, now: Instant) -> Self {
        let (max_in_flight, rate) = rules.limits_of(ims_org_id);
        let refusals = BreakerRules { failures: REFUSALS, ratio: f64::INFINITY, ..rules.breaker };
        Self {
            rate: AdaptiveRate::new(rate, rules.longest_retry_after, now),
            max_in_flight,
            in_flight: 0,
            token: Breaker::new(rules.breaker, now),
            credentials: Breaker::new(refusals, now),
            waiting: BTreeMap::new(),
            created_at: None,
        }
    }

    /// The most jobs that there is any use in having in flight, if calls are scarce.
    pub(super) fn jobs_max(&mut self, now: Instant) -> Option<u32> {
        let rate = self.rate.rate(now)?;
        Some(whole((rate * JOBS_AHEAD.as_secs_f64()).max(JOBS_MIN)))
    }
}

impl AdmissionRules {
    /// Most calls of an organisation at a time, and in a second, if there is such a limit.
    pub(super) fn limits_of(&self, ims_org_id: &ImsOrgId) -> (u32, Option<f64>) {
        let own = self.organisations.get(ims_org_id).copied();
        let OrgLimits { concurrency, rate } = own.unwrap_or_default();
        (u32::from(concurrency.unwrap_or(self.concurrency)), rate.or(self.rate))
    }
}
