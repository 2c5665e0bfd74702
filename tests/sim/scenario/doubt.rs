//! Jobs are sent twice and answers are lost, while calls are held back and confirms come late: whichever copy comes second
//! looks first.

use std::time::Duration;

use fastrand::Rng;

use super::{recovers, seconds};
use crate::flow::illness::{Calls, Illness, Kind};
use crate::job::Job;
use crate::plan::Plan;

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    plan.set("breaker-failures", random.u16(1..4));
    let until = seconds(40);
    let lost = Illness { share: 0.5, ..Illness::new(Calls::Creates, Kind::Cut { done: true }) };
    plan.weather.illnesses.push(lost.during(Duration::ZERO, until));
    plan.unkind.until = until;
    plan.unkind.unconfirmed = if random.bool() { random.f64() * 0.3 } else { 0.0 };
    let copies = if random.bool() { 2 } else { 1 };
    let job = Job { copies, ..Job::of(0, Duration::ZERO) };
    plan.burst(job, random.usize(5..60));
    plan.stream(Job { org: 1, ..job }, random.f64() * 2.0 + 0.5, Duration::ZERO, until);
    recovers(&mut plan, 0, Duration::ZERO, until);
    plan
}
