//! An organisation is told when to come again: until then it is left in peace.

use std::time::Duration;

use fastrand::Rng;

use super::{recovers, seconds};
use crate::bounds;
use crate::flow::illness::{Calls, Illness, Kind};
use crate::job::Job;
use crate::ledger::broken;
use crate::plan::Plan;

const ILL: u8 = 1;

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let after = random.u8(10..40);
    let (from, until) = (seconds(2), seconds(2 + u64::from(after)));
    plan.weather.illnesses.push(Illness::new(Calls::All, Kind::TooMany { after }).of(0).during(from, until));
    let rate = random.f64() * 4.0 + 1.0;
    plan.stream(Job::of(0, Duration::ZERO).grouped(ILL), rate, Duration::ZERO, until);
    plan.stream(Job::of(1, Duration::ZERO), random.f64() * 4.0 + 1.0, Duration::ZERO, until);
    let call = Duration::from_millis(plan.weather.latency.1 * 2);
    plan.check(move |ledger| ledger.p99_within("1 isolation", 0, bounds::healthy(call, 0)));
    plan.check(move |ledger| {
        // Whatever was under way when the first was told.
        let calls = ledger.calls(Calls::All, Some(0), from + call * 2, until);
        if calls <= bounds::CALLS_DESPITE_RETRY_AFTER {
            return Ok(());
        }
        broken("5 politeness", None, format!("{calls} calls before the time that a Retry-After names"))
    });
    recovers(&mut plan, ILL, from, until);
    plan
}
