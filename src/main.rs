//! The commands and their exit codes: a table of contents.

use std::process::ExitCode;

use connection_worker::cli::{self, Cli, Command, Exit};
use connection_worker::config;
use connection_worker::telemetry;

/// A job costs some hundred allocations, of all sizes and freed by other threads than those that made them: what the
/// system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match config::from_command_line::<Cli>() {
        Ok(cli) => cli,
        Err(error) => return explain(&error).into(),
    };
    if let Command::Run(_) = cli.command
        && let Err(error) = config::ensure_stack()
    {
        return cli::complain(&error, Exit::Software).into();
    }
    match cli.command {
        Command::Schema(options) => cli::schema::run(options).into(),
        Command::Sources(options) => cli::sources::run(&options).into(),
        Command::Keygen(options) => cli::keygen::run(&options).into(),
        Command::Seal(options) => cli::seal::run(&options).into(),
        Command::Run(options) => match options.validate() {
            Ok((config, log)) => with_logs(&log, || on_runtime(cli::run::run(config))).into(),
            Err(invalid) => cli::complain(&invalid, Exit::Usage).into(),
        },
        Command::Probe(options) => match options.validate() {
            Ok(probe) => cli::probe::run(&probe).into(),
            Err(invalid) => cli::complain(&invalid, Exit::Usage).into(),
        },
        Command::Doctor(options) => match options.validate() {
            Ok(config) => on_runtime(cli::doctor::run(config)).into(),
            Err(invalid) => cli::complain(&invalid, Exit::Usage).into(),
        },
        Command::RetryPlan(options) => match options.plan.validate() {
            Ok(config) => cli::retry_plan::run(config, options.json).into(),
            Err(invalid) => cli::complain(&invalid, Exit::Usage).into(),
        },
        Command::Submit(options) => match options.validate() {
            Ok((config, log)) => with_logs(&log, || on_runtime(cli::submit::run(config))).into(),
            Err(invalid) => cli::complain(&invalid, Exit::Usage).into(),
        },
        Command::DeadLetters(options) => match options.validate() {
            Ok((config, log)) => with_logs(&log, || on_runtime(cli::dead_letters::run(config))).into(),
            Err(unfit) => cli::complain(&unfit, Exit::Usage).into(),
        },
        #[cfg(feature = "simulator")]
        Command::Simulate(options) => on_runtime(cli::simulate::run(*options)).into(),
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
    // From here on only what is cut off can panic, as lapin's thread does in the middle of a connect: no news to anybody.
    std::panic::set_hook(Box::new(|_| {}));
    runtime.shutdown_background();
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
