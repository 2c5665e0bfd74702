//! An organisation may have few calls in flight: as many as it may have there are, as long as there are jobs.

use std::time::Duration;

use fastrand::Rng;

use super::seconds;
use crate::bounds;
use crate::job::Job;
use crate::ledger::{broken, milliseconds};
use crate::plan::Plan;

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let (calls, call, rounds) = (random.u32(1..8), random.u64(100..400), random.u32(20..40));
    plan.set("org-concurrency", calls);
    plan.weather.latency = (call, call);
    plan.burst(Job::of(0, Duration::ZERO), (calls * rounds) as usize);
    let ideal = Duration::from_millis(call) * rounds;
    plan.check(move |ledger| {
        let last = ledger.answers(0).last().copied().unwrap_or(u32::MAX);
        let most = milliseconds(ideal.div_f64(bounds::USED) + seconds(2));
        if last <= most {
            return Ok(());
        }
        broken("3 work", None, format!("{calls} calls at a time take {last} ms, at most {most}"))
    });
    plan.done_by = ideal * 20 + seconds(120);
    plan
}
