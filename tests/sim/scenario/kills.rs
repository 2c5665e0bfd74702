//! Workers are killed at every await, and start anew.

use std::time::Duration;

use fastrand::Rng;

use super::seconds;
use crate::flow::illness::{Calls, Illness, Kind};
use crate::job::Job;
use crate::plan::{Plan, Stay};

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let workers = random.usize(1..4);
    plan.stays = (0..workers).map(|_| Stay { deaths: deaths(random), ..Stay::default() }).collect();
    if random.bool() {
        let kind = Kind::Cut { done: true };
        plan.weather.illnesses.push(Illness { share: 0.1, ..Illness::new(Calls::Creates, kind) });
        plan.weather.late_effect = seconds(random.u64(0..8));
    }
    let until = seconds(20);
    for org in 0..random.usize(1..4) {
        plan.stream(Job::of(org, Duration::ZERO), random.f64() * 3.0 + 1.0, Duration::ZERO, until);
    }
    plan.healed = until;
    plan.done_by = seconds(900);
    plan
}

fn deaths(random: &mut Rng) -> Vec<u64> {
    (0..random.usize(0..4)).map(|_| random.u64(1..300)).collect()
}
