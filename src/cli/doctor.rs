//! `doctor`: looks at everything that `run` would need, changes nothing, and says what is wrong and what to do.
//!
//! Each check has a deadline and ends in one line. What builds on a check that failed is skipped, and says so; the rest
//! goes on, so that one run tells all that can be told.

mod broker;
mod flow;
mod queues;
mod reach;
mod report;

use std::io;
use std::time::Duration;

use self::report::Report;
use super::{Exit, complain};
use crate::config::{Invalid, RunConfig, RunOptions};

/// Deadline of a check, if the settings have no shorter one for it.
const PATIENCE: Duration = Duration::from_secs(15);

/// Options of `doctor`.
#[derive(Debug, Clone, clap::Args)]
pub struct DoctorOptions {
    /// Print JSON Lines: `check`, `subject`, `status` (ok, warning, failed, skipped), `message`, `remedy`
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    run: RunOptions,
}

/// What `doctor` needs, checked.
#[derive(Debug)]
pub struct DoctorConfig {
    json: bool,
    run: RunConfig,
}

impl DoctorOptions {
    /// The configuration, or every fault at once.
    pub fn validate(self) -> Result<DoctorConfig, Invalid> {
        // It logs nothing: what there is to say stands in the report.
        let (mut run, _log) = self.run.validate()?;
        for deadline in [&mut run.session.endpoint.timeout, &mut run.flow.timeout] {
            *deadline = PATIENCE.min(*deadline);
        }
        Ok(DoctorConfig { json: self.json, run })
    }
}

/// Checks everything; succeeds only if no check fails.
pub async fn run(config: DoctorConfig) -> Exit {
    let DoctorConfig { json, run } = config;
    match examine(run, Report::new(json)).await {
        Ok(true) => Exit::Ok,
        Ok(false) => Exit::Incomplete,
        Err(error) => complain(&error, Exit::Software),
    }
}

async fn examine(config: RunConfig, mut report: Report) -> io::Result<bool> {
    report.good("configuration", "", "every setting can be used")?;
    broker::examine(&config.session, &mut report).await?;
    flow::examine(&config, &mut report).await?;
    report.finish()
}
