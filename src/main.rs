//! The commands and their exit codes: a table of contents.

use std::io::{self, Write};
use std::mem;

use connection_worker::cli::{self, Cli, Command, Exit};
use connection_worker::config;
use connection_worker::telemetry;

/// A job costs some hundred allocations, of all sizes and freed by other threads than those that made them: what the
/// system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Ends without the C libraries' own clearing up, which must not run while threads do: AWS-LC's makes whoever is in the
/// middle of a handshake abort the process. Threads are left, as lapin's has no end while it connects.
fn main() {
    let exit = command();
    io::stdout().flush().ok();
    signal_hook::low_level::exit(exit.code().into())
}

fn command() -> Exit {
    let cli = match config::from_command_line::<Cli>() {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    if let Command::Run(_) = cli.command
        && let Err(error) = config::ensure_stack()
    {
        return cli::complain(&error, Exit::Software);
    }
    match cli.command {
        Command::Schema(options) => cli::schema::run(options),
        Command::Sources(options) => cli::sources::run(&options),
        Command::Keygen(options) => cli::keygen::run(&options),
        Command::Seal(options) => cli::seal::run(&options),
        Command::Run(options) => match options.validate() {
            Ok((config, log)) => with_logs(&log, || on_runtime(cli::run::run(config))),
            Err(invalid) => cli::complain(&invalid, Exit::Usage),
        },
        Command::Probe(options) => match options.validate() {
            Ok(probe) => cli::probe::run(&probe),
            Err(invalid) => cli::complain(&invalid, Exit::Usage),
        },
        Command::Doctor(options) => match options.validate() {
            Ok(config) => on_runtime(cli::doctor::run(config)),
            Err(faulty) => cli::doctor::refuse(&faulty),
        },
        Command::RetryPlan(options) => match options.plan.validate() {
            Ok(config) => cli::retry_plan::run(config, options.json),
            Err(invalid) => cli::complain(&invalid, Exit::Usage),
        },
        Command::Submit(options) => match options.validate() {
            Ok((config, log)) => with_logs(&log, || on_runtime(cli::submit::run(config))),
            Err(invalid) => cli::complain(&invalid, Exit::Usage),
        },
        Command::DeadLetters(options) => match options.validate() {
            Ok((config, log)) => with_logs(&log, || on_runtime(cli::dead_letters::run(config))),
            Err(unfit) => cli::complain(&unfit, Exit::Usage),
        },
        #[cfg(feature = "simulator")]
        Command::Simulate(options) => on_runtime(cli::simulate::run(*options)),
    }
}

fn with_logs(log: &config::LogSettings, command: impl FnOnce() -> Exit) -> Exit {
    match telemetry::start(log.format, &log.filter) {
        Ok(()) => command(),
        Err(error) => cli::complain(&error, Exit::Software),
    }
}

/// Runs a command to its end. What it leaves behind is not waited for: it had its time to finish.
///
/// As a task: what the main thread itself polls is woken through the kernel each time.
fn on_runtime(command: impl Future<Output = Exit> + Send + 'static) -> Exit {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cli::complain(&error, Exit::Software),
    };
    // A panic is logged where it happens.
    let exit = runtime.block_on(runtime.spawn(command)).unwrap_or(Exit::Software);
    // Not dropped: lapin's thread panics if it finds none in the middle of a connect.
    mem::forget(runtime);
    exit
}

/// `--help` and `--version` are answers; anything else is a wrong command line.
fn explain(error: &clap::Error) -> Exit {
    let printed = error.print();
    match (error.use_stderr(), printed) {
        (false, Ok(())) => Exit::Ok,
        _ => Exit::Usage,
    }
}
