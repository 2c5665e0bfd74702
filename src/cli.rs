//! The command line: one file a command.

pub mod dead_letters;
pub mod doctor;
pub mod keygen;
pub mod probe;
pub mod retry_plan;
pub mod run;
pub mod schema;
pub mod seal;
#[cfg(feature = "simulator")]
pub mod simulate;
pub mod sources;
pub mod submit;
mod terminal;

use std::io::{self, ErrorKind, Write};

use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::shutdown::{Signals, StopSignal};
use crate::telemetry::Chain;

/// Creates Adobe Experience Platform connections from RabbitMQ jobs.
#[derive(Debug, clap::Parser)]
#[command(name = "connection-worker", version, propagate_version = true, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Take jobs from the queue, create their connections, reply
    Run(Box<crate::config::RunOptions>),
    /// Ask the worker on this machine whether it is well, as a health check does
    Probe(probe::ProbeOptions),
    /// Check all that `run` needs, change nothing, and say what is wrong
    Doctor(Box<doctor::DoctorOptions>),
    /// Print what the settings of trying again come to, and what each failure leads to
    RetryPlan(retry_plan::RetryPlanOptions),
    /// Put jobs from a file or standard input on the queue, and wait for the replies if asked
    Submit(Box<submit::SubmitOptions>),
    /// Look at parked jobs, put them back on the queue, or delete them
    DeadLetters(Box<dead_letters::DeadLettersOptions>),
    /// Print the contract: the JSON Schema of a message, or all of it as AsyncAPI
    Schema(schema::SchemaOptions),
    /// List the sources, or print a job for one of them to fill in
    Sources(sources::SourcesOptions),
    /// Make a key pair for sealed jobs: the private key into a file, the public key on standard output
    Keygen(keygen::KeygenOptions),
    /// Seal the credentials of jobs for a worker, and print the jobs, ready for `submit`
    Seal(seal::SealOptions),
    /// Stand in for Flow Service and IMS, with faults on demand
    #[cfg(feature = "simulator")]
    Simulate(Box<simulate::Args>),
}

/// Runs a command that ends by itself, or when a signal cancels its token; a second signal ends it at once.
async fn until_signalled<T>(command: impl AsyncFnOnce(CancellationToken) -> T) -> Result<T, Exit> {
    let signals = Signals::listen().map_err(|error| {
        error!(%error, "cannot listen for signals");
        Exit::Software
    })?;
    let stop = CancellationToken::new();
    tokio::select! {
        end = command(stop.clone()) => Ok(end),
        signal = signals.drain_then_quit(stop) => Err(Exit::Signal(signal)),
    }
}

/// Says what is wrong on standard error, where there are no logs, and ends with `exit`.
pub fn complain(error: &(dyn std::error::Error + 'static), exit: Exit) -> Exit {
    let said = writeln!(io::stderr(), "connection-worker: {}", Chain(error));
    // Whoever closed standard error does not want to know.
    drop(said);
    exit
}

/// Prints on standard output, for commands that do nothing else.
fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Exit {
    let mut out = io::stdout().lock();
    match write(&mut out).and_then(|()| out.flush()) {
        Ok(()) => Exit::Ok,
        // The reader closed the pipe; it has what it wanted.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Exit::Ok,
        Err(_) => Exit::Software,
    }
}

/// How a command can end. The numbers follow `sysexits.h` where it has one that fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All done.
    Ok,
    /// `run`: stopped before all jobs were done, because the grace period ended or the broker was away. `probe`: the
    /// worker is not well, or does not answer. `submit`: not every job was created. `dead-letters`: interrupted, not
    /// confirmed, or not every message found or taken. `doctor`: a check failed.
    Incomplete,
    /// The configuration or the command line is invalid (`EX_USAGE`).
    Usage,
    /// An input file cannot be read or holds no jobs, or `keygen` cannot write its file; or the AMQP client cannot read a message (`EX_DATAERR`).
    Data,
    /// The broker could not be reached for too long (`EX_UNAVAILABLE`).
    Unavailable,
    /// A fault of the program (`EX_SOFTWARE`).
    Software,
    /// Configuration and surroundings do not fit: login refused, queue missing, port taken (`EX_CONFIG`).
    Config,
    /// Ended at once by a second signal.
    Signal(StopSignal),
}

impl Exit {
    /// Every way to end, by number.
    pub const ALL: [Self; 9] = [
        Self::Ok,
        Self::Incomplete,
        Self::Usage,
        Self::Data,
        Self::Unavailable,
        Self::Software,
        Self::Config,
        Self::Signal(StopSignal::Interrupt),
        Self::Signal(StopSignal::Terminate),
    ];

    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Incomplete => 1,
            Self::Usage => 64,
            Self::Data => 65,
            Self::Unavailable => 69,
            Self::Software => 70,
            Self::Config => 78,
            Self::Signal(signal) => signal.exit_code(),
        }
    }

    /// What it tells the operator, for the README's table.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Ok => {
                "All done; for `run`: stopped by a signal, and every job it had taken was finished or handed back"
            }
            Self::Incomplete => {
                "`run`: stopped before all jobs were done, because the grace period ended or the broker was away; they are delivered again. `probe`: the worker does not answer, or is not well. `submit`: not every job was created. `dead-letters`: interrupted or declined, a job id was not found, or the job queue refused a message; what was not done is still in the dead-letter queue. `doctor`: a check failed"
            }
            Self::Usage => {
                "The configuration or the command line is invalid; standard error names every fault, but `doctor` those of the configuration in its report"
            }
            Self::Data => {
                "An input file cannot be read, or holds no jobs (for `seal`: none that keeps the contract), or the file of `keygen` cannot be written, or is there already. `dead-letters`: the AMQP client cannot read a message"
            }
            Self::Unavailable => "The broker could not be reached, for `run` longer than `BROKER_GIVE_UP`",
            Self::Software => "A fault of the program",
            Self::Config => {
                "Configuration and surroundings do not fit: login refused, queue missing, port taken. Starting again will not help"
            }
            Self::Signal(StopSignal::Interrupt) => "Ended at once by a second signal, SIGINT",
            Self::Signal(StopSignal::Terminate) => "Ended at once by a second signal, SIGTERM",
        }
    }
}
