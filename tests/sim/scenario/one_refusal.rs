//! One call of the configuration's own organisation is refused, and the others share its credential: they are served.

use std::time::Duration;

use fastrand::Rng;

use super::seconds;
use crate::bounds;
use crate::flow::illness::{Calls, Illness, Kind};
use crate::job::Job;
use crate::ledger::{broken, milliseconds};
use crate::plan::Plan;

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let (slots, call, rounds) = (random.u32(16..40), 200, 50);
    plan.set("concurrency", slots);
    plan.weather.latency = (call, call);
    plan.weather.one_credential = random.bool();
    let refused = Illness::new(Calls::Creates, Kind::CredentialsRefused).of(0);
    plan.weather.illnesses.push(Illness { first_only: true, ..refused });
    for _ in 0..random.usize(1..4) {
        plan.jobs.push(Job::of(0, seconds(random.u64(0..3))).grouped(1));
    }
    plan.burst(Job::of(1, Duration::ZERO), (slots * rounds) as usize);
    let ideal = Duration::from_millis(call) * rounds;
    plan.check(move |ledger| {
        let last = ledger.answers(0).last().copied().unwrap_or(u32::MAX);
        let most = milliseconds(ideal.div_f64(bounds::USED) + seconds(2));
        if last <= most {
            return Ok(());
        }
        broken("9 refusals", None, format!("the others are done after {last} ms, at most {most}"))
    });
    plan.done_by = seconds(400);
    plan
}
