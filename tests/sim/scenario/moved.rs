//! One worker moves thousands of jobs of an ill part; four others, which know nothing of them, take them back.

use std::time::Duration;

use fastrand::Rng;

use super::{RETRY, recovers, seconds};
use crate::flow::illness::{Calls, Illness, Kind};
use crate::job::Job;
use crate::plan::{Plan, Stay};

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let many = if random.u8(0..40) == 0 { 8_000 } else { random.usize(200..700) };
    let until = seconds(random.u64(30..90));
    let kind = random.choice([Kind::Unavailable, Kind::ServerError { done: false }]).unwrap();
    plan.weather.illnesses.push(Illness::new(Calls::Creates, kind).of(0).during(Duration::ZERO, until));
    plan.burst(Job::of(0, Duration::ZERO), many);
    // The others come before it is well again, or just then, or later.
    let come = until.saturating_sub(seconds(10)) + seconds(random.u64(0..15));
    let leaves = random.bool().then_some(come);
    plan.stays = vec![Stay { until: leaves, ..Stay::default() }];
    plan.stays.extend((0..4).map(|_| Stay { from: come, ..Stay::default() }));
    recovers(&mut plan, 0, Duration::ZERO, until.max(come));
    plan.done_by += RETRY;
    plan
}
