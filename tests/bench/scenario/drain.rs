//! A backlog that is worked off, watched from outside: by the depth of the reply queue, and by proc(5).

use std::time::Duration;

use tokio::time::Instant;

use crate::figures::{Metric, Section};
use crate::place::Place;
use crate::program::{Program, Running, Task, Usage};
use crate::stand::{Simulator, Stand};

/// How often the reply queue is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Without a further reply for so long, it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) const MIB: f64 = 1024.0 * 1024.0;

/// A backlog.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backlog {
    pub(crate) jobs: usize,
    /// Replies from which on it is measured.
    pub(crate) from: usize,
    /// Replies up to which it is measured.
    pub(crate) to: usize,
}

/// A look at it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) at: Instant,
    pub(crate) replies: usize,
    cpu: Duration,
    broker_cpu: Duration,
    simulator_cpu: Duration,
    /// Of the largest process, in MiB.
    pub(crate) rss: f64,
    peak_rss: f64,
}

/// How it went.
#[derive(Debug)]
pub(crate) struct Drained {
    pub(crate) jobs_per_second: f64,
    cpu_microseconds_per_job: f64,
    broker_cpu_microseconds_per_job: f64,
    simulator_cpu_microseconds_per_job: f64,
    peak_rss_mib: f64,
    pub(crate) moments: Vec<Moment>,
}

impl Backlog {
    /// The first fifth is there to warm up.
    pub(crate) fn of(jobs: usize) -> Self {
        Self { jobs, from: jobs / 5, to: jobs }
    }

    /// As many jobs as `slots` at a time finish in about `theory`, if each takes `latency`; at most `most`.
    ///
    /// Jobs that begin together end together: it is measured from the end of one such wave to the end of another.
    pub(crate) fn in_waves(slots: usize, latency: Duration, theory: Duration, most: usize) -> Self {
        let waves = theory.div_duration_f64(latency).ceil() as usize;
        let waves = waves.min(most / slots);
        Self { jobs: waves * slots, from: waves / 5 * slots, to: waves * slots }
    }

    /// Fills the queue, and has it worked off by one process for each task.
    pub(crate) async fn run(
        self,
        stand: &Stand,
        place: &Place,
        simulator: &Simulator,
        program: &Program,
        tasks: &[Task],
    ) -> Drained {
        place.purge().await;
        place.fill(self.jobs).await;
        let mut running: Vec<_> = tasks.iter().map(|task| program.start(task, &stand.log())).collect();
        let moments = self.watch(stand, place, simulator, &mut running).await;
        place.settled().await;
        for running in running {
            running.stop().await;
        }
        assert_eq!(place.replies().await, self.jobs, "one reply for each job");
        self.sum_up(moments)
    }

    async fn watch(
        &self,
        stand: &Stand,
        place: &Place,
        simulator: &Simulator,
        running: &mut [Running],
    ) -> Vec<Moment> {
        let mut moments: Vec<Moment> = Vec::new();
        let mut progress = Instant::now();
        loop {
            running.iter_mut().for_each(Running::assert_running);
            let replies = place.replies().await;
            if moments.last().is_none_or(|last| replies > last.replies) {
                progress = Instant::now();
                moments.push(look(running, stand, simulator, replies));
            }
            if replies >= self.jobs {
                return moments;
            }
            let is_stuck = progress.elapsed() > PATIENCE;
            assert!(!is_stuck, "no reply after {replies} of {}:\n{}", self.jobs, running[0].end_of_log());
            tokio::time::sleep(LOOK).await;
        }
    }

    fn sum_up(&self, moments: Vec<Moment>) -> Drained {
        let when = |replies: usize| {
            moments.iter().find(|moment| moment.replies >= replies).expect("it came to that")
        };
        let (begin, end) = (when(self.from), when(self.to));
        let jobs = (end.replies - begin.replies) as f64;
        let per_job = |cpu: Duration| cpu.as_secs_f64() * 1e6 / jobs;
        Drained {
            jobs_per_second: jobs / end.at.duration_since(begin.at).as_secs_f64(),
            cpu_microseconds_per_job: per_job(end.cpu.saturating_sub(begin.cpu)),
            broker_cpu_microseconds_per_job: per_job(end.broker_cpu.saturating_sub(begin.broker_cpu)),
            simulator_cpu_microseconds_per_job: per_job(
                end.simulator_cpu.saturating_sub(begin.simulator_cpu),
            ),
            peak_rss_mib: end.peak_rss,
            moments,
        }
    }
}

impl Drained {
    /// Adds what is of interest in every backlog.
    pub(crate) fn add_to(&self, section: &mut Section, case: &str, program: &str) {
        let mut add = |metric, value| section.add(case, program, metric, value);
        add(Metric::JobsPerSecond, self.jobs_per_second);
        add(Metric::CpuMicrosecondsPerJob, self.cpu_microseconds_per_job);
        add(Metric::BrokerCpuMicrosecondsPerJob, self.broker_cpu_microseconds_per_job);
        add(Metric::SimulatorCpuMicrosecondsPerJob, self.simulator_cpu_microseconds_per_job);
        add(Metric::PeakRssMib, self.peak_rss_mib);
    }
}

fn look(running: &[Running], stand: &Stand, simulator: &Simulator, replies: usize) -> Moment {
    let usages: Vec<_> = running.iter().map(Running::usage).collect();
    let largest = |bytes: &mut dyn Iterator<Item = u64>| bytes.max().unwrap_or_default() as f64 / MIB;
    Moment {
        at: Instant::now(),
        replies,
        cpu: usages.iter().map(|usage| usage.cpu).sum(),
        broker_cpu: Usage::of(stand.broker.process()).expect("the broker runs").cpu,
        simulator_cpu: Usage::of(simulator.process()).expect("the simulator runs").cpu,
        rss: largest(&mut usages.iter().map(|usage| usage.rss)),
        peak_rss: largest(&mut usages.iter().map(|usage| usage.peak_rss)),
    }
}
