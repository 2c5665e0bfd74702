//! Fewer calls may be made than jobs want: they end jobs that have begun.

use std::time::Duration;

use fastrand::Rng;

use super::seconds;
use crate::bounds;
use crate::flow::illness::Calls;
use crate::flow::truth::Made;
use crate::job::Job;
use crate::ledger::{Broken, Ledger, broken, milliseconds};
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
        // The last ones may have to wait for something else than calls.
        let answers = ledger.answers(0);
        let until = answers.iter().rev().nth(20.min(answers.len() / 4)).copied().unwrap_or_default();
        ledger.no_gap(
            "8 scarce calls",
            0,
            begins..Duration::from_millis(until.into()),
            bounds::scarce_gap(rate) + late,
        )
    });
    plan.check(move |ledger| rate_is_kept(ledger, rate));
    plan.done_by = bounds::scarce_all(SETTLE, rate, calls) + late;
    plan
}

/// In no ten seconds are there more calls than the rate allows; a few for a worker that began anew meanwhile.
fn rate_is_kept(ledger: &Ledger, rate: f64) -> Result<(), Broken> {
    const WINDOW: Duration = Duration::from_secs(10);
    let mut calls: Vec<_> = ledger.made.iter().filter(|made| made.calls != Calls::Tokens).collect();
    calls.sort_by_key(|made| made.at);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred")]
    let most = (rate * WINDOW.as_secs_f64()) as usize + 4;
    let too_many = |pair: &&[&Made]| pair[most].at.saturating_sub(pair[0].at) < milliseconds(WINDOW);
    match calls.windows(most + 1).find(too_many) {
        None => Ok(()),
        Some(pair) => broken(
            "8 scarce calls",
            Some(pair[0].job),
            format!("more than {most} calls in the {WINDOW:?} from {} ms, at {rate} a second", pair[0].at),
        ),
    }
}
