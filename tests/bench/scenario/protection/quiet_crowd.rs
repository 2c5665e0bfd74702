//! Twelve organisations send a job now and then, and one has a backlog: that it has nearly all places.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::stream::{A, prefix};
use super::{Bound, Place, Program, Queues, Stand, Target, report};

const CONCURRENCY: u16 = 32;
const LATENCY: &str = "300ms";

/// For them to become known.
const BEFORE: Duration = Duration::from_secs(15);

const CROWD: u32 = 12;
const EVERY: Duration = Duration::from_secs(10);

const BACKLOG: usize = 1_500;

/// Seconds that the backlog takes with every place.
const IDEAL: f64 = 14.0;

pub(super) async fn run(stand: &Stand) -> Vec<Target> {
    let place = Place::new(stand, Queues::Quorum).await;
    let simulator = stand.simulator(LATENCY);
    let running = Program::Worker.start(&place.task(&simulator, CONCURRENCY), &stand.log());
    place.is_consumed().await;
    let busy = async {
        sleep(BEFORE).await;
        let busy = prefix(A);
        let mut replies = place.consume_replies().await;
        let began = Instant::now();
        place.fill_for(A, &busy, BACKLOG).await;
        let mut missing = BACKLOG;
        while missing > 0 {
            let reply = replies.next().await;
            let id = reply.properties.correlation_id().clone().expect("the job's id");
            missing -= usize::from(id.as_str().starts_with(&busy));
        }
        replies.close().await;
        began.elapsed()
    };
    let took = tokio::select! {
        () = crowd(&place) => unreachable!("it never ends"),
        took = busy => took.as_secs_f64(),
    };
    running.stop().await;
    report::say(&format!("quiet crowd: {BACKLOG} jobs took {took:.1} s, ideally {IDEAL} s"));
    let most = Bound::AtMost(1.3);
    vec![Target::new("quiet crowd of 12: a backlog is done, times the ideal", most, Some(took / IDEAL))]
}

/// A job of each, one after the other, for ever.
async fn crowd(place: &Place) {
    let mut ticks = interval(EVERY / CROWD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0_u32.. {
        ticks.tick().await;
        let org = format!("quiet{}@AdobeOrg", number % CROWD);
        drop(place.publish_for(&org, &prefix(&org)).await);
    }
}
