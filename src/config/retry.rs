//! Settings of trying again.

use std::time::Duration;

use super::setting::{Invalid, Setting};
use super::{LONGEST_JOB, MILLISECOND, MINUTE};
use crate::retry::policy::Policy;

/// How often and how long to try.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Retry")]
#[expect(clippy::struct_field_names, reason = "a field's name is the flag's name")]
pub(super) struct RetryOptions {
    /// Calls for one job at the most, the first included
    #[arg(long, env = "RETRY_ATTEMPTS", value_name = "NUMBER", default_value = "5")]
    retry_attempts: Setting<u32>,
    /// Ceiling of the first delay; it doubles each time, and the delay is drawn from zero to it
    #[arg(long, env = "RETRY_BASE", value_name = "DURATION", default_value = "500ms")]
    retry_base: Setting<Duration>,
    /// Highest ceiling of a delay
    #[arg(long, env = "RETRY_MAX", value_name = "DURATION", default_value = "30s")]
    retry_max: Setting<Duration>,
    /// Longest Retry-After that is waited for
    #[arg(long, env = "RETRY_AFTER_MAX", value_name = "DURATION", default_value = "60s")]
    retry_after_max: Setting<Duration>,
    /// Time after a job's first call in which further ones may start
    #[arg(long, env = "RETRY_DEADLINE", value_name = "DURATION", default_value = "5m")]
    retry_deadline: Setting<Duration>,
}

impl RetryOptions {
    /// The settings, or `None` with every fault noted.
    pub(super) fn validate(self, invalid: &mut Invalid) -> Option<Policy> {
        let max_attempts = invalid.take_number("RETRY_ATTEMPTS", self.retry_attempts, 1..=100);
        let base_delay = invalid.take_duration("RETRY_BASE", self.retry_base, MILLISECOND..=MINUTE);
        let max_delay = invalid.take_duration("RETRY_MAX", self.retry_max, MILLISECOND..=LONGEST_JOB);
        let max_retry_after =
            invalid.take_duration("RETRY_AFTER_MAX", self.retry_after_max, Duration::ZERO..=LONGEST_JOB);
        let deadline =
            invalid.take_duration("RETRY_DEADLINE", self.retry_deadline, Duration::ZERO..=LONGEST_JOB);
        if let (Some(base), Some(max)) = (base_delay, max_delay)
            && base > max
        {
            invalid.add("RETRY_BASE", "longer than RETRY_MAX");
        }
        Some(Policy {
            max_attempts: max_attempts?,
            base_delay: base_delay?,
            max_delay: max_delay?,
            max_retry_after: max_retry_after?,
            deadline: deadline?,
        })
    }
}
