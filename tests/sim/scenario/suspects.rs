//! A job that ends the worker each time it is tried, or may be one: the others wait for half a minute at the most.

use std::time::Duration;

use fastrand::Rng;

use super::seconds;
use crate::bounds;
use crate::job::{Fate, Job, Kills};
use crate::plan::Plan;

const SUSPECT: u8 = 1;

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    if random.bool() {
        killer(random, &mut plan);
    } else {
        slow(random, &mut plan);
    }
    plan.done_by = seconds(1_500);
    plan
}

/// It is parked in the end, and the others are answered.
fn killer(random: &mut Rng, plan: &mut Plan) {
    let at = seconds(random.u64(0..5));
    let kills = random.choice([Kills::AtCall, Kills::AtCreate]).unwrap();
    plan.jobs.push(Job { kills, fate: Fate::Internal, ..Job::of(0, at).grouped(SUSPECT) });
    plan.stream(Job::of(1, Duration::ZERO), random.f64() * 3.0 + 1.0, Duration::ZERO, seconds(60));
}

/// It is none, but takes long.
fn slow(random: &mut Rng, plan: &mut Plan) {
    let takes = random.u64(20_000..60_000);
    plan.weather.latencies.insert(0, (takes, takes));
    let at = seconds(random.u64(1..5));
    plan.jobs.push(Job { trials: 3, ..Job::of(0, at).grouped(SUSPECT) });
    // Whenever it is tried, others come.
    plan.stream(Job::of(1, Duration::ZERO), random.f64() * 2.0 + 1.0, Duration::ZERO, seconds(90));
    plan.check(|ledger| ledger.p99_within("11 suspects", 0, bounds::SUSPECT + seconds(10)));
}
