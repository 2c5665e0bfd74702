//! Flow Service bears only so many calls a second, and answers 429 beyond: how much of that is made use of, and how many
//! calls are made in vain.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{Bound, Stand, Target, Work, count};
use crate::stand::Http;

/// What is borne in a second, and whether a 429 says when to come again.
const CAPACITIES: [(u32, bool); 3] = [(50, false), (200, true), (800, false)];

const SETTLING: Duration = Duration::from_secs(20);
const MEASURED: Duration = Duration::from_secs(60);

/// More jobs than can be done meanwhile, in seconds.
const BACKLOG: usize = 100;

pub(super) async fn run(stand: &Stand) -> Vec<Target> {
    let mut targets = Vec::new();
    for (capacity, tells_when) in CAPACITIES {
        let given = capacity.to_string();
        let mut args = vec!["--capacity", &given];
        args.extend(tells_when.then_some("--retry-after"));
        let simulator = stand.simulator_with("20ms", Http::Plain, &args);
        let work = Work::begin(stand, simulator, capacity as usize * BACKLOG).await;
        let (used, throttled) = measure(work, capacity).await;
        let how = if tells_when { ", with Retry-After" } else { "" };
        targets.extend([
            Target::new(
                format!("throttling at {capacity}/s{how}: share made use of"),
                Bound::AtLeast(0.9),
                Some(used),
            ),
            Target::new(
                format!("throttling at {capacity}/s{how}: share of calls answered 429"),
                Bound::AtMost(0.05),
                Some(throttled),
            ),
        ]);
    }
    targets
}

/// Shares of the capacity that is made use of, and of the calls that are answered 429.
async fn measure(mut work: Work, capacity: u32) -> (f64, f64) {
    work.replies(1).await;
    let begin = Instant::now() + SETTLING;
    sleep_until(begin).await;
    let before = work.simulator.report().await;
    sleep_until(begin + MEASURED).await;
    let after = work.simulator.report().await;
    work.running.assert_running();
    let counted = |pointer: &str| count(&after, pointer) - count(&before, pointer);
    let (created, refused) = (counted("/created"), counted("/statuses/429"));
    (created / MEASURED.as_secs_f64() / f64::from(capacity), refused / (created + refused))
}
