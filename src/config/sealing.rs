//! Settings of sealed jobs.

use std::path::PathBuf;

use secrecy::SecretString;

use super::credential::fault;
use super::setting::{Invalid, Setting, Value};
use crate::contract::Sealing;
use crate::sealing::Keyring;
use crate::secret::SecretSource;

const FILES: &str = "SEALING_KEY_FILES";

/// What to do about sealed credentials.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Sealed jobs")]
pub(super) struct SealingOptions {
    /// Files with the private keys that open sealed credentials, as `keygen` writes them, separated by commas; more than
    /// one while senders change to a new key
    #[arg(long, env = "SEALING_KEY_FILES", value_name = "FILES", value_delimiter = ',')]
    sealing_key_files: Vec<PathBuf>,
    /// `true`: a job with credentials in the clear is refused
    #[arg(long, env = "REQUIRE_SEALED", value_name = "true|false", default_value = "false")]
    require_sealed: Setting<Required>,
}

/// Whether credentials must come sealed.
#[derive(Debug, Clone, Copy)]
struct Required(bool);

impl Value for Required {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| "expected true or false".to_owned())
    }
}

impl SealingOptions {
    /// The settings, or `None` with every fault noted.
    pub(super) fn validate(self, invalid: &mut Invalid) -> Option<Sealing> {
        let count = self.sealing_key_files.len();
        let required = invalid.take("REQUIRE_SEALED", self.require_sealed)?.0;
        let mut keys: Vec<SecretString> = Vec::new();
        for (index, file) in self.sealing_key_files.into_iter().enumerate() {
            match SecretSource::File(file).read() {
                Ok(key) => keys.push(key),
                Err(error) => invalid.add(FILES, format!("file {} of {count}: {}", index + 1, fault(&error))),
            }
        }
        if keys.len() < count {
            return None;
        }
        if required && keys.is_empty() {
            invalid.add("REQUIRE_SEALED", "true without SEALING_KEY_FILES: every job would be refused");
        }
        let keys = Keyring::read(&keys).map_err(|(index, error)| {
            invalid.add(FILES, format!("file {} of {count}: {error}", index + 1));
        });
        Some(Sealing { keys: keys.ok()?, required })
    }
}
