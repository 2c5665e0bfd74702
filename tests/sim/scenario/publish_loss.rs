//! The connection that publishes is lost, and the one that consumes is not.

use std::time::Duration;

use fastrand::Rng;

use super::seconds;
use crate::job::Job;
use crate::plan::{Plan, Stay};

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let until = seconds(random.u64(10..40));
    plan.unkind.until = until;
    plan.unkind.publish_cut = random.f64() * 0.05 + 0.005;
    plan.unkind.slowness = random.u64(0..20);
    plan.stays = vec![Stay::default(); random.usize(1..3)];
    for org in 0..random.usize(1..4) {
        plan.stream(Job::of(org, Duration::ZERO), random.f64() * 3.0 + 1.0, Duration::ZERO, until);
    }
    plan.healed = until;
    plan.done_by = until + seconds(400);
    plan
}
