//! Credentials: given directly or in a file, never both, and never shown.

use std::path::PathBuf;

use secrecy::SecretString;

use super::setting::Invalid;
use crate::secret::SecretSource;

/// A secret that is given directly or in a file, not both.
pub(super) fn secret(
    name: &'static str,
    value: Option<SecretString>,
    file: Option<PathBuf>,
    invalid: &mut Invalid,
) -> Option<SecretSource> {
    match (value, file) {
        (Some(_), Some(_)) => {
            invalid.add(name, format!("given twice: as {name} and as {name}_FILE"));
            None
        }
        (Some(value), None) => Some(SecretSource::Inline(value)),
        (None, Some(file)) => {
            let source = SecretSource::File(file);
            source.read().map_err(|error| invalid.add(name, error.to_string())).ok().map(|_| source)
        }
        (None, None) => None,
    }
}

/// Notes that a setting is missing, unless something else is wrong with it.
pub(super) fn missing<T>(name: &'static str, invalid: &mut Invalid) -> Option<T> {
    if !invalid.0.iter().any(|problem| problem.name == name) {
        invalid.add(name, "missing");
    }
    None
}
