//! Many organisations that send a little, beside a busy one: it has nearly all places.

use std::time::Duration;

use fastrand::Rng;

use super::seconds;
use crate::bounds;
use crate::job::Job;
use crate::ledger::{broken, milliseconds};
use crate::plan::Plan;

const BUSY: u8 = 1;

pub(crate) fn plan(random: &mut Rng) -> Plan {
    let mut plan = Plan::new();
    let (slots, call) = (random.u32(16..40), 300);
    let crowd = if random.u8(0..8) == 0 { random.u32(200..500) } else { random.u32(8..60) };
    let busy = slots * random.u32(12..25);
    plan.set("concurrency", slots);
    plan.weather.latency = (call, call);
    let every = 10.0_f64.max(f64::from(crowd) / 20.0);
    let until = seconds(30);
    for org in 1..=crowd {
        let from = Duration::from_secs_f64(random.f64() * every);
        plan.stream(Job::of(org as usize, Duration::ZERO), 1.0 / every, from, until);
    }
    // The crowd is known by then.
    let begins = seconds(random.u64(0..12));
    plan.burst(Job::of(0, begins).grouped(BUSY), busy as usize);
    // A call, and a token for most of them.
    let taken_by_crowd = f64::from(crowd) / every * 0.6;
    let ideal = f64::from(busy) * 0.3 / (f64::from(slots) - taken_by_crowd);
    let two_calls = Duration::from_millis(call) * 2;
    // What slots allow is used once the first jobs are done, which wait for tokens, and the others have been looked through.
    let first = two_calls + seconds(1) + bounds::looking_through(busy as usize);
    plan.check(move |ledger| {
        let last = ledger.answers(BUSY).last().copied().unwrap_or(u32::MAX);
        let most = milliseconds(begins + first + Duration::from_secs_f64(ideal / bounds::USED));
        if last <= most {
            Ok(())
        } else {
            broken("3 work", None, format!("the busy one is done after {last} ms, at most {most}"))
        }
    });
    plan.check(move |ledger| ledger.p99_within("4 fairness", 0, bounds::healthy(two_calls, busy as usize)));
    plan.done_by = seconds(300);
    plan
}
