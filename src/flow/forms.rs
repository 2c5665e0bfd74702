//! The shapes in which a secret comes back: its encodings, and the secrets inside it.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::percent_decode_str;

use super::sent::Node;

/// In base64 of a longer text, fewer letters than these are not enough to tell one secret from any other text.
const MIN_BASE64: usize = 6;

/// A secret may be wrapped in JSON that is wrapped in JSON, hardly more often.
const MAX_DEPTH: usize = 3;

/// The value as it is and in every encoding that an answer may have it in; percent-encoded parts of that are decoded before it
/// is searched.
pub(super) fn encodings(value: &str) -> BTreeSet<String> {
    let mut forms = BTreeSet::from([value.to_owned(), value.trim().to_owned()]);
    forms.extend(decoded(value));
    forms.extend(in_json(value));
    forms.insert(in_html(value));
    // What is percent-encoded is looked for decoded; but not the plus sign, which may be meant.
    forms.insert(value.replace(' ', "+"));
    for aligned in in_base64(value.as_bytes()) {
        forms.insert(aligned);
    }
    forms.retain(|form| !form.trim().is_empty());
    forms
}

/// The secrets inside a secret: lines of a key, values of a connection string, user and password of an address, and the
/// texts of JSON that is kept in a string.
pub(super) fn parts(value: &str) -> Vec<String> {
    let mut found = Vec::new();
    collect(value, MAX_DEPTH, &mut found);
    found
}

fn collect(value: &str, depth: usize, found: &mut Vec<String>) {
    if let Some(depth) = depth.checked_sub(1)
        && value.trim_start().starts_with(['{', '['])
        && let Some(node) = Node::read(value)
    {
        let mut texts = Vec::new();
        node.texts(&mut texts);
        for text in texts {
            found.push(text.to_owned());
            collect(text, depth, found);
        }
        return;
    }
    if value.trim().contains(['\n', '\r']) {
        found.extend(value.lines().map(|line| line.trim().to_owned()));
    }
    for (_, assigned) in pieces(value).filter_map(|piece| piece.split_once('=')) {
        let bare = assigned.trim().trim_matches(['"', '\'']);
        found.extend([assigned.to_owned(), bare.to_owned()]);
    }
    found.extend(userinfo(value));
}

/// The pieces of `Server=x;Password=y`, `host=x password=y` and `?user=x&sig=y`.
fn pieces(value: &str) -> impl Iterator<Item = &str> {
    value.split(|c: char| matches!(c, ';' | '&' | '?') || c.is_whitespace())
}

/// User and password of `scheme://user:password@host`. A password may hold an unescaped `@` or `/`: the last `@` counts.
fn userinfo(value: &str) -> Vec<String> {
    let Some((_, rest)) = value.split_once("://") else { return Vec::new() };
    let Some((userinfo, _)) = rest.rsplit_once('@') else { return Vec::new() };
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    [userinfo, user, password].into_iter().map(str::to_owned).collect()
}

fn decoded(value: &str) -> Option<String> {
    percent_decode_str(value).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// As most libraries write it, as PHP does (`\/`), in ASCII as Python does, and as Gson does, which escapes what could be
/// HTML.
fn in_json(value: &str) -> Vec<String> {
    let quoted = serde_json::Value::from(value).to_string();
    let plain = quoted.get(1..quoted.len() - 1).unwrap_or_default();
    let ascii = escaped(plain, |c| !c.is_ascii());
    let gson = escaped(plain, |c| "<>&='".contains(c));
    vec![plain.replace('/', "\\/"), plain.to_owned(), ascii, gson]
}

fn escaped(text: &str, unfit: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if unfit(c) {
            escaped.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

fn in_html(value: &str) -> String {
    let escaped = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    escaped.replace('"', "&quot;").replace('\'', "&#39;")
}

/// The value in base64, alone or inside a longer text such as the `user:password` of basic authentication.
///
/// Three bytes become four letters, so the letters depend on how many bytes stand before the value: 0, 1 or 2, modulo 3.
/// The first and last letters that depend on its neighbours too are left away.
fn in_base64(value: &[u8]) -> Vec<String> {
    let mut forms = vec![STANDARD_NO_PAD.encode(value), URL_SAFE_NO_PAD.encode(value)];
    for before in 0..3 {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(value);
        let first = (before * 8).div_ceil(6);
        let end = bytes.len() * 8 / 6;
        for encoded in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            let certain = encoded.get(first..end).unwrap_or_default();
            if certain.len() >= MIN_BASE64 {
                forms.push(certain.to_owned());
            }
        }
    }
    forms
}
