//! A backlog, with an API that answers at once: what the worker itself costs.

use super::drain::Backlog;
use super::{Metric, Options, Place, Queues, Section, Stand};

const JOBS: usize = 30_000;
const ROUNDS: usize = 5;
pub(crate) const CONCURRENCIES: [u16; 3] = [50, 200, 1000];

pub(super) async fn run(stand: &Stand, options: &Options) -> Section {
    let mut section = Section::new("backlog", format!("backlog of {JOBS}, API at once, by concurrency"));
    let place = Place::new(stand, Queues::Quorum).await;
    for round in 0..options.rounds(ROUNDS) {
        for concurrency in options.concurrencies() {
            for program in options.programs(round) {
                let simulator = stand.simulator("0s");
                let task = place.task(&simulator, concurrency);
                let drained = Backlog::of(JOBS).run(stand, &place, &simulator, &program, &[task]).await;
                let case = concurrency.to_string();
                let mut add = |metric, value| section.add(&case, &program, metric, value);
                add(Metric::JobsPerSecond, drained.jobs_per_second);
                add(Metric::CpuMicrosecondsPerJob, drained.cpu_microseconds_per_job);
                add(Metric::BrokerCpuMicrosecondsPerJob, drained.broker_cpu_microseconds_per_job);
                add(Metric::SimulatorCpuMicrosecondsPerJob, drained.simulator_cpu_microseconds_per_job);
                add(Metric::PeakRssMib, drained.peak_rss_mib);
            }
        }
    }
    section
}
