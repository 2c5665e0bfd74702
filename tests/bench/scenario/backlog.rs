//! A backlog, with an API that answers at once: what the worker itself costs.

use super::drain::Backlog;
use super::{Options, Place, Queues, Section, Stand, report};

const JOBS: usize = 30_000;
const ROUNDS: usize = 5;
const CONCURRENCIES: [u16; 3] = [50, 200, 1000];

pub(super) async fn run(stand: &Stand, options: &Options) -> Section {
    let title = format!("{JOBS} jobs, API at once, by concurrency");
    let mut section = Section::new("backlog", title, options.compared());
    let place = Place::new(stand, Queues::Quorum).await;
    for round in 0..options.rounds(ROUNDS) {
        for concurrency in options.concurrencies(&CONCURRENCIES) {
            for program in options.programs(round) {
                let simulator = stand.simulator("0s");
                let task = place.task(&simulator, concurrency);
                let drained = Backlog::of(JOBS).run(stand, &place, &simulator, &program, &[task]).await;
                let case = concurrency.to_string();
                drained.add_to(&mut section, &case, program.as_str());
                report::progress(&section, &case, program.as_str());
            }
        }
    }
    section
}
