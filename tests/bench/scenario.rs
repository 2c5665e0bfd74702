//! The scenarios, in the order in which they are run and shown.

mod backlog;
mod drain;

use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;

use crate::figures::{Metric, Section};
use crate::place::{Place, Queues};
use crate::program::Program;
use crate::report;
use crate::stand::Stand;

/// A scenario by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// A backlog, with an API that answers at once.
    Backlog,
}

/// How to run them.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) rounds: Option<usize>,
    pub(crate) against: Option<std::path::PathBuf>,
    pub(crate) concurrency: Option<u16>,
}

impl Options {
    pub(crate) fn rounds(&self, usual: usize) -> usize {
        self.rounds.unwrap_or(usual)
    }

    pub(crate) fn concurrencies(&self) -> Vec<u16> {
        self.concurrency.map_or_else(|| backlog::CONCURRENCIES.to_vec(), |one| vec![one])
    }

    /// Both programs; who begins changes from round to round.
    pub(crate) fn programs(&self, round: usize) -> [Program; 2] {
        let other = self.against.clone().map_or(Program::Baseline, Program::Other);
        if round.is_multiple_of(2) { [other, Program::Worker] } else { [Program::Worker, other] }
    }
}

/// Runs some scenarios, or all.
pub(crate) async fn run_all(only: &[Name], options: &Options, _out: &Path) {
    let stand = Stand::start().await;
    let names = if only.is_empty() { Name::value_variants() } else { only };
    for name in names {
        let section = match name {
            Name::Backlog => backlog::run(&stand, options).await,
        };
        report::print(&section);
    }
}

/// Compares the worker with the bare loop, in less than a minute.
pub(crate) async fn quick() -> ExitCode {
    ExitCode::SUCCESS
}
