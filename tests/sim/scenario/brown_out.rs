//! A share of the calls fails.

use std::time::Duration;

use fastrand::Rng;

use super::{recovers, seconds};
use crate::bounds;
use crate::flow::illness::{Calls, Illness, Kind};
use crate::job::Job;
use crate::ledger::broken;
use crate::plan::Plan;

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let kinds = [Kind::Unavailable, Kind::ServerError { done: false }, Kind::NotSent];
    let (kind, share) = (random.choice(kinds).unwrap(), random.f64() * 0.2 + 0.1);
    let until = seconds(60);
    plan.weather
        .illnesses
        .push(Illness { share, ..Illness::new(Calls::Creates, kind).during(Duration::ZERO, until) });
    for org in 0..random.usize(1..4) {
        plan.stream(Job::of(org, Duration::ZERO), random.f64() * 2.0 + 1.5, Duration::ZERO, until);
    }
    plan.check(|ledger| {
        let creates = ledger.calls(Calls::Creates, None, Duration::ZERO, Duration::MAX);
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let each = creates as f64 / ledger.jobs.len() as f64;
        // A few hundred throws of the dice spread.
        if each <= bounds::CREATES_IN_BROWN_OUT * 1.1 {
            return Ok(());
        }
        broken("5 politeness", None, format!("{each:.2} creates a job"))
    });
    recovers(&mut plan, 0, Duration::ZERO, until);
    plan
}
