//! The broker is lost in the middle of every step, and its confirms come late or not at all.

use std::time::Duration;

use fastrand::Rng;

use super::seconds;
use crate::broker::Unkind;
use crate::job::Job;
use crate::plan::{Plan, Stay};

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let until = seconds(random.u64(10..40));
    let mut some = |most: f64| if random.bool() { random.f64() * most } else { 0.0 };
    let (cut, refused, unconfirmed, twice) = (some(0.02), some(0.05), some(0.1), some(0.3));
    let slowness = random.u64(0..20);
    let mut down = Vec::new();
    if random.bool() {
        let at = seconds(random.u64(1..10));
        down.push((at, at + seconds(random.u64(1..20))));
    }
    plan.unkind = Unkind { cut, refused, unconfirmed, twice, until, down, slowness, ..Unkind::default() };
    plan.stays = vec![Stay::default(); random.usize(1..3)];
    for org in 0..random.usize(1..4) {
        plan.stream(Job::of(org, Duration::ZERO), random.f64() * 3.0 + 1.0, Duration::ZERO, until);
    }
    plan.healed = until;
    plan.done_by = until + seconds(400);
    plan
}
