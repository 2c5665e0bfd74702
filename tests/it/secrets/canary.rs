//! Values that must not be found where they do not belong, in whatever encoding.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// A made-up secret.
#[derive(Debug, Clone)]
pub(super) struct Canary {
    /// As it is given to the worker. Its letters need no escape in any encoding, the rest needs one in each.
    pub(super) value: String,
    /// The letters alone: they stand unchanged in JSON, in an address and in HTML.
    core: String,
}

impl Canary {
    /// `name` tells what was leaked if it is found.
    pub(super) fn new(name: &str) -> Self {
        let core = format!("cnry{name}vq7");
        Self { value: format!("{core}/+&%=\"é {core}"), core }
    }

    /// One that can stand in a connection string, an Erlang text or a header.
    pub(super) fn plain(name: &str) -> Self {
        let core = format!("cnry{name}vq7");
        Self { value: core.clone(), core }
    }

    /// The way in which it stands in a text, if it does.
    fn found_in(&self, text: &str) -> Option<&'static str> {
        if text.to_lowercase().contains(&self.core.to_lowercase()) {
            return Some("as it is");
        }
        // As Rust shows bytes, and as everybody else does.
        let bytes: Vec<String> = self.core.bytes().map(|byte| byte.to_string()).collect();
        if text.contains(&bytes.join(", ")) {
            return Some("in numbers");
        }
        let hex: Vec<String> = self.core.bytes().map(|byte| format!("{byte:02x}")).collect();
        if text.to_lowercase().contains(&hex.concat()) {
            return Some("in hexadecimal");
        }
        // In base64 of a longer text it begins at one of three places within a group of four letters.
        for lead in 0..3 {
            let padded = [&b"~~~"[..lead], self.value.as_bytes()].concat();
            for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                let encoded = engine.encode(&padded);
                let whole = encoded.get(4..encoded.len() - 2).expect("base64 is ASCII");
                if text.contains(whole) {
                    return Some("in base64");
                }
            }
        }
        None
    }
}

/// Fails the test if one of them stands in a text.
pub(super) fn assert_absent(canaries: &[Canary], place: &str, text: &str) {
    for canary in canaries {
        if let Some(how) = canary.found_in(text) {
            let line = text.lines().find(|line| canary.found_in(line).is_some()).unwrap_or(text);
            panic!("{} stands {how} in {place}: {line}", canary.core);
        }
    }
}

#[test]
fn a_canary_is_found_in_every_encoding() {
    let canary = Canary::new("test");
    let json = serde_json::to_string(&canary.value).unwrap();
    let address: String = url::form_urlencoded::byte_serialize(canary.value.as_bytes()).collect();
    for text in [canary.value.clone(), format!("x{json}"), address, canary.value.to_uppercase()] {
        assert_eq!(canary.found_in(&text), Some("as it is"), "{text}");
    }
    for lead in ["", "a", "ab", "abc", "user:"] {
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let text = format!("Basic {}", engine.encode(format!("{lead}{}!", canary.value)));
            assert_eq!(canary.found_in(&text), Some("in base64"), "{text}");
        }
    }
    let bytes = format!("x{}", canary.value).into_bytes();
    assert_eq!(canary.found_in(&format!("{bytes:?}")), Some("in numbers"));
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(canary.found_in(&hex.concat()), Some("in hexadecimal"));
    assert_eq!(canary.found_in("cnry other vq7"), None);
}
