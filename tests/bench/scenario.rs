//! The scenarios, in the order in which they are run and shown.

mod backlog;
mod drain;
mod faults;
mod latency;
pub(crate) mod long_backlog;
mod open_loop;
pub(crate) mod protection;
mod quick;
mod scaling;
mod start;
mod switches;
mod transports;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;

use crate::figures::{Metric, Rounds, Section};
use crate::place::{Place, Queues};
use crate::program::Program;
use crate::results::Machine;
use crate::stand::Stand;
use crate::{machine, report};

/// A scenario by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// A backlog, with an API that answers at once.
    Backlog,
    /// A backlog, with an API that takes its time.
    Latency,
    /// Jobs that come at their own pace.
    OpenLoop,
    /// Memory and speed over a long backlog.
    LongBacklog,
    /// More processes.
    Scaling,
    /// An API that fails now and then.
    Faults,
    /// One job, and then none.
    Start,
    /// Classic queues, and TLS.
    Transports,
    /// With and without logs.
    Logs,
    /// With and without traces.
    Traces,
}

/// How to run them.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) rounds: Option<usize>,
    pub(crate) against: Option<PathBuf>,
    pub(crate) concurrency: Option<u16>,
}

impl Options {
    fn rounds(&self, usual: usize) -> usize {
        self.rounds.unwrap_or(usual)
    }

    fn concurrencies(&self, usual: &[u16]) -> Vec<u16> {
        self.concurrency.map_or_else(|| usual.to_vec(), |one| vec![one])
    }

    /// What the worker is compared with.
    fn other(&self) -> Program {
        self.against.clone().map_or(Program::Baseline, Program::Other)
    }

    /// Both programs; who begins changes from round to round.
    fn programs(&self, round: usize) -> [Program; 2] {
        if round.is_multiple_of(2) {
            [self.other(), Program::Worker]
        } else {
            [Program::Worker, self.other()]
        }
    }

    fn compared(&self) -> [&'static str; 2] {
        [Program::Worker.as_str(), self.other().as_str()]
    }
}

/// Runs some scenarios, or all, and prints each; what they ran on, and what they showed.
pub(crate) async fn run_all(only: &[Name], options: &Options) -> (Machine, Vec<Section>) {
    let stand = Stand::start().await;
    let names = if only.is_empty() { Name::value_variants() } else { only };
    let mut sections = Vec::new();
    for name in names {
        let section = name.run(&stand, options).await.conclude();
        report::print(&section);
        sections.push(section);
    }
    (machine::describe(&stand.broker).await, sections)
}

impl Name {
    async fn run(self, stand: &Stand, options: &Options) -> Section {
        match self {
            Self::Backlog => backlog::run(stand, options).await,
            Self::Latency => latency::run(stand, options).await,
            Self::OpenLoop => open_loop::run(stand, options).await,
            Self::LongBacklog => long_backlog::run(stand, options).await,
            Self::Scaling => scaling::run(stand, options).await,
            Self::Faults => faults::run(stand, options).await,
            Self::Start => start::run(stand, options).await,
            Self::Transports => transports::run(stand, options).await,
            Self::Logs => switches::logs(stand, options).await,
            Self::Traces => switches::traces(stand, options).await,
        }
    }
}

/// Compares the worker with the bare loop, in about a minute.
pub(crate) async fn quick(options: &Options) -> ExitCode {
    let stand = Stand::start().await;
    if quick::run(&stand, options).await { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
