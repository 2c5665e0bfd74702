//! Each first create is done, and its answer lost: a look-up would answer each job.

use std::time::Duration;

use fastrand::Rng;

use super::seconds;
use crate::flow::illness::{Calls, Illness, Kind};
use crate::job::Job;
use crate::plan::Plan;

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let kinds = [Kind::Cut { done: true }, Kind::ServerError { done: true }];
    let kind = random.choice(kinds).unwrap();
    plan.weather.illnesses.push(Illness { first_only: true, ..Illness::new(Calls::Creates, kind) });
    if random.bool() {
        plan.weather.list_lag = Duration::from_millis(random.u64(0..700));
        plan.weather.late_effect = seconds(random.u64(0..5));
    }
    let jobs = random.usize(20..300);
    if random.bool() {
        plan.burst(Job::of(0, Duration::ZERO), jobs);
    } else {
        plan.stream(Job::of(0, Duration::ZERO), random.f64() * 8.0 + 1.0, Duration::ZERO, seconds(20));
    }
    plan.check(|ledger| ledger.p99_within("7 reads and writes apart", 0, seconds(30)));
    plan.done_by = seconds(400);
    plan
}
