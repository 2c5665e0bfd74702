//! One worker, then four, then two.

use std::time::Duration;

use fastrand::Rng;

use super::seconds;
use crate::bounds;
use crate::flow::illness::{Calls, Illness, Kind};
use crate::job::Job;
use crate::plan::{Plan, Stay};

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let more = seconds(random.u64(5..15));
    let fewer = more + seconds(random.u64(5..30));
    let stay = |from, until| Stay { from, until, ..Stay::default() };
    plan.stays = vec![stay(Duration::ZERO, None), stay(more, None)];
    plan.stays.extend([stay(more, Some(fewer)), stay(more, Some(fewer))]);
    let until = fewer + seconds(10);
    for org in 0..3 {
        plan.stream(Job::of(org, Duration::ZERO), random.f64() * 4.0 + 1.0, Duration::ZERO, until);
    }
    if random.bool() {
        let ill = Illness::new(Calls::Creates, Kind::Unavailable).of(9).during(Duration::ZERO, until);
        plan.weather.illnesses.push(ill);
        plan.burst(Job::of(9, Duration::ZERO).grouped(1), random.usize(50..300));
    }
    let call = Duration::from_millis(plan.weather.latency.1 * 2);
    plan.check(move |ledger| ledger.p99_within("1 isolation", 0, bounds::healthy(call, 300)));
    super::recovers(&mut plan, 1, Duration::ZERO, until);
    plan
}
