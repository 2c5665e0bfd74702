//! The first create of each job is done, and its answer lost: a look-up finds it, and the job is answered.

use tokio::time::{Instant, sleep};

use super::{Bound, Stand, Target, Work, count, report};
use crate::stand::Http;

const JOBS: usize = 300;

/// The connection is cut when the create is done, once for each job: no job needs a second create.
const LOST: &str = r#"{"count":300,"when":"after","fault":{"kind":"close"}}"#;

/// Seconds in which all are to be answered.
const MOST: f64 = 30.0;

pub(super) async fn run(stand: &Stand) -> Vec<Target> {
    let simulator = stand.simulator_with("20ms", Http::Plain, &["--fault", LOST]);
    let work = Work::begin(stand, simulator, JOBS).await;
    let began = Instant::now();
    while began.elapsed().as_secs_f64() < MOST && work.place.replies().await < JOBS {
        sleep(super::LOOK).await;
    }
    let answered = work.place.replies().await;
    let took = began.elapsed();
    let counted = work.simulator.report().await;
    work.running.stop().await;
    report::say(&format!("lost answers: {answered} of {JOBS} jobs were answered within {took:.1?}"));
    let created = count(&counted, "/created");
    vec![
        Target::new(
            format!("lost answers: jobs answered within {MOST} s"),
            Bound::AtLeast(JOBS as f64),
            Some(answered as f64),
        ),
        Target::new("lost answers: connections", Bound::AtMost(JOBS as f64), Some(created)),
    ]
}
