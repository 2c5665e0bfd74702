//! Settings of trying again.

use std::time::Duration;

use super::setting::{Invalid, Setting};
use super::{MILLISECOND, MINUTE};
use crate::handler::Rules;
use crate::retry::doubt::Lookups;
use crate::retry::policy::{HELD_MAX, Policy};

/// How often and how long to try, and how to look for what may be done already.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Retry")]
pub(super) struct RetryOptions {
    /// Attempts for one job at the most, the first included, those after a wait in a retry queue too
    #[arg(long, env = "RETRY_ATTEMPTS", value_name = "NUMBER", default_value = "12")]
    retry_attempts: Setting<u32>,
    /// Ceiling of the first delay; each further one is four times as high, and the delay is drawn from zero to it
    #[arg(long, env = "RETRY_BASE", value_name = "DURATION", default_value = "500ms")]
    retry_base: Setting<Duration>,
    /// Highest ceiling of a delay
    #[arg(long, env = "RETRY_MAX", value_name = "DURATION", default_value = "1h")]
    retry_max: Setting<Duration>,
    /// Longest Retry-After that is waited for
    #[arg(long, env = "RETRY_AFTER_MAX", value_name = "DURATION", default_value = "1h")]
    retry_after_max: Setting<Duration>,
    /// Longest delay that the worker holds a job for; longer ones are spent in the retry queues
    #[arg(long, env = "RETRY_HOLD", value_name = "DURATION", default_value = "5s")]
    retry_hold: Setting<Duration>,
    /// Time after a job's first attempt in which further ones may start
    #[arg(long, env = "RETRY_DEADLINE", value_name = "DURATION", default_value = "24h")]
    retry_deadline: Setting<Duration>,
    /// How often a connection that may exist is looked for, in a row, before it is created again
    #[arg(long, env = "LOOKUPS", value_name = "NUMBER", default_value = "3")]
    lookups: Setting<u32>,
    /// Shortest pause between two such look-ups, which may lag behind what was created; the longest is half as long again
    #[arg(long, env = "LOOKUP_PAUSE", value_name = "DURATION", default_value = "500ms")]
    lookup_pause: Setting<Duration>,
    /// How long a call that nobody has heard from may still be under way at Flow Service: after that the connection is
    /// looked for again, and only then created
    #[arg(long, env = "LOOKUP_SETTLE", value_name = "DURATION", default_value = "10s")]
    lookup_settle: Setting<Duration>,
}

/// The longest that a job may wait for anything.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

impl RetryOptions {
    /// The settings, or `None` with every fault noted.
    pub(super) fn validate(self, invalid: &mut Invalid) -> Option<Rules> {
        let zero = Duration::ZERO;
        let max_attempts = invalid.take_number("RETRY_ATTEMPTS", self.retry_attempts, 1..=100);
        let base_delay = invalid.take_duration("RETRY_BASE", self.retry_base, MILLISECOND..=MINUTE);
        let max_delay = invalid.take_duration("RETRY_MAX", self.retry_max, MILLISECOND..=LONGEST_WAIT);
        let max_retry_after =
            invalid.take_duration("RETRY_AFTER_MAX", self.retry_after_max, zero..=LONGEST_WAIT);
        let hold = invalid.take_duration("RETRY_HOLD", self.retry_hold, zero..=HELD_MAX);
        let deadline =
            invalid.take_duration("RETRY_DEADLINE", self.retry_deadline, zero..=MINUTE * 60 * 24 * 7);
        let looks = invalid.take_number("LOOKUPS", self.lookups, 1..=10);
        let pause = invalid.take_duration("LOOKUP_PAUSE", self.lookup_pause, zero..=MINUTE);
        let settle = invalid.take_duration("LOOKUP_SETTLE", self.lookup_settle, zero..=LONGEST_WAIT);
        if let (Some(base), Some(max)) = (base_delay, max_delay)
            && base > max
        {
            invalid.add("RETRY_BASE", "longer than RETRY_MAX");
        }
        Some(Rules {
            policy: Policy {
                max_attempts: max_attempts?,
                base_delay: base_delay?,
                max_delay: max_delay?,
                max_retry_after: max_retry_after?,
                hold: hold?,
                deadline: deadline?,
            },
            lookups: Lookups { looks: looks?, pause: pause?, settle: settle? },
        })
    }
}
