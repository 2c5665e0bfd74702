//! The guard: a short look at whether the worker has become slow.

use super::drain::Backlog;
use super::{Metric, Options, Place, Queues, Section, Stand, report};
use crate::figures::RATIO;

const JOBS: usize = 12_000;
const CONCURRENCY: u16 = 200;
/// Not fewer: on a machine that others share, one round in five is far off.
const ROUNDS: usize = 5;
const CASE: &str = "200";

/// Jobs per second beside the bare loop, below which it fails.
const LEAST: f64 = 0.8;

/// Whether the worker is fast enough.
pub(super) async fn run(stand: &Stand, options: &Options) -> bool {
    let title = format!("{JOBS} jobs, API at once, by concurrency");
    let mut section = Section::new("quick", title, options.compared());
    let place = Place::new(stand, Queues::Quorum).await;
    for round in 0..options.rounds(ROUNDS) {
        for program in options.programs(round) {
            let simulator = stand.simulator("0s");
            let task = place.task(&simulator, CONCURRENCY);
            let drained = Backlog::of(JOBS).run(stand, &place, &simulator, &program, &[task]).await;
            drained.add_to(&mut section, CASE, program.as_str());
            report::progress(&section, CASE, program.as_str());
        }
    }
    let section = section.conclude();
    report::print(&section);
    let ratio = section.rounds(CASE, RATIO, Metric::JobsPerSecond).expect("both were measured").median();
    let [worker, other] = &section.compared;
    let verdict = if ratio < LEAST { "too slow" } else { "fast enough" };
    report::say(&format!(
        "\nThe {worker} is {verdict}: {ratio:.2} of the {other}'s jobs per second, {LEAST} at least are wanted."
    ));
    ratio >= LEAST
}
