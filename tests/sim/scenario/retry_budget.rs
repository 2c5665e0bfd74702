//! Nearly half of the calls fail: what is repeated in vain stays within the budget for it.

use std::time::Duration;

use fastrand::Rng;

use super::{recovers, seconds};
use crate::flow::illness::{Calls, Illness, Kind};
use crate::job::Job;
use crate::ledger::{Broken, Ledger, broken};
use crate::plan::Plan;

/// `RETRY_BUDGET`.
const SHARE: f64 = 0.2;

/// So many may fail at once, and so many more in a second.
const AT_ONCE: f64 = 18.0;
const A_SECOND: f64 = 10.0 / 14.0;

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let until = seconds(60);
    let share = random.f64() * 0.05 + 0.4;
    let ill = Illness { share, ..Illness::new(Calls::Creates, Kind::Unavailable) };
    plan.weather.illnesses.push(ill.during(Duration::ZERO, until));
    // Of the breaker it is no matter.
    plan.set("breaker-failures", 1_000);
    plan.set("breaker-ratio", 1);
    plan.stream(Job::of(0, Duration::ZERO), random.f64() * 5.0 + 14.0, Duration::ZERO, until);
    plan.check(move |ledger| repeats_are_bounded(ledger, until));
    recovers(&mut plan, 0, Duration::ZERO, until);
    plan
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand")]
fn repeats_are_bounded(ledger: &Ledger, until: Duration) -> Result<(), Broken> {
    let mut creates = std::collections::BTreeSet::new();
    let (mut failed, mut succeeded) = (0, 0);
    for made in ledger.made.iter().filter(|made| made.calls == Calls::Creates) {
        let repeated = !creates.insert(made.job);
        failed += usize::from(repeated && made.failed.is_some());
        succeeded += usize::from(made.failed.is_none());
    }
    // Those under way when it was used up, too.
    let most = AT_ONCE * 1.2 + A_SECOND * until.as_secs_f64() + SHARE * succeeded as f64;
    if failed as f64 <= most {
        return Ok(());
    }
    broken("5 politeness", None, format!("{failed} repeated creates failed, at most {most:.0}"))
}
