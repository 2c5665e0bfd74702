//! Settings of admission control: what protects Flow Service, and organisations from each other.

use std::collections::HashMap;
use std::time::Duration;

use super::setting::{Invalid, Setting, Switch, Value};
use super::{MINUTE, SECOND};
use crate::admission::{AdmissionRules, BreakerRules, OrgLimits};
use crate::contract::ids::ImsOrgId;

/// When calls are held back.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Protection")]
pub(super) struct AdmissionOptions {
    /// A circuit breaker opens after this many failed calls in a row. There is one for creates of each connection spec in
    /// each sandbox, one for look-ups and one for optional checks in each sandbox, and one for each organisation's access token.
    /// With 0 only refused credentials open one
    #[arg(long, env = "BREAKER_FAILURES", value_name = "NUMBER", default_value = "20")]
    breaker_failures: Setting<u32>,
    /// A circuit breaker also opens when this share of at least 50 calls in `BREAKER_WINDOW` failed
    #[arg(long, env = "BREAKER_RATIO", value_name = "SHARE", default_value = "0.5")]
    breaker_ratio: Setting<Share>,
    /// The time in which that share is counted
    #[arg(long, env = "BREAKER_WINDOW", value_name = "DURATION", default_value = "10s")]
    breaker_window: Setting<Duration>,
    /// Longest pause before an open circuit breaker lets one job probe; the first pause is 1s, each further one twice as long
    #[arg(long, env = "BREAKER_PAUSE", value_name = "DURATION", default_value = "4s")]
    breaker_pause: Setting<Duration>,
    /// How many repeated creates may fail in the long run, as a share of the creates that succeed, for each connection
    /// spec in each sandbox. Jobs beyond that wait in the held queue. With 1 there is no bound
    #[arg(long, env = "RETRY_BUDGET", value_name = "SHARE", default_value = "0.2")]
    retry_budget: Setting<Share>,
    /// Most calls of one organisation at the same time; `CONCURRENCY` if not set
    #[arg(long, env = "ORG_CONCURRENCY", value_name = "NUMBER")]
    org_concurrency: Option<Setting<u16>>,
    /// `on`: the concurrency limit of a part falls when its calls fail or become slow, the rate limit of an organisation
    /// falls when its calls are answered with 429, and both rise again. `off`: limits are what is set here
    #[arg(long, env = "ADAPTIVE_LIMITS", value_name = "on|off", default_value = "on")]
    adaptive_limits: Setting<Switch>,
    /// Most calls of one organisation in a second; if not set, there is no limit until calls are answered with 429
    #[arg(long, env = "ORG_RATE", value_name = "NUMBER")]
    org_rate: Option<Setting<u32>>,
}

/// A part of a whole, from 0 to 1.
#[derive(Debug, Clone, Copy)]
struct Share(f64);

impl Value for Share {
    fn read(text: &str) -> Result<Self, String> {
        let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
        share.map(Self).ok_or_else(|| "not a share, expected a number from 0 to 1 such as 0.5".to_owned())
    }
}

impl AdmissionOptions {
    /// The settings, or `None` with every fault noted.
    pub(super) fn validate(
        self,
        concurrency: Option<u16>,
        organisations: HashMap<ImsOrgId, OrgLimits>,
        only_these: bool,
        longest_retry_after: Option<Duration>,
        invalid: &mut Invalid,
    ) -> Option<AdmissionRules> {
        let failures = invalid.take_number("BREAKER_FAILURES", self.breaker_failures, 0..=100_000);
        let ratio = invalid.take("BREAKER_RATIO", self.breaker_ratio);
        let window = invalid.take_duration("BREAKER_WINDOW", self.breaker_window, SECOND..=MINUTE * 60);
        let longest_pause = invalid.take_duration("BREAKER_PAUSE", self.breaker_pause, SECOND..=MINUTE * 60);
        let retry_share = invalid.take("RETRY_BUDGET", self.retry_budget);
        let most =
            self.org_concurrency.map(|most| invalid.take_number("ORG_CONCURRENCY", most, 1..=u16::MAX));
        let adaptive = invalid.take("ADAPTIVE_LIMITS", self.adaptive_limits);
        let rate = self.org_rate.map(|rate| invalid.take_number("ORG_RATE", rate, 1..=1_000_000));
        Some(AdmissionRules {
            breaker: BreakerRules {
                failures: failures?,
                ratio: ratio?.0,
                window: window?,
                longest_pause: longest_pause?,
            },
            retry_share: retry_share?.0,
            concurrency: most.unwrap_or(concurrency)?,
            rate: match rate {
                Some(rate) => Some(f64::from(rate?)),
                None => None,
            },
            adaptive: adaptive?.0,
            longest_retry_after: longest_retry_after?,
            organisations,
            only_these,
        })
    }
}
