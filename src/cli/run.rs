//! `run`: the worker itself.

use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::Exit;
use crate::config::RunConfig;
use crate::shutdown::Signals;
use crate::telemetry::Chain;
use crate::{app, broker};

/// Runs the worker until a signal ends it.
pub async fn run(config: RunConfig) -> Exit {
    let signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            error!(%error, "cannot listen for signals");
            return Exit::Software;
        }
    };
    let stop = CancellationToken::new();
    let end = tokio::select! {
        end = app::run(config, stop.clone()) => end,
        signal = signals.drain_then_quit(stop) => return Exit::Signal(signal),
    };
    match end {
        Ok(0) => {
            info!("stopped");
            Exit::Ok
        }
        Ok(_unfinished) => Exit::Incomplete,
        Err(failure) => {
            error!(error = %Chain(&failure), "the worker cannot go on");
            exit_of(&failure)
        }
    }
}

fn exit_of(failure: &app::Error) -> Exit {
    match failure {
        app::Error::Metrics(_) => Exit::Software,
        app::Error::Flow(_) | app::Error::Admin { .. } | app::Error::Misconfigured(_) => Exit::Config,
        app::Error::GaveUp { .. } => Exit::Unavailable,
    }
}

/// How a command ends that the broker failed.
pub(super) fn exit_of_broker(failure: &broker::Error) -> Exit {
    if failure.is_config_fault() { Exit::Config } else { Exit::Unavailable }
}
