//! Creates of organisation A fail, and ten seconds later organisation B sends: that B notices nothing.

use std::time::Duration;

use tokio::time::sleep;

use super::stream::{A, B, Stream};
use super::{Bound, Place, Program, Queues, Stand, Target, report};

const CONCURRENCY: u16 = 100;
const LATENCY: &str = "200ms";

/// All of A's creates are answered so.
const ILL: &str = r#"{"org":"A@AdobeOrg","fault":{"kind":"status","status":503}}"#;

const JOBS_OF_A: usize = 200;
const SILENCE: Duration = Duration::from_secs(10);

/// Jobs of B, 20 a second.
const OF_B: Stream = Stream { org: B, jobs: 300, pace: Duration::from_millis(50) };

pub(super) async fn run(stand: &Stand) -> Vec<Target> {
    let alone = measure(stand, 0).await;
    let beside = measure(stand, JOBS_OF_A).await;
    report::say(&format!("isolation: B's p99 is {:.3} s alone, and {:.3} s beside A", alone.1, beside.1));
    let answered = Bound::AtLeast(OF_B.jobs as f64);
    vec![
        Target::new("isolation: B's jobs answered while A's creates fail", answered, Some(beside.0 as f64)),
        Target::new(
            "isolation: B's p99 over what it is alone, in s",
            Bound::AtMost(1.0),
            Some(beside.1 - alone.1),
        ),
    ]
}

/// How many of B's jobs were answered, and the p99 of those in seconds.
async fn measure(stand: &Stand, jobs_of_a: usize) -> (usize, f64) {
    let place = Place::new(stand, Queues::Quorum).await;
    let simulator = stand.simulator(LATENCY);
    simulator.fault(ILL).await;
    let running = Program::Worker.start(&place.task(&simulator, CONCURRENCY), &stand.log());
    place.is_consumed().await;
    place.fill_for(A, &super::stream::prefix(A), jobs_of_a).await;
    sleep(SILENCE).await;
    let seen = OF_B.measure(&place).await;
    running.stop().await;
    (seen.answered(), seen.p99())
}
