//! The names in a job that end up in HTTP headers, log lines and message ids: checked once, safe from then on.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// Longest id, organisation or sandbox name, in characters.
const MAX_LENGTH: usize = 128;

/// What a name may consist of.
struct Alphabet {
    /// As a regular expression, for the JSON Schema.
    pattern: &'static str,
    /// For a person.
    words: &'static str,
    /// For the check.
    allows: fn(char) -> bool,
}

fn check(value: &str, alphabet: &Alphabet) -> Result<(), String> {
    let length = value.chars().count();
    let expected = || format!("expected 1 to {MAX_LENGTH} of {}", alphabet.words);
    if length == 0 {
        return Err(format!("empty, {}", expected()));
    }
    if length > MAX_LENGTH {
        return Err(format!("{length} characters long, {}", expected()));
    }
    match value.chars().position(|c| !(alphabet.allows)(c)) {
        Some(index) => Err(format!("character {} is not allowed, {}", index + 1, expected())),
        None => Ok(()),
    }
}

macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident, $alphabet:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            const ALPHABET: Alphabet = $alphabet;

            /// Takes a name if it keeps the rules; the error says which one it breaks, without the value.
            pub fn parse(value: &str) -> Result<Self, String> {
                check(value, &Self::ALPHABET)?;
                Ok(Self(value.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        /// So that a map by name can be asked with a text: both hash and compare alike.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "minLength": 1,
                    "maxLength": MAX_LENGTH,
                    "pattern": Self::ALPHABET.pattern,
                })
            }
        }
    };
}

checked_name!(
    /// The id of a job, chosen by its sender: the same id means the same job.
    JobId,
    Alphabet {
        pattern: "^[A-Za-z0-9._:-]+$",
        words: "A-Z a-z 0-9 . _ : -",
        allows: |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-'),
    }
);

checked_name!(
    /// An organisation, such as `1234@AdobeOrg`; sent as the header `x-gw-ims-org-id`.
    ImsOrgId,
    Alphabet {
        pattern: "^[A-Za-z0-9._@-]+$",
        words: "A-Z a-z 0-9 . _ @ -",
        allows: |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '@' | '-'),
    }
);

checked_name!(
    /// A sandbox, such as `prod`; lower case, as Experience Platform writes them; sent as `x-sandbox-name`.
    SandboxName,
    Alphabet {
        pattern: "^[a-z0-9._-]+$",
        words: "a-z 0-9 . _ - (lower case)",
        allows: |c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'),
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_ids_keep_to_their_alphabet_and_length() {
        assert_eq!(JobId::parse("A-z.0_9:x").unwrap().as_str(), "A-z.0_9:x");
        assert!(JobId::parse(&"x".repeat(128)).is_ok());
        let too_long = JobId::parse(&"x".repeat(129)).unwrap_err();
        assert_eq!(too_long, "129 characters long, expected 1 to 128 of A-Z a-z 0-9 . _ : -");
        assert_eq!(JobId::parse("").unwrap_err(), "empty, expected 1 to 128 of A-Z a-z 0-9 . _ : -");
        assert!(JobId::parse("a b").unwrap_err().starts_with("character 2 is not allowed"));
    }

    #[test]
    fn what_becomes_a_header_cannot_end_it() {
        for value in ["a\r\nx-evil: 1", "a\n", "ä", "a b", "a\0"] {
            assert!(ImsOrgId::parse(value).is_err(), "{value:?}");
            assert!(SandboxName::parse(value).is_err(), "{value:?}");
        }
        assert!(SandboxName::parse("Prod").is_err(), "sandbox names are lower case");
    }
}
