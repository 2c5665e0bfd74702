//! Settings of `retry-plan`: those of `run` that decide about trying again.

use std::time::Duration;

use super::flow::TimeoutOptions;
use super::retry::RetryOptions;
use super::setting::Invalid;
use crate::handler::Rules;

/// What decides about trying again.
#[derive(Debug, Clone, clap::Args)]
pub struct PlanOptions {
    #[command(flatten)]
    retry: RetryOptions,
    #[command(flatten)]
    timeouts: TimeoutOptions,
}

/// [`PlanOptions`], checked.
#[derive(Debug, Clone, Copy)]
pub struct PlanConfig {
    /// How often to try.
    pub rules: Rules,
    /// How long a call may take.
    pub call: Duration,
}

impl PlanOptions {
    /// The configuration, or every fault at once.
    pub fn validate(self) -> Result<PlanConfig, Invalid> {
        let mut invalid = Invalid::default();
        let rules = self.retry.validate(&mut invalid);
        let timeouts = self.timeouts.validate(&mut invalid);
        match (rules, timeouts) {
            (Some(rules), Some((call, _))) if invalid.0.is_empty() => Ok(PlanConfig { rules, call }),
            _ => Err(invalid),
        }
    }
}
