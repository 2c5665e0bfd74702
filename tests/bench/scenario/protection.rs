//! What the worker does for an ill Flow Service, and for organisations beside one another, in figures. It is held to bounds,
//! and compared with nothing: a bare loop has no such manners.

mod brown_out;
mod fairness;
mod floods;
mod isolation;
mod lost_answers;
mod outage;
mod quiet_crowd;
mod stream;
mod throttling;

use std::time::Duration;

use clap::ValueEnum;
use serde_json::Value;
use tokio::time::Instant;

use super::{Place, Queues, Stand, report};
use crate::program::{Program, Running};
use crate::stand::Simulator;
use crate::targets::{Bound, Target};

/// Jobs at a time.
const CONCURRENCY: u16 = 200;

/// Without a further reply for so long, something has failed. Jobs can be in retry queues for ten minutes.
const PATIENCE: Duration = Duration::from_secs(11 * 60);

/// How often the reply queue is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A demonstration by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// Flow Service is down for two minutes.
    Outage,
    /// Three calls in ten fail.
    BrownOut,
    /// Flow Service bears only so many calls a second.
    Throttling,
    /// One organisation floods the queue, or its calls hang, and another has a few jobs.
    Fairness,
    /// Creates of one organisation fail, and another sends.
    Isolation,
    /// Many organisations send a little, and one has a backlog.
    QuietCrowd,
    /// Creates are done and their answers lost.
    LostAnswers,
    /// Two organisations flood the queue beside a third, and one before several workers.
    Floods,
}

/// Runs some, or all; what was reached.
pub(crate) async fn run(only: &[Name]) -> Vec<Target> {
    let stand = Stand::start().await;
    let names = if only.is_empty() { Name::value_variants() } else { only };
    let mut targets = Vec::new();
    for name in names {
        let reached = match name {
            Name::Outage => outage::run(&stand).await,
            Name::BrownOut => brown_out::run(&stand).await,
            Name::Throttling => throttling::run(&stand).await,
            Name::Fairness => fairness::run(&stand).await,
            Name::Isolation => isolation::run(&stand).await,
            Name::QuietCrowd => quiet_crowd::run(&stand).await,
            Name::LostAnswers => lost_answers::run(&stand).await,
            Name::Floods => floods::run(&stand).await,
        };
        report::print_targets(&reached);
        targets.extend(reached);
    }
    targets
}

/// The worker at work on a backlog that waits for it.
struct Work {
    place: Place,
    simulator: Simulator,
    running: Running,
}

impl Work {
    async fn begin(stand: &Stand, simulator: Simulator, jobs: usize) -> Self {
        let place = Place::new(stand, Queues::Quorum).await;
        place.fill(jobs).await;
        let running = Program::Worker.start(&place.task(&simulator, CONCURRENCY), &stand.log());
        Self { place, simulator, running }
    }

    /// Waits until there are so many replies.
    async fn replies(&mut self, wanted: usize) {
        let (mut before, mut progress) = (0, Instant::now());
        loop {
            self.running.assert_running();
            let replies = self.place.replies().await;
            if replies >= wanted {
                return;
            }
            if replies > before {
                (before, progress) = (replies, Instant::now());
            }
            let is_stuck = progress.elapsed() > PATIENCE;
            assert!(!is_stuck, "no reply after {replies} of {wanted}:\n{}", self.running.end_of_log());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Reads so many replies; how many tell of a connection.
    async fn created(&self, replies: usize) -> usize {
        let mut queue = self.place.consume_replies().await;
        let mut created = 0;
        for _ in 0..replies {
            let kind = queue.next().await.properties.kind().clone();
            created += usize::from(kind.is_some_and(|kind| kind.as_str() == "connection.created"));
        }
        queue.close().await;
        created
    }
}

/// A count of the simulator's.
fn count(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap_or_default()
}
