//! Reads answers: strictly what is needed of them, and all else as it comes.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

/// Adobe's ids are UUIDs; a longer text than this is none.
const MAX_ID: usize = 256;

/// A JSON object. serde alone would take a list for the members of a struct, in their order.
pub(super) fn object<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Option<T> {
    if !text.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    serde_json::from_slice(text).ok()
}

/// A member that can be done without: one of another type is as good as none.
pub(super) fn optional<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Any<T> {
        Fitting(T),
        Other(IgnoredAny),
    }
    Ok(match Any::deserialize(deserializer)? {
        Any::Fitting(value) => Some(value),
        Any::Other(IgnoredAny) => None,
    })
}

/// Whether this can be the id of a connection: it goes into replies, logs and addresses.
pub(super) fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len()) && text.chars().all(|it| !it.is_whitespace() && !it.is_control())
}
