//! An organisation may make only so many calls in a second.

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;

use super::seconds;
use crate::bounds;
use crate::flow::illness::Calls;
use crate::flow::truth::Made;
use crate::job::Job;
use crate::ledger::{Broken, Ledger, broken, milliseconds};
use crate::plan::Plan;
use connection_worker::flow::FailureKind;

/// How long the limits may take to find the capacity.
const WARMING_UP: Duration = Duration::from_secs(20);

/// Until then there is a backlog.
const BUSY: Duration = Duration::from_secs(42);

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let (capacity, lasts) = (random.u32(10..30), 45);
    plan.weather.capacity.insert(0, capacity);
    plan.burst(Job::of(0, Duration::ZERO), capacity as usize * lasts);
    plan.stream(Job::of(1, Duration::ZERO).grouped(1), 2.0, Duration::ZERO, seconds(30));
    let ideal = seconds(lasts as u64);
    plan.check(move |ledger| capacity_is_used(ledger, capacity));
    plan.check(few_are_refused);
    let call = Duration::from_millis(plan.weather.latency.1 * 2);
    plan.check(move |ledger| ledger.p99_within("1 isolation", 1, bounds::healthy(call, 0)));
    plan.done_by = ideal * 3 + bounds::all_done(ideal, 0) + seconds(600);
    plan
}

/// A job that was put off looks once before it creates, and both count.
#[expect(clippy::cast_precision_loss, reason = "a few hundred")]
fn capacity_is_used(ledger: &Ledger, capacity: u32) -> Result<(), Broken> {
    let busy = milliseconds(WARMING_UP)..milliseconds(BUSY);
    let is_answered = |made: &&Made| made.org == 0 && made.failed.is_none() && busy.contains(&made.at);
    let mut looked_for = BTreeSet::new();
    let is_of_use = |made: &&Made| made.calls != Calls::Reads || looked_for.insert(made.job);
    let answered = ledger.made.iter().filter(is_answered).filter(is_of_use).count();
    let used = answered as f64 / (f64::from(capacity) * BUSY.saturating_sub(WARMING_UP).as_secs_f64());
    if used >= bounds::CAPACITY_USED {
        return Ok(());
    }
    broken("5 politeness", None, format!("{used:.2} of the capacity of {capacity} calls a second used"))
}

#[expect(clippy::cast_precision_loss, reason = "a few hundred")]
fn few_are_refused(ledger: &Ledger) -> Result<(), Broken> {
    let is_throttled = |failed| failed == Some(FailureKind::Throttled);
    let since = milliseconds(WARMING_UP);
    let throttled = ledger.made.iter().filter(|made| made.at >= since && is_throttled(made.failed)).count();
    let calls = ledger.calls(Calls::All, Some(0), WARMING_UP, Duration::MAX).max(1);
    let share = throttled as f64 / calls as f64;
    if share <= bounds::THROTTLED {
        return Ok(());
    }
    broken("5 politeness", None, format!("{share:.2} of the calls throttled"))
}
