//! The creates of some jobs fail always, others' do not: they are given up after as many attempts as they may have.

use std::time::Duration;

use fastrand::Rng;

use super::seconds;
use crate::flow::illness::Calls;
use crate::job::{Fate, Job};
use crate::ledger::{Broken, Ledger, broken};
use crate::plan::Plan;

const HOPELESS: u8 = 1;

/// `RETRY_ATTEMPTS`.
const ATTEMPTS: u32 = 12;

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    plan.stream(Job::of(0, Duration::ZERO), random.f64() * 2.0 + 1.0, Duration::ZERO, seconds(60));
    for _ in 0..random.usize(1..5) {
        let at = seconds(random.u64(0..30));
        plan.jobs.push(Job { fate: Fate::Exhausted, ..Job::of(0, at).grouped(HOPELESS) });
    }
    // Hours less to simulate.
    plan.set("retry-max", "30s");
    plan.check(attempts_are_counted);
    plan.done_by = seconds(3_600);
    plan
}

fn attempts_are_counted(ledger: &Ledger) -> Result<(), Broken> {
    for (number, job) in ledger.numbered().filter(|(_, job)| job.group == HOPELESS) {
        let creates = ledger.creates(number);
        let answered = ledger.seen.answered.contains_key(&number);
        // One that a lost reply has the worker make again is more than enough.
        if answered && creates != ATTEMPTS {
            let text = format!("{creates} creates of a job of {:?}, not {ATTEMPTS}", job.fate);
            return broken("5 politeness", Some(number), text);
        }
    }
    let creates = ledger.calls(Calls::Creates, None, Duration::ZERO, Duration::MAX);
    let most = ledger.jobs.len() + ledger.latencies(HOPELESS).len() * ATTEMPTS as usize;
    if creates > most {
        return broken("5 politeness", None, format!("{creates} creates, at most {most}"));
    }
    Ok(())
}
