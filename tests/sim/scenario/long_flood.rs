//! One organisation sends thousands of jobs, of which the calls may hang, beside one that sends some all the time: more come
//! while the worker looks through the flood than fit into what is kept free.

use std::time::Duration;

use fastrand::Rng;

use super::seconds;
use crate::bounds;
use crate::flow::illness::{Calls, Illness, Kind};
use crate::job::Job;
use crate::plan::Plan;

const FLOOD: u8 = 1;

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let (slots, call) = (random.usize(64..129), random.u64(100..300));
    plan.set("concurrency", slots);
    plan.weather.latency = (call, call);
    let (jobs, from) = (random.usize(1_000..4_000), seconds(random.u64(0..6)));
    let hangs = random.bool();
    if hangs {
        let hangs = Kind::Hangs { done: false };
        plan.weather.illnesses.push(Illness::new(Calls::Creates, hangs).of(1).during(from, seconds(100)));
    }
    for part in 0..10 {
        let at = from + Duration::from_millis(part * random.u64(0..200));
        plan.burst(Job::of(1, at).grouped(FLOOD), jobs / 10);
    }
    // Half of the slots that are never borrowed have to do where the others hang.
    let most = f64::from(u32::try_from(slots).unwrap()) / if hangs { 32.0 } else { 8.0 };
    let rate = random.f64() * most * 1000.0 / f64::from(u32::try_from(call).unwrap());
    plan.stream(Job::of(7, Duration::ZERO), rate, Duration::ZERO, from + seconds(30));
    let two_calls = Duration::from_millis(call) * 2;
    // With nothing but the slots that are never borrowed, it takes longer to look through the others.
    let backlog = if hangs { jobs * 3 / 2 } else { jobs };
    plan.check(move |ledger| ledger.p99_within("4 fairness", 0, bounds::healthy(two_calls, backlog)));
    plan.done_by = seconds(600);
    plan
}
