//! A line for each job in the log, or none: what logging costs.

use super::drain::Backlog;
use super::{Options, Place, Queues, Section, Stand, report};
use crate::program::Program;

const JOBS: usize = 30_000;
const CONCURRENCY: u16 = 200;
const ROUNDS: usize = 5;
const CASE: &str = "200";

const ON: &str = "logs on";
const OFF: &str = "logs off";

pub(super) async fn run(stand: &Stand, options: &Options) -> Section {
    let title =
        format!("{JOBS} jobs at {CONCURRENCY}, API at once: the worker with its usual log and with none");
    let mut section = Section::new("logs", title, [ON, OFF]);
    let place = Place::new(stand, Queues::Quorum).await;
    for round in 0..options.rounds(ROUNDS) {
        let turns = if round.is_multiple_of(2) { [OFF, ON] } else { [ON, OFF] };
        for logs in turns {
            let simulator = stand.simulator("0s");
            let mut task = place.task(&simulator, CONCURRENCY);
            if logs == OFF {
                task.env.push(("RUST_LOG", "off".to_owned()));
            }
            let drained = Backlog::of(JOBS).run(stand, &place, &simulator, &Program::Worker, &[task]).await;
            drained.add_to(&mut section, CASE, logs);
            report::progress(&section, CASE, logs);
        }
    }
    section
}
