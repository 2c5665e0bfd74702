//! Connections cannot be tested, and all creates succeed: jobs are answered all the same, not verified.

use std::time::Duration;

use fastrand::Rng;

use super::seconds;
use crate::bounds;
use crate::flow::illness::{Calls, Illness, Kind};
use crate::job::Job;
use crate::plan::Plan;

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    plan.set("verify", "test");
    let kind = random.choice([Kind::ServerError { done: false }, Kind::Unauthorized]).unwrap();
    plan.weather.illnesses.push(Illness::new(Calls::Checks, kind));
    plan.burst(Job::of(0, Duration::ZERO), random.usize(50..300));
    plan.stream(Job::of(1, Duration::ZERO), 2.0, Duration::ZERO, seconds(20));
    plan.check(|ledger| ledger.p99_within("7 reads and writes apart", 0, bounds::CHECKED));
    plan.done_by = seconds(200);
    plan
}
