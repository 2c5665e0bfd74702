//! What can be switched off, logs and traces: what each costs.

use super::drain::Backlog;
use super::{Options, Place, Queues, Section, Stand, report};
use crate::collector::Collector;
use crate::program::Program;

const JOBS: usize = 30_000;
const CONCURRENCY: u16 = 200;
const ROUNDS: usize = 5;
const CASE: &str = "200";

/// A way of running the worker: what it is called, and what the worker is told.
type Position = (&'static str, Vec<(&'static str, String)>);

/// A line for each job in the log, or none.
pub(super) async fn logs(stand: &Stand, options: &Options) -> Section {
    let on = ("logs on", Vec::new());
    let off = ("logs off", vec![("RUST_LOG", "off".to_owned())]);
    compare(stand, options, "logs", "its usual log and with none", [on, off]).await
}

/// Every job followed and told to a collector, or none.
pub(super) async fn traces(stand: &Stand, options: &Options) -> Section {
    let collector = Collector::start().await;
    let on = ("traces on", vec![("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.clone())]);
    let off = ("traces off", Vec::new());
    let section = compare(stand, options, "traces", "a trace of every job and with none", [on, off]).await;
    assert!(collector.batches() > 0, "no trace was exported");
    section
}

async fn compare(
    stand: &Stand,
    options: &Options,
    name: &str,
    what: &str,
    positions: [Position; 2],
) -> Section {
    let title = format!("{JOBS} jobs at {CONCURRENCY}, API at once: the worker with {what}");
    let mut section = Section::new(name, title, [positions[0].0, positions[1].0]);
    let place = Place::new(stand, Queues::Quorum).await;
    for round in 0..options.rounds(ROUNDS) {
        let mut turns = positions.clone();
        turns.rotate_left(round % 2);
        for (position, env) in turns {
            let simulator = stand.simulator("0s");
            let mut task = place.task(&simulator, CONCURRENCY);
            task.env.extend(env);
            let drained = Backlog::of(JOBS).run(stand, &place, &simulator, &Program::Worker, &[task]).await;
            drained.add_to(&mut section, CASE, position);
            report::progress(&section, CASE, position);
        }
    }
    section
}
