//! One call in a hundred is refused although the credential is good.

use std::time::Duration;

use fastrand::Rng;

use super::seconds;
use crate::bounds;
use crate::flow::illness::{Calls, Illness, Kind};
use crate::job::Job;
use crate::ledger::{broken, milliseconds};
use crate::plan::Plan;

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    // Of fewer, the one that is kept for newcomers would be more than a tenth.
    let (slots, call) = (random.u32(16..32), 200);
    plan.set("concurrency", slots);
    plan.weather.latency = (call, call);
    plan.weather.one_credential = random.bool();
    let ill = Illness { share: 0.01, ..Illness::new(Calls::Creates, Kind::CredentialsRefused) };
    plan.weather.illnesses.push(ill);
    let (orgs, rounds) = (random.u32(1..4), 60);
    for org in 0..orgs {
        plan.burst(Job::of(org as usize, Duration::ZERO), (slots * rounds / orgs) as usize);
    }
    let ideal = Duration::from_millis(call) * rounds;
    plan.check(move |ledger| {
        // Those that were refused wait for their own retry.
        let answers = ledger.answers(0);
        let last = answers.get(answers.len() * 97 / 100).copied().unwrap_or(u32::MAX);
        let most = milliseconds(ideal.div_f64(bounds::USED) + seconds(2));
        if last <= most {
            Ok(())
        } else {
            broken("9 refusals", None, format!("done after {last} ms, at most {most}"))
        }
    });
    plan.done_by = seconds(300);
    plan
}
