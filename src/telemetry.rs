//! Logs: one subscriber for the process, and a panic hook that writes to it.

mod json;

use std::error::Error;
use std::fmt::{Display, Formatter};
use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use tracing::{Level, Metadata, error};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For a person.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging to standard error. Without a format: text on a terminal, JSON elsewhere.
///
/// `filter` has the syntax of `RUST_LOG`. Whatever it says, libraries stay quiet below `info`, because at `trace`
/// they print whole frames and headers, credentials included; and lapin altogether, because the worker says itself
/// what lapin tells it, and lapin takes "no such queue" for an error even where that was the question.
pub fn start(format: Option<LogFormat>, filter: &str) -> Result<(), LogError> {
    let asked = EnvFilter::try_new(filter).map_err(|_| LogError::Filter)?;
    let filter = asked.and(filter_fn(may_be_shown));
    let terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    let layer = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let layer = match format {
        LogFormat::Text => layer.with_ansi(terminal).boxed(),
        LogFormat::Json => layer.fmt_fields(json::Members).event_format(json::Lines).boxed(),
    };
    Registry::default().with(layer.with_filter(filter)).try_init().map_err(|_| LogError::Twice)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Checks a filter without using it.
pub fn check_filter(filter: &str) -> Result<(), LogError> {
    EnvFilter::try_new(filter).map(drop).map_err(|_| LogError::Filter)
}

fn may_be_shown(metadata: &Metadata<'_>) -> bool {
    match metadata.target() {
        ours if ours.starts_with(env!("CARGO_CRATE_NAME")) => true,
        lapin if lapin.starts_with("lapin") => false,
        _ => *metadata.level() <= Level::INFO,
    }
}

/// Why logging could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error("not a log filter, expected a level such as info, or directives such as connection_worker=debug")]
    Filter,
    /// It was started before.
    #[error("logging was started twice")]
    Twice,
}

/// A panic is logged where it happens, with the span of the job it happens in.
fn log_panic(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let location = info.location().map(ToString::to_string);
    error!(panic = message, location, "panic");
}

/// An error with all its causes, on one line; a cause that only repeats what was just said is left out.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl Display for Chain<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !said.ends_with(&text) {
                write!(f, ": {text}")?;
                said = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}
