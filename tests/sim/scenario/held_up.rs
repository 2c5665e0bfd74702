//! Replies cannot be got rid of for a while, and creates fail now and then: what is in flight stays bounded.

use std::time::Duration;

use fastrand::Rng;

use super::{recovers, seconds};
use crate::flow::illness::{Calls, Illness, Kind};
use crate::job::Job;
use crate::plan::Plan;

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    plan.set("concurrency", random.u16(4..30));
    plan.set("breaker-failures", random.u16(2..6));
    let until = seconds(60);
    plan.unkind.until = until;
    plan.unkind.refused = 0.9;
    plan.unkind.unconfirmed = random.f64() * 0.3;
    let mut at = Duration::ZERO;
    while at < until {
        let ill = Illness::new(Calls::Creates, Kind::Unavailable).during(at, at + seconds(3));
        plan.weather.illnesses.push(ill);
        at += seconds(random.u64(5..9));
    }
    plan.stream(Job::of(0, Duration::ZERO), random.f64() * 3.0 + 2.0, Duration::ZERO, until);
    recovers(&mut plan, 0, Duration::ZERO, until);
    plan
}
