//! Organisation B has a few jobs a second. How long they take from publish to reply: alone, beside a flood of A's, and
//! while A's calls hang.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{Bound, Place, Program, Queues, Simulator, Stand, Target, report};
use crate::figures::quantile;
use crate::place::{Replies, unseen};

const A: &str = "A@AdobeOrg";
const B: &str = "B@AdobeOrg";

const CONCURRENCY: u16 = 100;
const LATENCY: &str = "200ms";
const LATENCY_S: f64 = 0.2;

/// Between two jobs of B: 20 a second.
const PACE: Duration = Duration::from_millis(50);
const JOBS_OF_B: usize = 1_200;

/// When A's jobs come.
const AFTER: Duration = Duration::from_secs(5);
const FLOOD: usize = 20_000;
const HANGING: usize = 2_000;

const HANG: &str = r#"{"org":"A@AdobeOrg","fault":{"kind":"hang"}}"#;

/// For a further reply to A's jobs, which can be in a retry queue.
const PATIENCE: Duration = Duration::from_secs(11 * 60);

pub(super) async fn run(stand: &Stand) -> Vec<Target> {
    let alone = Measured::of(stand, 0, None).await;
    alone.say("B alone");
    let flood = Measured::of(stand, FLOOD, None).await;
    flood.say(&format!("B beside {FLOOD} jobs of A"));
    let hanging = Measured::of(stand, HANGING, Some(HANG)).await;
    hanging.say("B while A's calls hang");
    let done = flood.done.expect("A's jobs are done").as_secs_f64();
    let theory = FLOOD as f64 / (f64::from(CONCURRENCY) / LATENCY_S);
    report::say(&format!("A's {FLOOD} jobs took {done:.0} s; alone, and with nothing else, {theory:.0} s"));
    vec![
        Target::new(
            "fairness: B's p50 beside A's flood, times alone",
            Bound::AtMost(1.5),
            Some(flood.p50 / alone.p50),
        ),
        Target::new(
            "fairness: B's p99 beside A's flood over what it is alone, in s",
            Bound::AtMost(1.0),
            Some(flood.p99 - alone.p99),
        ),
        Target::new(
            "fairness: B's p50 while A hangs, times alone",
            Bound::AtMost(1.5),
            Some(hanging.p50 / alone.p50),
        ),
        Target::new(
            "fairness: B's p99 while A hangs over what it is alone, in s",
            Bound::AtMost(1.0),
            Some(hanging.p99 - alone.p99),
        ),
        Target::new("fairness: A's flood is done, times alone", Bound::AtMost(1.3), Some(done / theory)),
    ]
}

/// Seconds from publish to reply, and how long A's jobs took.
struct Measured {
    p50: f64,
    p99: f64,
    worst: f64,
    done: Option<Duration>,
}

impl Measured {
    async fn of(stand: &Stand, jobs_of_a: usize, fault: Option<&str>) -> Self {
        let place = Place::new(stand, Queues::Quorum).await;
        let simulator: Simulator = stand.simulator(LATENCY);
        if let Some(fault) = fault {
            simulator.fault(fault).await;
        }
        let running = Program::Worker.start(&place.task(&simulator, CONCURRENCY), &stand.log());
        place.is_consumed().await;
        let awaited = if fault.is_some() { 0 } else { jobs_of_a };
        let prefixes = [A, B].map(|org| format!("{org}-{}", unseen()).replace('@', "."));
        let [of_a, of_b] = &prefixes;
        let seen = tokio::spawn(watch(place.consume_replies().await, of_b.clone(), awaited));
        let flood = async {
            sleep(AFTER).await;
            let begun = Instant::now();
            place.fill_for(A, of_a, jobs_of_a).await;
            begun
        };
        let (published, begun) = tokio::join!(publish(&place, of_b), flood);
        let (seen, last_of_a) =
            seen.await.unwrap_or_else(|error| panic!("{error}:\n{}", running.end_of_log()));
        running.stop().await;
        let times = published.iter().zip(seen);
        let mut times: Vec<f64> = times.map(|(published, seen)| (seen - *published).as_secs_f64()).collect();
        times.sort_by(f64::total_cmp);
        Self {
            p50: quantile(&times, 0.5),
            p99: quantile(&times, 0.99),
            worst: quantile(&times, 1.0),
            done: last_of_a.map(|last| last - begun),
        }
    }

    fn say(&self, case: &str) {
        let Self { p50, p99, worst, .. } = self;
        report::say(&format!("{case}: p50 {p50:.3} s, p99 {p99:.3} s, worst {worst:.3} s"));
    }
}

/// Publishes B's jobs on schedule; when each was published.
async fn publish(place: &Place, prefix: &str) -> Vec<Instant> {
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut published = Vec::with_capacity(JOBS_OF_B);
    for number in 0..JOBS_OF_B {
        ticks.tick().await;
        published.push(Instant::now());
        // The reply confirms it.
        drop(place.publish_for(B, &format!("{prefix}-{number}")).await);
    }
    published
}

/// When the first reply to each of B's jobs came, and the last to one of so many of A's.
async fn watch(mut replies: Replies, of_b: String, jobs_of_a: usize) -> (Vec<Instant>, Option<Instant>) {
    let mut seen = vec![None; JOBS_OF_B];
    let (mut missing, mut of_a, mut last_of_a) = (JOBS_OF_B, 0, None);
    while missing > 0 || of_a < jobs_of_a {
        let reply = replies.next_within(PATIENCE).await;
        let id = reply.properties.correlation_id().clone().expect("the job's id");
        let (prefix, number) = id.as_str().rsplit_once('-').expect("a number at its end");
        if prefix == of_b {
            let job: &mut Option<Instant> = &mut seen[number.parse::<usize>().expect("a number")];
            missing -= usize::from(job.is_none());
            job.get_or_insert_with(Instant::now);
        } else {
            of_a += 1;
            last_of_a = Some(Instant::now());
        }
    }
    replies.close().await;
    (seen.into_iter().flatten().collect(), last_of_a)
}
