//! Two organisations are ill, one for long and with many jobs: when the other is well again, its jobs are done.

use std::time::Duration;

use fastrand::Rng;

use super::{RETRY, seconds};
use crate::bounds;
use crate::flow::illness::{Calls, Illness, Kind};
use crate::job::Job;
use crate::plan::Plan;

const LONG: u8 = 1;
const SHORT: u8 = 2;

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let (well, until) = (seconds(random.u64(20..40)), seconds(300));
    let kinds = [Kind::Unavailable, Kind::ServerError { done: false }, Kind::CredentialsRefused];
    let kind = random.choice(kinds).unwrap();
    plan.weather.illnesses.push(Illness::new(Calls::Creates, kind).of(0).during(Duration::ZERO, until));
    plan.weather.illnesses.push(Illness::new(Calls::Creates, kind).of(1).during(Duration::ZERO, well));
    let (long, short) = (random.usize(300..600), random.usize(5..40));
    plan.burst(Job::of(0, Duration::ZERO).grouped(LONG), long);
    plan.burst(Job::of(1, seconds(random.u64(0..5))).grouped(SHORT), short);
    let by = well + bounds::all_done(well, short);
    plan.check(move |ledger| ledger.answered_by("2 progress", SHORT, by));
    plan.healed = until;
    plan.done_by = until + bounds::all_done(until, long) + RETRY;
    plan
}
