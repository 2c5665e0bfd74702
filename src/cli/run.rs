//! `run`: the worker itself.

use tracing::{error, info};

use super::{Exit, until_signalled};
use crate::config::RunConfig;
use crate::telemetry::Chain;
use crate::{app, broker};

/// Runs the worker until a signal ends it.
pub async fn run(config: RunConfig) -> Exit {
    config.session.link.endpoint.warn_if_exposed();
    let end = match until_signalled(|stop| app::run(config, stop)).await {
        Ok(end) => end,
        Err(exit) => return exit,
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
        app::Error::Metrics(_) | app::Error::Signal(_) => Exit::Software,
        app::Error::Flow(_)
        | app::Error::Traces(_)
        | app::Error::Admin { .. }
        | app::Error::Misconfigured(_) => Exit::Config,
        app::Error::GaveUp { .. } => Exit::Unavailable,
    }
}

/// How a command ends that the broker failed.
pub(super) fn exit_of_broker(failure: &broker::Error) -> Exit {
    if failure.is_config_fault() { Exit::Config } else { Exit::Unavailable }
}
