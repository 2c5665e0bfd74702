//! Nothing is ill: what is seen here is the simulation's own cost.

use std::time::Duration;

use fastrand::Rng;

use super::seconds;
use crate::bounds;
use crate::flow::illness::Calls;
use crate::job::Job;
use crate::ledger::broken;
use crate::plan::Plan;

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    for org in 0..random.usize(1..6) {
        plan.stream(Job::of(org, Duration::ZERO), random.f64() * 5.0 + 0.2, Duration::ZERO, seconds(20));
    }
    let call = Duration::from_millis(plan.weather.latency.1 * 2);
    plan.check(move |ledger| ledger.p99_within("1 isolation", 0, call + bounds::BROKER));
    plan.check(|ledger| {
        let calls = ledger.calls(Calls::Creates, None, Duration::ZERO, Duration::MAX);
        let reads = ledger.calls(Calls::Reads, None, Duration::ZERO, Duration::MAX);
        if (calls, reads) == (ledger.jobs.len(), 0) {
            return Ok(());
        }
        broken(
            "one call a job",
            None,
            format!("{calls} creates and {reads} reads of {} jobs", ledger.jobs.len()),
        )
    });
    plan
}
