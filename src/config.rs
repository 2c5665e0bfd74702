//! The only reader of flags and environment.
//!
//! Every setting is a flag with an environment variable behind it. An empty variable counts as unset, because
//! that is what an empty line in a manifest means. All faults are reported at once, by name, never by value. One setting
//! names a file with more of them, which is read here too: that of the organisations.

mod admin;
mod admission;
mod broker;
mod checks;
mod credential;
mod flow;
mod locale;
mod log;
mod login;
mod orgs;
mod plan;
mod retry;
mod run;
mod sealing;
mod setting;
mod stack;
mod traces;
mod work;

use std::time::Duration;

use clap::{Command, Parser};

pub use admin::AdminOptions;
pub use broker::{BrokerOptions, QueueOptions};
pub use locale::has_utf8_locale;
pub use log::{LogOptions, LogSettings};
pub use orgs::{Access, OrgsFile, RefusedFile};
pub use plan::{PlanConfig, PlanOptions};
pub use run::{RunConfig, RunOptions};
pub use setting::{Bytes, HttpUrl, Invalid, QueueName, Setting, Value};
pub use stack::ensure_stack;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// RabbitMQ takes a delivery back after 30 minutes (`consumer_timeout`); a job must be done well before.
const LONGEST_JOB: Duration = Duration::from_secs(20 * 60);

/// Reads the command line and the environment.
pub fn from_command_line<C: Parser>() -> Result<C, clap::Error> {
    let matches = command::<C>().try_get_matches()?;
    C::from_arg_matches(&matches)
}

/// The command with all that holds for every setting: an empty variable is none, and `--help` shows no values.
pub fn command<C: Parser>() -> Command {
    tidy(C::command())
}

fn tidy(command: Command) -> Command {
    command
        .mut_args(|arg| {
            let empty = arg.get_env().is_some_and(is_empty);
            let arg = arg.hide_env_values(true);
            if empty { arg.env(None::<&str>) } else { arg }
        })
        .mut_subcommands(tidy)
}

#[expect(clippy::disallowed_methods, reason = "this is the reader of the environment")]
fn is_empty(variable: &std::ffi::OsStr) -> bool {
    std::env::var_os(variable).is_some_and(|value| value.is_empty())
}

/// One setting, for the README's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The environment variable.
    pub variable: String,
    /// The value if it is not set; empty if there is none.
    pub default: String,
    /// What it means.
    pub help: String,
}

/// Every setting of a command, in the order of `--help`.
pub fn describe(command: &Command) -> Vec<Description> {
    command
        .get_arguments()
        .filter_map(|arg| {
            let defaults: Vec<_> =
                arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
            Some(Description {
                variable: arg.get_env()?.to_string_lossy().into_owned(),
                default: defaults.join(","),
                help: arg.get_help().map(ToString::to_string).unwrap_or_default(),
            })
        })
        .collect()
}
