//! A long backlog: whether memory and speed stay as they are.

use std::time::Duration;

use super::drain::{Backlog, Moment};
use super::{Metric, Options, Place, Queues, Rounds, Section, Stand, report};
use crate::program::Program;

const JOBS: usize = 300_000;
const CONCURRENCY: u16 = 200;
const CASE: &str = "200";

/// Between two points of the curves.
const STEP: Duration = Duration::from_millis(500);

pub(crate) const RSS: &str = "RSS in MiB";
pub(crate) const RATE: &str = "jobs/s";

pub(super) async fn run(stand: &Stand, options: &Options) -> Section {
    let title = format!("{JOBS} jobs at {CONCURRENCY}, API at once: the last fifth against the second");
    let mut section = Section::new("long-backlog", title, options.compared());
    let place = Place::new(stand, Queues::Quorum).await;
    let simulator = stand.simulator("0s");
    let task = place.task(&simulator, CONCURRENCY);
    let drained = Backlog::of(JOBS).run(stand, &place, &simulator, &Program::Worker, &[task]).await;
    place.purge().await;
    // It begins with the first reply.
    let moments = &drained.moments[drained.moments.partition_point(|moment| moment.replies == 0)..];
    let (second, last) = (fifth(moments, 1), fifth(moments, 4));
    let worker = Program::Worker.as_str();
    let change = |from: f64, to: f64| (to / from - 1.0) * 100.0;
    section.add(CASE, worker, Metric::JobsPerSecond, drained.jobs_per_second);
    section.add(CASE, worker, Metric::RssGrowthPercent, change(median_rss(second), median_rss(last)));
    section.add(CASE, worker, Metric::RateChangePercent, change(rate(second), rate(last)));
    report::progress(&section, CASE, worker);
    let points = thinned(moments);
    let seconds = |moment: &Moment| (moment.at - moments[0].at).as_secs_f64();
    section.draw(RSS, points.iter().map(|moment| (seconds(moment), moment.rss)));
    section.draw(RATE, points.windows(2).map(|pair| (seconds(&pair[1]), rate(pair))));
    section
}

/// The moments of one fifth of the replies, counted from 0.
fn fifth(moments: &[Moment], number: usize) -> &[Moment] {
    let begin = moments.partition_point(|moment| moment.replies < JOBS / 5 * number);
    let end = moments.partition_point(|moment| moment.replies <= JOBS / 5 * (number + 1));
    &moments[begin..end]
}

fn median_rss(moments: &[Moment]) -> f64 {
    Rounds(moments.iter().map(|moment| moment.rss).collect()).median()
}

/// Jobs per second from the first to the last of some moments.
fn rate(moments: &[Moment]) -> f64 {
    let (first, last) = (moments.first().expect("a moment"), moments.last().expect("a moment"));
    (last.replies - first.replies) as f64 / (last.at - first.at).as_secs_f64()
}

/// Moments that are at least a step apart.
fn thinned(moments: &[Moment]) -> Vec<Moment> {
    let mut kept: Vec<Moment> = Vec::new();
    for moment in moments {
        if kept.last().is_none_or(|last| moment.at - last.at >= STEP) {
            kept.push(*moment);
        }
    }
    kept
}
