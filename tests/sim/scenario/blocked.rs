//! The broker blocks whoever publishes, for want of memory or disk: nothing is begun meanwhile, and nothing is lost.

use std::time::Duration;

use fastrand::Rng;

use super::seconds;
use crate::flow::illness::Calls;
use crate::job::Job;
use crate::ledger::broken;
use crate::plan::{Plan, Stay};

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let slots = random.u16(4..40);
    plan.set("concurrency", slots);
    let workers = random.usize(1..3);
    plan.stays = vec![Stay::default(); workers];
    let from = seconds(random.u64(2..10));
    let until = from + seconds(random.u64(2..60));
    plan.unkind.blocked.push((from, until));
    for org in 0..random.usize(1..4) {
        plan.stream(Job::of(org, Duration::ZERO), random.f64() * 6.0 + 2.0, Duration::ZERO, until);
    }
    let most = usize::from(slots) * workers;
    plan.check(move |ledger| {
        let calls = ledger.calls(Calls::Creates, None, from, until);
        if calls <= most {
            return Ok(());
        }
        broken("6 bounds", None, format!("{calls} creates whose replies cannot leave, at most {most}"))
    });
    let by = until + seconds(60);
    plan.check(move |ledger| ledger.answered_by("2 progress", 0, by));
    plan.healed = until;
    plan.done_by = until + seconds(400);
    plan
}
