//! An organisation may make only so many calls in a second.

use std::time::Duration;

use fastrand::Rng;

use super::seconds;
use crate::bounds;
use crate::flow::illness::Calls;
use crate::job::Job;
use crate::ledger::{broken, milliseconds};
use crate::plan::Plan;
use connection_worker::flow::FailureKind;

/// How long the limits may take to find the capacity.
const WARMING_UP: Duration = Duration::from_secs(10);

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let (capacity, lasts) = (random.u32(4..20), 30);
    plan.weather.capacity.insert(0, capacity);
    plan.burst(Job::of(0, Duration::ZERO), capacity as usize * lasts);
    plan.stream(Job::of(1, Duration::ZERO).grouped(1), 2.0, Duration::ZERO, seconds(30));
    let ideal = seconds(lasts as u64);
    plan.check(move |ledger| {
        let last = ledger.answers(0).last().copied().unwrap_or(u32::MAX);
        let most = milliseconds(ideal.div_f64(bounds::CAPACITY_USED) + WARMING_UP);
        if last <= most {
            Ok(())
        } else {
            broken("5 politeness", None, format!("done after {last} ms, at most {most}"))
        }
    });
    plan.check(|ledger| {
        let throttled = ledger.made.iter().filter(|made| made.failed == Some(FailureKind::Throttled)).count();
        let calls = ledger.calls(Calls::All, Some(0), WARMING_UP, Duration::MAX).max(1);
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let share = throttled as f64 / calls as f64;
        if share <= bounds::THROTTLED * 2.0 {
            Ok(())
        } else {
            broken("5 politeness", None, format!("{share:.2} throttled"))
        }
    });
    let call = Duration::from_millis(plan.weather.latency.1 * 2);
    plan.check(move |ledger| ledger.p99_within("1 isolation", 1, bounds::healthy(call, 0)));
    plan.done_by = ideal * 3 + bounds::all_done(ideal, 0);
    plan
}
