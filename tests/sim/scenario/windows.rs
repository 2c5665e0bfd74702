//! The reasons that the README names for a second connection of a job, each brought about on purpose.

use std::time::Duration;

use fastrand::Rng;

use super::seconds;
use crate::flow::illness::{Calls, Illness, Kind};
use crate::job::Job;
use crate::plan::{Plan, Stay};

/// Few jobs, the first create of each of which is lost like this.
fn lost(random: &mut Rng, kind: Kind) -> Plan {
    let mut plan = Plan::new();
    plan.weather.illnesses.push(Illness { first_only: true, ..Illness::new(Calls::Creates, kind) });
    plan.stream(Job::of(0, Duration::ZERO), random.f64() + 0.5, Duration::ZERO, seconds(20));
    plan.in_a_window = true;
    plan.done_by = seconds(400);
    plan
}

/// A call takes effect long after its worker lost sight of it: later than `LOOKUP_SETTLE`.
pub(crate) fn late_effect(random: &mut Rng) -> Plan {
    let mut plan = lost(random, Kind::Cut { done: true });
    plan.weather.late_effect = seconds(60);
    plan
}

/// A list lags by more than all pauses between look-ups.
pub(crate) fn lagging_list(random: &mut Rng) -> Plan {
    let mut plan = lost(random, Kind::ServerError { done: true });
    plan.weather.list_lag = seconds(6);
    plan
}

/// Descriptions bear no mark, so that nothing can be looked for after a kill.
pub(crate) fn no_marker(random: &mut Rng) -> Plan {
    let mut plan = lost(random, Kind::Cut { done: true });
    plan.set("job-marker", "off");
    plan.weather.illnesses.clear();
    plan.stays = vec![Stay { deaths: vec![random.u64(5..60)], ..Stay::default() }];
    plan
}

/// A job is published twice, to two workers, and nothing says so.
pub(crate) fn published_twice(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    plan.stays = vec![Stay::default(); 2];
    let job = Job { copies: 2, ..Job::of(0, Duration::ZERO) };
    plan.stream(job, random.f64() + 0.5, Duration::ZERO, seconds(20));
    plan.in_a_window = true;
    plan
}
