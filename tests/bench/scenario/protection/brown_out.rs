//! Three creates in ten fail, for certain before anything was done: how many of them a job costs.
//!
//! Besides, a job that comes back from a retry queue is looked for, once for each time: its copy may have been done when it
//! was put there twice. Those calls repeat nothing that fails and are no matter of the budget; they are told, not bounded.

use tokio::time::Instant;

use super::{Bound, Stand, Target, Work, count, report};
use crate::scenario::faults::calls;
use crate::stand::Http;

const JOBS: usize = 20_000;

/// So many are waited for. Of the others some call has failed six times and more, and the delays between are minutes.
const MOST: usize = JOBS / 100 * 99;

/// The gateway's own code, after which nothing needs to be looked for.
const FAULT: &str = r#"{"rate":0.3,"fault":{"kind":"status","status":503,"form":"gateway","code":"503000"}}"#;

/// By default.
const RETRY_BUDGET: f64 = 0.2;

pub(super) async fn run(stand: &Stand) -> Vec<Target> {
    let simulator = stand.simulator_with("20ms", Http::Plain, &["--fault", FAULT]);
    let mut work = Work::begin(stand, simulator, JOBS).await;
    let began = Instant::now();
    work.replies(MOST).await;
    let took = began.elapsed();
    let counted = work.simulator.report().await;
    let attempts = count(&counted, "/requests/create");
    let others = calls(&counted) as f64 - attempts;
    let dead = work.place.dead().await;
    let created = work.created(MOST).await;
    work.running.stop().await;
    report::say(&format!(
        "brown-out: {MOST} of {JOBS} jobs were answered within {took:.1?}, with {:.3} look-ups each",
        others / MOST as f64
    ));
    let per_job = Bound::AtMost(1.2 * (1.0 + RETRY_BUDGET));
    vec![
        Target::new("brown-out, 30 % fail: creates per job", per_job, Some(attempts / MOST as f64)),
        Target::new("brown-out: jobs created of those", Bound::AtLeast(MOST as f64), Some(created as f64)),
        Target::new("brown-out: dead letters", Bound::AtMost(0.0), Some(dead as f64)),
    ]
}
