//! The command line: one file a command.

pub mod run;
pub mod schema;
#[cfg(feature = "simulator")]
pub mod simulate;
pub mod submit;

use std::io::Write;
use std::process::ExitCode;

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
    /// Put jobs from a file or standard input on the queue, and wait for the replies if asked
    Submit(Box<submit::SubmitOptions>),
    /// Print the JSON Schema of a message
    Schema(schema::SchemaOptions),
    /// Stand in for Flow Service and IMS, with faults on demand
    #[cfg(feature = "simulator")]
    Simulate(Box<simulate::Args>),
}

/// Says what is wrong on standard error, where there are no logs, and ends with `exit`.
pub fn complain(error: &(dyn std::error::Error + 'static), exit: Exit) -> Exit {
    let said = writeln!(std::io::stderr(), "connection-worker: {}", Chain(error));
    // Whoever closed standard error does not want to know.
    drop(said);
    exit
}

/// How a command can end. The numbers follow `sysexits.h` where it has one that fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All done.
    Ok,
    /// `run`: the grace period ended before all jobs were done. `submit`: not every job was created.
    Incomplete,
    /// The configuration or the command line is invalid (`EX_USAGE`).
    Usage,
    /// An input file cannot be read, or holds no jobs (`EX_DATAERR`).
    Data,
    /// The broker could not be reached for too long (`EX_UNAVAILABLE`).
    Unavailable,
    /// A fault of the program (`EX_SOFTWARE`).
    Software,
    /// Configuration and surroundings do not fit: login refused, queue missing, port taken (`EX_CONFIG`).
    Config,
    /// Ended at once by a second signal.
    Signal(crate::shutdown::StopSignal),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::Incomplete => 1,
            Exit::Usage => 64,
            Exit::Data => 65,
            Exit::Unavailable => 69,
            Exit::Software => 70,
            Exit::Config => 78,
            Exit::Signal(signal) => signal.exit_code(),
        })
    }
}
