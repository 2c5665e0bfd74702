//! More processes on one queue: whether so many are so many times as fast.

use std::collections::HashMap;
use std::time::Duration;

use super::drain::Backlog;
use super::{Metric, Options, Place, Queues, Section, Stand, report};

const PROCESSES: [u16; 3] = [1, 2, 4];
const CONCURRENCY: u16 = 64;
const LATENCY: Duration = Duration::from_millis(300);
const THEORY: Duration = Duration::from_secs(8);
const ROUNDS: usize = 3;

pub(super) async fn run(stand: &Stand, options: &Options) -> Section {
    let title = "by number of processes with 64 jobs at a time each, API 300 ms";
    let mut section = Section::new("scaling", title, options.compared());
    let place = Place::new(stand, Queues::Quorum).await;
    for round in 0..options.rounds(ROUNDS) {
        let mut alone = HashMap::new();
        for processes in PROCESSES {
            for program in options.programs(round) {
                let simulator = stand.simulator("300ms");
                let tasks = vec![place.task(&simulator, CONCURRENCY); processes.into()];
                let slots = usize::from(processes * CONCURRENCY);
                let backlog = Backlog::in_waves(slots, LATENCY, THEORY, usize::MAX);
                let drained = backlog.run(stand, &place, &simulator, &program, &tasks).await;
                let (case, program) = (processes.to_string(), program.as_str());
                let one = *alone.entry(program).or_insert(drained.jobs_per_second);
                section.add(&case, program, Metric::JobsPerSecond, drained.jobs_per_second);
                section.add(&case, program, Metric::SpeedUp, drained.jobs_per_second / one);
                report::progress(&section, &case, program);
            }
        }
    }
    section
}
