//! `doctor`: looks at everything that `run` would need, changes nothing, and says what is wrong and what to do.
//!
//! Each check has a deadline and ends in one line. What builds on a check that failed is skipped, and says so; the rest
//! goes on, so that one run tells all that can be told. Faults of the configuration stand in the report, too: a script that
//! reads it need not look elsewhere.

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

/// A configuration with which nothing can be checked.
#[derive(Debug)]
pub struct FaultyConfig {
    json: bool,
    invalid: Invalid,
}

impl DoctorOptions {
    /// The configuration, or every fault at once.
    pub fn validate(self) -> Result<DoctorConfig, FaultyConfig> {
        let json = self.json;
        // It logs nothing: what there is to say stands in the report.
        let (mut run, _log) = self.run.validate().map_err(|invalid| FaultyConfig { json, invalid })?;
        for deadline in [&mut run.session.link.endpoint.timeout, &mut run.flow.timeout] {
            *deadline = PATIENCE.min(*deadline);
        }
        Ok(DoctorConfig { json, run })
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

/// Tells what is wrong with a configuration; nothing else is checked.
pub fn refuse(config: &FaultyConfig) -> Exit {
    match faults(&config.invalid, Report::new(config.json)) {
        Ok(_) => Exit::Usage,
        Err(error) => complain(&error, Exit::Software),
    }
}

fn faults(invalid: &Invalid, mut report: Report) -> io::Result<bool> {
    for problem in &invalid.0 {
        let remedy = format!("`doctor --help` tells of it, at {}", problem.flag());
        report.bad("configuration", problem.name, &problem.what, &remedy)?;
    }
    report.skipped("others", "", "configuration failed")?;
    report.finish()
}

async fn examine(config: RunConfig, mut report: Report) -> io::Result<bool> {
    report.good("configuration", "", "every setting can be used")?;
    broker::examine(&config.session, &mut report).await?;
    flow::examine(&config, &mut report).await?;
    report.finish()
}
