//! Jobs that come at their own pace, whatever becomes of them: what the worker adds to the API's time.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Metric, Options, Place, Queues, Section, Stand, report};
use crate::figures::quantile;
use crate::place::{Replies, unseen};
use crate::program::Program;

const ROUNDS: usize = 3;
/// Between two jobs: 1,000 a second.
const PACE: Duration = Duration::from_millis(1);
const JOBS: usize = 20_000;
/// The first three seconds.
const DROPPED: usize = 3_000;
const CONCURRENCY: u16 = 256;
const API_MS: f64 = 20.0;
const CASE: &str = "1000/s";

/// The curve's points stand as close at the far end, where it matters.
const POINTS: u32 = 100;
/// It ends at 99.9 %.
const NINES: f64 = 3.0;

pub(super) async fn run(stand: &Stand, options: &Options) -> Section {
    let title = "1,000 jobs/s for 20 s, API 20 ms: from job published to reply seen, less 20 ms";
    let compared = options.compared();
    let mut section = Section::new("open-loop", title, compared);
    let place = Place::new(stand, Queues::Quorum).await;
    let mut pooled = [Vec::new(), Vec::new()];
    for round in 0..options.rounds(ROUNDS) {
        for program in options.programs(round) {
            let mut added = one(stand, &place, &program).await;
            added.sort_by(f64::total_cmp);
            let name = program.as_str();
            section.add(CASE, name, Metric::AddedP50Ms, quantile(&added, 0.5));
            section.add(CASE, name, Metric::AddedP99Ms, quantile(&added, 0.99));
            section.add(CASE, name, Metric::AddedP999Ms, quantile(&added, 0.999));
            report::progress(&section, CASE, name);
            pooled[usize::from(name != compared[0])].extend(added);
        }
    }
    for (name, mut added) in compared.into_iter().zip(pooled) {
        added.sort_by(f64::total_cmp);
        section.draw(name, distribution(&added));
    }
    section
}

/// Runs one program; what it added to each job, in milliseconds.
async fn one(stand: &Stand, place: &Place, program: &Program) -> Vec<f64> {
    place.purge().await;
    let simulator = stand.simulator(&format!("{API_MS}ms"));
    let mut running = program.start(&place.task(&simulator, CONCURRENCY), &stand.log());
    place.is_consumed().await;
    let seen = tokio::spawn(watch(place.consume_replies().await));
    let published = publish(place).await;
    let seen = seen.await.unwrap_or_else(|error| panic!("{error}:\n{}", running.end_of_log()));
    running.assert_running();
    place.settled().await;
    running.stop().await;
    let times = published.iter().zip(seen).skip(DROPPED);
    times.map(|(published, seen)| (seen - *published).as_secs_f64() * 1e3 - API_MS).collect()
}

/// Publishes on schedule, and catches up when it is late; when each job was published.
async fn publish(place: &Place) -> Vec<Instant> {
    let prefix = unseen();
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut published = Vec::with_capacity(JOBS);
    for number in 0..JOBS {
        ticks.tick().await;
        published.push(Instant::now());
        // The reply confirms it.
        drop(place.publish(&format!("{prefix}-{number}")).await);
    }
    published
}

/// When the first reply to each job came.
async fn watch(mut replies: Replies) -> Vec<Instant> {
    let mut seen = vec![None; JOBS];
    let mut missing = JOBS;
    while missing > 0 {
        let reply = replies.next().await;
        let id = reply.properties.correlation_id().clone().expect("the job's id");
        let (_, number) = id.as_str().rsplit_once('-').expect("a number at its end");
        let job = &mut seen[number.parse::<usize>().expect("a number")];
        missing -= usize::from(job.is_none());
        job.get_or_insert_with(Instant::now);
    }
    replies.close().await;
    seen.into_iter().flatten().collect()
}

/// Quantiles from 0 to 99.9 %: (percent, milliseconds).
fn distribution(sorted: &[f64]) -> impl Iterator<Item = (f64, f64)> {
    (0..=POINTS).map(|point| {
        let share = 1.0 - 10f64.powf(-NINES * f64::from(point) / f64::from(POINTS));
        (share * 100.0, quantile(sorted, share))
    })
}
