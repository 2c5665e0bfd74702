//! Nothing of Flow Service works for a while.

use std::time::Duration;

use fastrand::Rng;

use super::{recovers, seconds};
use crate::bounds;
use crate::flow::illness::{Calls, Illness, Kind};
use crate::job::Job;
use crate::ledger::{broken, milliseconds};
use crate::plan::Plan;

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let done = random.bool();
    let cut = Kind::Cut { done: false };
    let kinds = [Kind::Unavailable, Kind::ServerError { done }, Kind::NotSent, Kind::Foreign, cut];
    let kind = random.choice(kinds).unwrap();
    let (from, until) = (seconds(5), seconds(125));
    plan.weather.illnesses.push(Illness::new(Calls::All, kind).during(from, until));
    for org in 0..random.usize(1..5) {
        plan.stream(Job::of(org, Duration::ZERO), random.f64() + 0.3, Duration::ZERO, until);
    }
    plan.check(move |ledger| {
        let calls = ledger.calls(Calls::All, None, from, until);
        if calls <= bounds::CALLS_IN_TWO_MINUTES {
            return Ok(());
        }
        broken("5 politeness", None, format!("{calls} calls in two minutes in which all failed"))
    });
    plan.check(move |ledger| {
        let first = ledger.answers(0).into_iter().find(|at| *at > milliseconds(until)).unwrap_or(u32::MAX);
        let most = milliseconds(until + bounds::FIRST_AFTER_OUTAGE);
        if first <= most {
            Ok(())
        } else {
            broken("5 politeness", None, format!("the first reply at {first} ms, at most {most}"))
        }
    });
    plan.check(|ledger| match ledger.seen.dead.first() {
        None => Ok(()),
        Some(letter) => broken("5 politeness", Some(letter.job), format!("a dead letter: {}", letter.kind)),
    });
    recovers(&mut plan, 0, from, until);
    plan
}
