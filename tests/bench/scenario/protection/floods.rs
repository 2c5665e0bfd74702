//! Organisations A and C flood the queue at once, beside some jobs of B; and a flood of A's before one worker and four.

use std::time::Duration;

use tokio::time::sleep;

use super::stream::{A, B, C, Stream, prefix};
use super::{Bound, Place, Program, Queues, Stand, Target, report};

const CONCURRENCY: u16 = 64;
const LATENCY: &str = "200ms";

/// Jobs of each flood.
const FLOOD: usize = 5_000;

/// When the floods have been there for this long, B begins.
const AFTER: Duration = Duration::from_secs(2);

/// Jobs of B, ten a second.
const OF_B: Stream = Stream { org: B, jobs: 100, pace: Duration::from_millis(100) };

pub(super) async fn run(stand: &Stand) -> Vec<Target> {
    let alone = measure(stand, &[], 1).await;
    let mut targets = Vec::new();
    for (name, floods, workers) in
        [("two floods", &[A, C][..], 1), ("a flood, one worker", &[A], 1), ("a flood, four workers", &[A], 4)]
    {
        let beside = measure(stand, floods, workers).await;
        report::say(&format!("{name}: B's p99 is {alone:.3} s alone, and {beside:.3} s beside"));
        targets.push(Target::new(
            format!("{name}: B's p99 over what it is alone, in s"),
            Bound::AtMost(1.0),
            Some(beside - alone),
        ));
    }
    targets
}

/// The p99 of B's jobs in seconds.
async fn measure(stand: &Stand, floods: &[&str], workers: usize) -> f64 {
    let place = Place::new(stand, Queues::Quorum).await;
    let simulator = stand.simulator(LATENCY);
    let task = place.task(&simulator, CONCURRENCY);
    let running: Vec<_> = (0..workers).map(|_| Program::Worker.start(&task, &stand.log())).collect();
    place.is_consumed().await;
    for org in floods {
        place.fill_for(org, &prefix(org), FLOOD).await;
    }
    sleep(AFTER).await;
    let seen = OF_B.measure(&place).await;
    // The rest of a flood is nobody's concern.
    drop(running);
    seen.p99()
}
