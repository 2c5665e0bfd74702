//! Jobs are sent twice to one worker, one copy some time after the other: the second is answered as the first was.

use std::time::Duration;

use fastrand::Rng;

use super::{recovers, seconds};
use crate::flow::illness::{Calls, Illness, Kind};
use crate::job::Job;
use crate::plan::Plan;

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let until = seconds(40);
    let apart = random.u64(1_000..40_000);
    if random.bool() {
        // The first copy waits in a queue until that must be over, and the second comes meanwhile.
        let share = random.f64() * 0.5 + 0.3;
        let lost = Illness { share, ..Illness::new(Calls::Creates, Kind::Cut { done: true }) };
        plan.weather.illnesses.push(lost.during(Duration::ZERO, until));
        plan.weather.late_effect = seconds(random.u64(0..9));
    }
    for org in 0..random.usize(1..3) {
        for _ in 0..random.usize(10..40) {
            let at = Duration::from_millis(random.u64(0..20_000));
            let apart = Duration::from_millis(random.u64(0..apart));
            plan.jobs.push(Job { copies: 2, apart, ..Job::of(org, at) });
        }
    }
    recovers(&mut plan, 0, Duration::ZERO, until);
    plan
}
