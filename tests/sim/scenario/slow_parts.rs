//! Calls of one organisation take very long, and all succeed; the others notice nothing.

use std::time::Duration;

use fastrand::Rng;

use super::seconds;
use crate::bounds;
use crate::job::Job;
use crate::plan::Plan;

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let slow = random.u64(3_000..25_000);
    plan.weather.latencies.insert(0, (slow, slow));
    let ahead = random.usize(100..500);
    plan.burst(Job::of(0, Duration::ZERO).grouped(1), ahead);
    let begins = seconds(random.choice([0, 1, 5, 20]).unwrap());
    plan.stream(Job::of(1, Duration::ZERO), random.f64() * 5.0 + 1.0, begins, begins + seconds(30));
    let call = Duration::from_millis(plan.weather.latency.1 * 2);
    plan.check(move |ledger| ledger.p99_within("1 isolation", 0, bounds::healthy(call, ahead)));
    let rounds = u32::try_from(ahead / 64 + 2).unwrap();
    plan.done_by = Duration::from_millis(slow) * rounds + seconds(120);
    plan
}
