//! One job: how soon a new process answers it, and what the process costs when there is nothing more to do.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::drain::MIB;
use super::{Metric, Options, Place, Queues, Section, Stand, report};
use crate::program::{Program, Running};

const ROUNDS: usize = 10;
/// The rounds in which it is left idle for a while.
const IDLE_ROUNDS: usize = 3;
const IDLE: Duration = Duration::from_secs(10);
const CONCURRENCY: u16 = 200;
const CASE: &str = "one job";

pub(super) async fn run(stand: &Stand, options: &Options) -> Section {
    let title = "process start to first reply with one job waiting; then 10 s without a job";
    let mut section = Section::new("start", title, options.compared());
    let place = Place::new(stand, Queues::Quorum).await;
    // The first start of all creates the worker's other queues.
    first_reply(stand, &place, &Program::Worker).await.1.stop().await;
    for round in 0..options.rounds(ROUNDS) {
        for program in options.programs(round) {
            let (time, running) = first_reply(stand, &place, &program).await;
            let name = program.as_str();
            section.add(CASE, name, Metric::FirstReplyMs, time.as_secs_f64() * 1e3);
            if round < IDLE_ROUNDS {
                let before = running.usage();
                sleep(IDLE).await;
                let after = running.usage();
                let cpu = after.cpu.saturating_sub(before.cpu).div_duration_f64(IDLE) * 100.0;
                section.add(CASE, name, Metric::IdleCpuPercent, cpu);
                section.add(CASE, name, Metric::IdleRssMib, after.rss as f64 / MIB);
            }
            report::progress(&section, CASE, name);
            running.stop().await;
        }
    }
    section
}

async fn first_reply(stand: &Stand, place: &Place, program: &Program) -> (Duration, Running) {
    place.purge().await;
    let simulator = stand.simulator("0s");
    place.fill(1).await;
    let mut replies = place.consume_replies().await;
    let start = Instant::now();
    let running = program.start(&place.task(&simulator, CONCURRENCY), &stand.log());
    replies.next().await;
    let time = start.elapsed();
    replies.close().await;
    place.settled().await;
    (time, running)
}
