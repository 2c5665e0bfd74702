//! Credentials: given directly or in a file, never both, and never shown.
//!
//! Not even a file's path is: a secret that was put into the wrong variable would be in it.

use std::path::PathBuf;

use secrecy::SecretString;

use super::setting::Invalid;
use crate::secret::{SecretError, SecretSource};

/// What was given for a credential.
pub(super) enum Given {
    /// Neither a value nor a file.
    Nothing,
    /// Something that is no secret; noted as a fault.
    Unusable,
    /// A secret, and what was read.
    Secret(SecretSource, SecretString),
}

impl Given {
    /// Reads a credential's two settings, and notes what is wrong with them.
    pub(super) fn read(
        [name, file_name]: [&'static str; 2],
        value: Option<SecretString>,
        file: Option<PathBuf>,
        invalid: &mut Invalid,
    ) -> Self {
        let (name, source) = match (value, file) {
            (None, None) => return Self::Nothing,
            (Some(_), Some(_)) => {
                invalid.add(name, format!("given twice: as {name} and as {file_name}"));
                return Self::Unusable;
            }
            (Some(value), None) => (name, SecretSource::Inline(value)),
            (None, Some(file)) => (file_name, SecretSource::File(file)),
        };
        match source.read() {
            Ok(value) => Self::Secret(source, value),
            Err(error) => {
                invalid.add(name, fault(&error));
                Self::Unusable
            }
        }
    }

    /// Whether anything was given, usable or not.
    pub(super) fn is_given(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    /// The secret and its value, which must have been given.
    pub(super) fn required(
        self,
        name: &'static str,
        invalid: &mut Invalid,
    ) -> Option<(SecretSource, SecretString)> {
        match self {
            Self::Secret(source, value) => Some((source, value)),
            Self::Unusable => None,
            Self::Nothing => {
                invalid.add(name, "missing");
                None
            }
        }
    }
}

/// What is wrong with a secret, without its place.
pub(super) fn fault(error: &SecretError) -> String {
    match error {
        SecretError::Unreadable { source, .. } => format!("cannot read the file: {source}"),
        SecretError::NotText(_) => "the file is not text".to_owned(),
        SecretError::TooLong(_) => "the file is too long to be a secret".to_owned(),
        SecretError::EmptyFile(_) => "the file is empty".to_owned(),
        SecretError::Empty => "empty".to_owned(),
    }
}
