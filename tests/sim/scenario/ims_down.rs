//! IMS does not answer; one organisation has a token that needs none.

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
    let (from, until) = (Duration::ZERO, seconds(random.u64(30..90)));
    plan.weather.illnesses.push(Illness::new(Calls::Tokens, Kind::TokenHangs).during(from, until));
    let fixed = random.usize(0..2);
    plan.weather.fixed_tokens.push(fixed);
    plan.burst(Job::of(1 - fixed, from).grouped(ILL), random.usize(5..150));
    let begins = seconds(random.choice([0, 2, 10]).unwrap());
    plan.stream(Job::of(fixed, Duration::ZERO), random.f64() * 4.0 + 1.0, begins, begins + seconds(30));
    let call = Duration::from_millis(plan.weather.latency.1 * 2);
    plan.check(move |ledger| ledger.p99_within("1 isolation", 0, bounds::healthy(call, 150)));
    recovers(&mut plan, ILL, from, until);
    plan
}
