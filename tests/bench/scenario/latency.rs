//! A backlog, with an API that takes its time: whether all the calls that may be under way are under way.

use std::time::Duration;

use super::drain::Backlog;
use super::{Metric, Options, Place, Queues, Section, Stand, report};

const LATENCIES_MS: [u32; 2] = [50, 300];
const CONCURRENCIES: [u16; 2] = [256, 1000];
const ROUNDS: usize = 3;
const THEORY: Duration = Duration::from_secs(6);
const MOST_JOBS: usize = 60_000;

pub(super) async fn run(stand: &Stand, options: &Options) -> Section {
    let title = "backlog, by API latency and concurrency; theory is concurrency / latency";
    let mut section = Section::new("latency", title, options.compared());
    let place = Place::new(stand, Queues::Quorum).await;
    for round in 0..options.rounds(ROUNDS) {
        for latency in LATENCIES_MS {
            for concurrency in options.concurrencies(&CONCURRENCIES) {
                for program in options.programs(round) {
                    let simulator = stand.simulator(&format!("{latency}ms"));
                    let task = place.task(&simulator, concurrency);
                    let time = Duration::from_millis(latency.into());
                    let backlog = Backlog::in_waves(concurrency.into(), time, THEORY, MOST_JOBS);
                    let drained = backlog.run(stand, &place, &simulator, &program, &[task]).await;
                    let theory = f64::from(concurrency) / time.as_secs_f64();
                    let share = drained.jobs_per_second / theory * 100.0;
                    let (case, program) = (format!("{latency} ms, {concurrency}"), program.as_str());
                    section.add(&case, program, Metric::JobsPerSecond, drained.jobs_per_second);
                    section.add(&case, program, Metric::ShareOfTheoryPercent, share);
                    report::progress(&section, &case, program);
                }
            }
        }
    }
    section
}
