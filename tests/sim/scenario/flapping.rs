//! A part falls ill and recovers, again and again.

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
    let kinds = [
        Kind::Unavailable,
        Kind::ServerError { done: random.bool() },
        Kind::NotSent,
        Kind::Foreign,
        Kind::Cut { done: true },
    ];
    let kind = random.choice(kinds).unwrap();
    let (mut at, until) = (seconds(2), seconds(random.u64(40..90)));
    while at < until {
        let well_again = at + Duration::from_millis(random.u64(1_000..8_000));
        let ill = Illness::new(Calls::Creates, kind).of(0).during(at, well_again.min(until));
        plan.weather.illnesses.push(ill);
        at = well_again + Duration::from_millis(random.u64(1_000..8_000));
    }
    plan.stream(Job::of(0, Duration::ZERO).grouped(ILL), random.f64() * 4.0 + 1.0, Duration::ZERO, until);
    plan.stream(Job::of(1, Duration::ZERO), random.f64() * 3.0 + 0.5, Duration::ZERO, until);
    let call = Duration::from_millis(plan.weather.latency.1 * 2);
    plan.check(move |ledger| ledger.p99_within("1 isolation", 0, bounds::healthy(call, 0)));
    recovers(&mut plan, ILL, seconds(2), until);
    plan
}
