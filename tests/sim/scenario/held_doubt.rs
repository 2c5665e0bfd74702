//! Answers are lost while nobody can be looked for: the jobs wait, and say that they may have been done.

use std::time::Duration;

use fastrand::Rng;

use super::{recovers, seconds};
use crate::flow::illness::{Calls, Illness, Kind};
use crate::job::Job;
use crate::plan::{Plan, Stay};

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    plan.set("breaker-failures", random.u16(1..4));
    // One that remembers a job in doubt need not be told.
    plan.stays = vec![Stay::default(); random.usize(1..4)];
    let until = seconds(random.u64(30..60));
    let lost = Illness { share: 0.7, ..Illness::new(Calls::Creates, Kind::Cut { done: true }) };
    plan.weather.illnesses.push(lost.during(Duration::ZERO, seconds(15)));
    let kind = random.choice([Kind::Unavailable, Kind::Cut { done: false }]).unwrap();
    plan.weather.illnesses.push(Illness::new(Calls::Reads, kind).during(Duration::ZERO, until));
    for org in 0..random.usize(1..3) {
        plan.burst(Job::of(org, Duration::ZERO), random.usize(2..40));
        plan.stream(Job::of(org, Duration::ZERO), random.f64() * 2.0 + 0.2, Duration::ZERO, until);
    }
    recovers(&mut plan, 0, Duration::ZERO, until);
    plan
}
