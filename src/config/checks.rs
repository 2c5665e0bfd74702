//! Settings of what is looked into besides the create.

use std::time::Duration;

use super::MILLISECOND;
use super::setting::{Invalid, Setting, Value};
use crate::checks::{Settings, Validation, Verification};

/// What to look into besides the create.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Checks")]
pub(super) struct CheckOptions {
    /// What a job's `auth.params` are compared with before the create. `catalogue`: what the worker brings; a job is refused
    /// where that is certain, and logged where it is a guess. `remote`: the connection spec as Flow Service has it, asked
    /// for once an hour; where it cannot be had, the catalogue. `off`: nothing
    #[arg(long, env = "SPEC_VALIDATION", value_name = "MODE", default_value = "catalogue")]
    spec_validation: Setting<Validation>,
    /// What is looked at after the create, before the reply. `enabled`: the connection's state, until it is that; `test`:
    /// Flow Service's own test of the connection; `both`. The reply tells what came of it (`verified`)
    #[arg(long, env = "VERIFY", value_name = "MODE", default_value = "off")]
    verify: Setting<Verification>,
    /// How long that may take; the job is in hand meanwhile
    #[arg(long, env = "VERIFY_TIMEOUT", value_name = "DURATION", default_value = "15s")]
    verify_timeout: Setting<Duration>,
}

impl Value for Validation {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "catalogue" => Ok(Self::Catalogue),
            "remote" => Ok(Self::Remote),
            _ => Err("expected off, catalogue or remote".to_owned()),
        }
    }
}

impl Value for Verification {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "enabled" => Ok(Self::Enabled),
            "test" => Ok(Self::Test),
            "both" => Ok(Self::Both),
            _ => Err("expected off, enabled, test or both".to_owned()),
        }
    }
}

/// A job holds its slot while its connection is looked at, and others wait for that slot.
const LONGEST: Duration = Duration::from_secs(45);

impl CheckOptions {
    /// The settings, or `None` with every fault noted.
    pub(super) fn validate(self, invalid: &mut Invalid) -> Option<Settings> {
        let validation = invalid.take("SPEC_VALIDATION", self.spec_validation);
        let verification = invalid.take("VERIFY", self.verify);
        let verify_timeout =
            invalid.take_duration("VERIFY_TIMEOUT", self.verify_timeout, 100 * MILLISECOND..=LONGEST);
        Some(Settings {
            validation: validation?,
            verification: verification?,
            verify_timeout: verify_timeout?,
        })
    }
}
