//! Credentials of some organisations are revoked and renewed; meanwhile their jobs wait, and do not go round.

use std::time::Duration;

use fastrand::Rng;

use super::{recovers, seconds};
use crate::bounds;
use crate::flow::illness::{Calls, Illness, Kind};
use crate::job::Job;
use crate::plan::Plan;

const ILL: u8 = 1;

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let revoked = random.usize(1..3);
    let (from, until) = (seconds(random.u64(0..5)), seconds(random.u64(40..100)));
    let kind = Kind::CredentialsRefused;
    for org in 0..revoked {
        plan.weather.illnesses.push(Illness::new(Calls::All, kind).of(org).during(from, until));
        plan.burst(Job::of(org, from).grouped(ILL), random.usize(1..120));
    }
    if random.bool() {
        plan.stream(Job::of(revoked, Duration::ZERO), random.f64() * 4.0 + 1.0, Duration::ZERO, until);
    }
    let call = Duration::from_millis(plan.weather.latency.1 * 2);
    plan.check(move |ledger| ledger.p99_within("1 isolation", 0, bounds::healthy(call, 0)));
    recovers(&mut plan, ILL, from, until);
    plan
}
