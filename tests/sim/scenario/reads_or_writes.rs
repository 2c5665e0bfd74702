//! Reads work and creates fail, or the other way round.

use std::time::Duration;

use fastrand::Rng;

use super::{recovers, seconds};
use crate::bounds;
use crate::flow::illness::{Calls, Illness, Kind};
use crate::job::Job;
use crate::ledger::broken;
use crate::plan::Plan;

const DOUBT: u8 = 1;

pub(crate) fn plan(random: &mut Rng) -> Plan {
    if random.bool() { creates_fail(random) } else { reads_fail(random) }
}

/// The breaker holds creates back, whatever reads meet.
fn creates_fail(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let (from, until) = (seconds(5), seconds(125));
    let kind = random.choice([Kind::ServerError { done: false }, Kind::Cut { done: false }]).unwrap();
    plan.weather.illnesses.push(Illness::new(Calls::Creates, kind).during(from, until));
    plan.stream(Job::of(0, Duration::ZERO), random.f64() * 2.0 + 1.0, Duration::ZERO, until);
    plan.check(move |ledger| {
        let creates = ledger.calls(Calls::Creates, None, from, until);
        if creates <= bounds::CALLS_IN_TWO_MINUTES {
            return Ok(());
        }
        broken(
            "7 reads and writes apart",
            None,
            format!("{creates} creates in two minutes in which all failed"),
        )
    });
    recovers(&mut plan, 0, from, until);
    plan
}

/// New jobs notice nothing; those in doubt wait.
fn reads_fail(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let (from, until) = (seconds(2), seconds(random.u64(40..120)));
    let kind = random
        .choice([Kind::ServerError { done: false }, Kind::Unavailable, Kind::Cut { done: false }])
        .unwrap();
    plan.weather.illnesses.push(Illness::new(Calls::Reads, kind).of(0).during(from, until));
    let doubt = Job { in_doubt: true, ..Job::of(0, from) };
    plan.burst(doubt.grouped(DOUBT), random.usize(10..80));
    plan.stream(Job::of(0, Duration::ZERO), random.f64() * 4.0 + 1.0, Duration::ZERO, until);
    let call = Duration::from_millis(plan.weather.latency.1 * 2);
    plan.check(move |ledger| ledger.p99_within("7 reads and writes apart", 0, bounds::healthy(call, 0)));
    recovers(&mut plan, DOUBT, from, until);
    plan
}
