//! Flow Service is down for two minutes, with jobs waiting: that it is left in peace, and that nothing becomes of the jobs.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Bound, CONCURRENCY, Stand, Target, Work, report};
use crate::scenario::faults::calls;

const JOBS: usize = 20_000;
const OUTAGE: Duration = Duration::from_secs(120);
const DOWN: &str = r#"{"endpoint":"any","fault":{"kind":"status","status":503}}"#;

/// By default a breaker opens after so many failures.
const FAILURES: usize = 20;

/// A probe every 3 to 4 seconds, after the first few.
const PROBES: usize = 120 / 3 + 3;

pub(super) async fn run(stand: &Stand) -> Vec<Target> {
    let mut work = Work::begin(stand, stand.simulator("20ms"), JOBS).await;
    work.replies(JOBS / 10).await;
    work.simulator.fault(DOWN).await;
    let before = work.simulator.report().await;
    sleep(OUTAGE).await;
    let after = work.simulator.report().await;
    let answered = work.place.replies().await;
    work.simulator.clear_faults().await;
    let back = Instant::now();
    work.replies(answered + 1).await;
    let resumed = back.elapsed();
    work.replies(JOBS).await;
    let all = back.elapsed();
    work.place.settled().await;
    let dead = work.place.dead().await;
    assert_eq!(work.place.replies().await, JOBS, "one reply for each job");
    let created = work.created(JOBS).await;
    work.running.stop().await;
    report::say(&format!("outage: all {JOBS} jobs were answered {all:.1?} after it"));
    let called = (calls(&after) - calls(&before)) as f64;
    let budget = (usize::from(CONCURRENCY) + FAILURES + PROBES) as f64;
    vec![
        Target::new("outage of 2 minutes: calls meanwhile", Bound::AtMost(budget), Some(called)),
        Target::new("outage: dead letters", Bound::AtMost(0.0), Some(dead as f64)),
        Target::new("outage: jobs created in the end", Bound::AtLeast(JOBS as f64), Some(created as f64)),
        Target::new("outage: first reply after it, in s", Bound::AtMost(5.0), Some(resumed.as_secs_f64())),
    ]
}
