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
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts and bytes become figures, and none is as large as 2^52"
)]

mod baseline;
mod collector;
mod figures;
mod job;
mod machine;
mod place;
mod plot;
mod program;
mod report;
mod results;
mod scenario;
mod stand;
mod support;
mod targets;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::figures::Section;
use self::results::{FULL_RUN, Machine, Results};
use self::scenario::{Name, protection};

/// Where all figures are written down.
const RESULTS: &str = "results.json";

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
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A backlog with 200 jobs at a time, in about a minute; fails if the worker falls below 0.8 of the bare loop.
    Quick,
    /// What is done for an ill Flow Service, and for organisations beside one another; some minutes for each.
    Protection {
        /// Only these.
        only: Vec<protection::Name>,
    },
    /// Draw the plots anew from results.json.
    Plot,
    /// The bare loop itself.
    #[command(hide = true)]
    Baseline(baseline::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let options =
        scenario::Options { rounds: cli.rounds, against: cli.against, concurrency: cli.concurrency };
    match cli.command {
        Some(Command::Baseline(args)) => runtime.block_on(baseline::run(args)),
        Some(Command::Protection { only }) => {
            report::print_targets(&runtime.block_on(protection::run(&only)));
        }
        Some(Command::Quick) => return runtime.block_on(scenario::quick(&options)),
        Some(Command::Plot) => {
            let json = fs::read_to_string(cli.out.join(RESULTS)).expect("figures");
            let results: Results = serde_json::from_str(&json).expect("they are of this version");
            plot::all(&cli.out, &results.scenarios);
        }
        None => {
            let (machine, scenarios) = runtime.block_on(scenario::run_all(&cli.only, &options));
            conclude(&cli.out, machine, scenarios);
        }
    }
    ExitCode::SUCCESS
}

/// Prints what was reached, and writes all down.
fn conclude(out: &Path, machine: Machine, scenarios: Vec<Section>) {
    let targets = targets::all(&scenarios);
    report::print_targets(&targets);
    let results = Results { date: now(), command: command(), machine, targets, scenarios };
    fs::create_dir_all(out).expect("a place for the figures");
    let json = serde_json::to_string_pretty(&results).expect("figures are JSON");
    fs::write(out.join(RESULTS), json + "\n").expect("the figures are written");
    plot::all(out, &results.scenarios);
    report::say(&format!("\n{RESULTS} and the plots are in {}", out.display()));
}

fn now() -> String {
    jiff::Timestamp::now().round(jiff::Unit::Second).expect("a date").to_string()
}

/// The command that this is, as one would type it.
fn command() -> String {
    let args: Vec<_> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if args.is_empty() {
        FULL_RUN.to_owned()
    } else {
        format!("cargo bench --bench bench -- {}", args.join(" "))
    }
}
