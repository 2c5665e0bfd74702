//! Fewer calls may be made than jobs want: they end jobs that have begun.

use std::time::Duration;

use fastrand::Rng;

use super::seconds;
use crate::bounds;
use crate::job::Job;
use crate::ledger::{broken, milliseconds};
use crate::plan::{Plan, Stay};

/// `LOOKUP_SETTLE`.
const SETTLE: Duration = Duration::from_secs(10);

/// Calls of a job in doubt: three looks before and after it must be settled, a create, a last look.
const IN_DOUBT: usize = 8;

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let rate = random.u32(1..=20);
    plan.set("org-rate", rate);
    plan.weather.latency = (50, 150);
    let each = random.usize(1..4) * rate as usize;
    let doubt = Job { in_doubt: true, ..Job::of(0, Duration::ZERO) };
    let (new, in_doubt) = (each * random.usize(0..6), each * random.usize(1..6));
    plan.burst(doubt, in_doubt);
    plan.burst(Job::of(0, Duration::ZERO), new);
    let killed = random.bool();
    if killed {
        plan.stays = vec![Stay { deaths: vec![random.u64(20..400)], ..Stay::default() }];
    }
    // A killed worker leaves its jobs in doubt, and takes a while to come again.
    let calls = (new + in_doubt) * IN_DOUBT;
    let late = if killed { seconds(40) } else { Duration::ZERO };
    let rate = f64::from(rate);
    plan.check(move |ledger| {
        let first = ledger.answers(0).first().copied().unwrap_or(u32::MAX);
        let most = milliseconds(bounds::scarce_first(SETTLE, rate) + late);
        if first <= most {
            Ok(())
        } else {
            broken("8 scarce calls", None, format!("the first reply after {first} ms, at most {most}"))
        }
    });
    plan.check(move |ledger| {
        let begins = bounds::scarce_first(SETTLE, rate) + late;
        ledger.no_gap("8 scarce calls", 0, begins, bounds::scarce_gap(rate) + late)
    });
    plan.done_by = bounds::scarce_all(SETTLE, rate, calls) + late;
    plan
}
