//! One part of several is ill in every way a part can be; the others notice nothing.

use std::time::Duration;

use fastrand::Rng;

use super::{recovers, seconds};
use crate::bounds;
use crate::flow::illness::{Calls, Illness, Kind};
use crate::job::{Fate, Job};
use crate::plan::Plan;

const ILL: u8 = 1;
const HEALTHY: u8 = 0;

/// Where the healthy part is, seen from the ill one, which is box 0 of organisation 0, spec 0.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Apart {
    Organisation,
    Sandbox,
    Spec,
}

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let apart = random.choice([Apart::Organisation, Apart::Sandbox, Apart::Spec]).unwrap();
    let kind = kind(random, apart);
    // Whichever organisation is the configuration's own.
    let (ill, well) = if apart != Apart::Organisation || random.bool() { (0, 1) } else { (1, 0) };
    let (from, until) = (seconds(random.u64(0..10)), seconds(random.u64(40..150)));
    let calls = if apart == Apart::Spec || random.bool() { Calls::Creates } else { Calls::All };
    let mut illness = Illness::new(calls, kind).of(ill).during(from, until);
    let ahead = if random.u8(0..10) == 0 { random.usize(1_000..3_000) } else { random.usize(20..150) };
    let mut healthy = match apart {
        Apart::Organisation => Job::of(well, Duration::ZERO),
        Apart::Sandbox => Job { sandbox: 1, ..Job::of(ill, Duration::ZERO) },
        Apart::Spec => Job { spec: 1, ..Job::of(ill, Duration::ZERO) },
    };
    healthy.group = HEALTHY;
    (illness.sandbox, illness.spec) = match apart {
        Apart::Organisation => (None, None),
        Apart::Sandbox => (Some(0), None),
        Apart::Spec => (None, Some(0)),
    };
    plan.weather.illnesses.push(illness);
    let sick = Job { fate: fate(kind), ..Job::of(ill, from) };
    plan.burst(sick.grouped(ILL), ahead);
    if random.bool() {
        plan.stream(sick.grouped(ILL), random.f64() * 3.0 + 0.5, from, until);
    }
    // Sometimes before the ill ones, so that it is known; sometimes right behind them; sometimes after a silence.
    let begins = random.choice([Duration::ZERO, from, from + seconds(10), from + seconds(30)]).unwrap();
    let rate = random.f64() * 6.0 + 1.0;
    plan.stream(healthy, rate, begins, begins.max(from) + seconds(20));
    let behind = if begins < from + seconds(10) { ahead } else { 0 };
    let call = Duration::from_millis(plan.weather.latency.1 * 2);
    plan.check(move |ledger| ledger.p99_within("1 isolation", HEALTHY, bounds::healthy(call, behind)));
    recovers(&mut plan, ILL, from, until);
    plan
}

/// Credentials are an organisation's, and permissions at the least a sandbox's.
fn kind(random: &mut Rng, apart: Apart) -> Kind {
    let done = random.bool();
    let kinds = [
        Kind::Unavailable,
        Kind::ServerError { done },
        Kind::NotSent,
        Kind::Foreign,
        Kind::Hangs { done },
        Kind::Cut { done },
        Kind::Unauthorized,
        Kind::CredentialsRefused,
    ];
    let many = match apart {
        Apart::Organisation => kinds.len(),
        Apart::Sandbox => kinds.len() - 1,
        Apart::Spec => kinds.len() - 2,
    };
    kinds[random.usize(0..many)]
}

/// Who lacks a permission is refused for good.
fn fate(kind: Kind) -> Fate {
    if kind == Kind::Unauthorized { Fate::CreatedOrRefused } else { Fate::Created }
}
