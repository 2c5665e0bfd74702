//! Three creates in ten fail, for certain before anything was done: how many calls a job costs.

use super::{Bound, Stand, Target, Work};
use crate::scenario::faults::calls;
use crate::stand::Http;

const JOBS: usize = 20_000;

/// The gateway's own code, after which nothing needs to be looked for.
const FAULT: &str = r#"{"rate":0.3,"fault":{"kind":"status","status":503,"form":"gateway","code":"503000"}}"#;

/// By default.
const RETRY_BUDGET: f64 = 0.2;

pub(super) async fn run(stand: &Stand) -> Vec<Target> {
    let simulator = stand.simulator_with("20ms", Http::Plain, &["--fault", FAULT]);
    let mut work = Work::begin(stand, simulator, JOBS).await;
    work.replies(JOBS).await;
    work.place.settled().await;
    let report = work.simulator.report().await;
    let created = work.created(JOBS).await;
    work.running.stop().await;
    let all = calls(&report) as f64 / JOBS as f64;
    vec![
        Target::new(
            "brown-out, 30 % fail: calls per job",
            Bound::AtMost(1.2 * (1.0 + RETRY_BUDGET)),
            Some(all),
        ),
        Target::new("brown-out: jobs created in the end", Bound::AtLeast(JOBS as f64), Some(created as f64)),
    ]
}
