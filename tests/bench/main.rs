//! How fast the worker is, and beside what: `make bench`.
//!
//! Each scenario runs the release binary against a RabbitMQ node of its own and the simulator, both processes by
//! themselves, and a bare loop without any guarantee in turns with it, so that a busy machine hurts both alike. Figures
//! are medians of several rounds with the least and the greatest; what is compared is a ratio within one round.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot go on has failed"
)]

mod baseline;
mod figures;
mod job;
mod place;
mod plot;
mod program;
mod report;
mod scenario;
mod stand;
mod support;
mod targets;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::scenario::Name;

/// Measures connection-worker beside a bare loop.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only these scenarios.
    #[arg(long = "only", value_name = "SCENARIO", value_delimiter = ',')]
    only: Vec<Name>,
    /// How often each measurement is repeated [default: the scenario's own number].
    #[arg(long, value_name = "NUMBER")]
    rounds: Option<usize>,
    /// Where the figures and the plots go.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/bench"))]
    out: PathBuf,
    /// Compare with another build of the worker in place of the bare loop.
    #[arg(long, value_name = "BINARY")]
    against: Option<PathBuf>,
    /// Only this concurrency, where a scenario has several.
    #[arg(long, value_name = "NUMBER")]
    concurrency: Option<u16>,
    /// Cargo says so to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A backlog with 200 jobs at a time, in less than a minute; fails if the worker falls below 0.8 of the bare loop.
    Quick,
    /// The bare loop itself.
    #[command(hide = true)]
    Baseline(baseline::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    match cli.command {
        Some(Command::Baseline(args)) => runtime.block_on(baseline::run(args)),
        Some(Command::Quick) => return runtime.block_on(scenario::quick()),
        None => {
            let options =
                scenario::Options { rounds: cli.rounds, against: cli.against, concurrency: cli.concurrency };
            runtime.block_on(scenario::run_all(&cli.only, &options, &cli.out));
        }
    }
    ExitCode::SUCCESS
}
