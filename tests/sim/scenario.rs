//! Families of histories, each made from a seed.

pub(crate) mod blocked;
pub(crate) mod broker_loss;
pub(crate) mod brown_out;
pub(crate) mod calm;
pub(crate) mod checks_fail;
pub(crate) mod copies;
pub(crate) mod credentials;
pub(crate) mod doubt;
pub(crate) mod few_calls;
pub(crate) mod flapping;
pub(crate) mod flood;
pub(crate) mod held_doubt;
pub(crate) mod held_up;
pub(crate) mod hopeless;
pub(crate) mod ims_down;
pub(crate) mod kills;
pub(crate) mod long_flood;
pub(crate) mod lost_answers;
pub(crate) mod moved;
pub(crate) mod one_ill_part;
pub(crate) mod one_refusal;
pub(crate) mod outage;
pub(crate) mod publish_loss;
pub(crate) mod quiet_crowd;
pub(crate) mod reads_or_writes;
pub(crate) mod refusals;
pub(crate) mod retry_after;
pub(crate) mod retry_budget;
pub(crate) mod scaling;
pub(crate) mod scarce;
pub(crate) mod slow_parts;
pub(crate) mod suspects;
pub(crate) mod throttling;
pub(crate) mod two_ill_parts;
pub(crate) mod windows;

use std::time::Duration;

use crate::bounds;
use crate::job::Group;
use crate::plan::Plan;

/// The longest wait that a job's own retries have for it.
const RETRY: Duration = Duration::from_secs(3_700);

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The part of a group was ill from then until then, and all of its jobs are done soon after.
pub(crate) fn recovers(plan: &mut Plan, group: Group, from: Duration, until: Duration) {
    let by = until + bounds::all_done(until.saturating_sub(from), plan.jobs.len());
    plan.healed = until;
    plan.done_by = by + RETRY;
    plan.check(move |ledger| ledger.answered_by("2 progress", group, by));
}
