//! One organisation, or two, send far more than there is room for, beside one that sends a little.

use std::time::Duration;

use fastrand::Rng;

use super::seconds;
use crate::bounds;
use crate::job::Job;
use crate::ledger::{broken, milliseconds};
use crate::plan::Plan;

const FLOOD: u8 = 1;

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let (slots, call) = (random.usize(12..40), random.u64(200..600));
    plan.set("concurrency", slots);
    plan.weather.latency = (call, call);
    let floods = random.usize(1..3);
    let each = slots * random.usize(15..30) / floods;
    for org in 0..floods {
        plan.burst(Job::of(org, Duration::ZERO).grouped(FLOOD), each);
    }
    let alone = Duration::from_millis(call) * u32::try_from(each * floods / slots).unwrap();
    let rate = random.f64() * 3.0 + 0.5;
    let begins = random.choice([Duration::ZERO, seconds(1), seconds(2)]).unwrap();
    plan.stream(Job::of(7, Duration::ZERO), rate, begins, alone.max(begins + seconds(2)));
    let two_calls = Duration::from_millis(call) * 2;
    // What lies ahead when the first of them comes.
    let backlog = each * floods;
    // Who comes with the flood finds the slots taken by its first jobs.
    let ahead = if begins.is_zero() { two_calls } else { Duration::ZERO };
    plan.check(move |ledger| ledger.p99_within("4 fairness", 0, bounds::healthy(two_calls + ahead, backlog)));
    plan.check(move |ledger| {
        let last = ledger.answers(FLOOD).last().copied().unwrap_or(u32::MAX);
        let most = milliseconds(alone.mul_f64(bounds::FLOOD) + seconds(2));
        if last <= most {
            Ok(())
        } else {
            broken("4 fairness", None, format!("the flood takes {last} ms, at most {most}"))
        }
    });
    plan.done_by = alone * 4 + seconds(120);
    plan
}
