//! Takes secrets out of text that comes from outside: Flow Service and the third parties behind it echo what they were
//! sent, as it was or encoded.
//!
//! Hidden is every string and number under the request's `auth` (but its `specName` and `type`), the parts of it that carry
//! a secret of their own, and the worker's credentials. Built only when a call has failed. Knows nothing about HTTP.
//!
//! Not found: a secret that was cut, or changed in another way than the encodings in [`super::forms`].

mod decoded;

use std::collections::BTreeSet;
use std::ops::Range;

use secrecy::{ExposeSecret, SecretString};

use self::decoded::Decoded;
use super::forms::{encodings, parts};
use super::sent::{Node, secrets_in};

/// What stands in the place of a secret.
const MARK: &str = "[redacted]";

/// A text that is longer holds a dump, not an explanation; the limit bounds the time that redaction takes.
const MAX_TEXT: usize = 16 * 1024;

/// What is shown of a text, in characters.
const MAX_SHOWN: usize = 1000;

/// Sources have a handful of credentials, a key of 4096 bits has 52 lines. A request with more to hide than this has its
/// answers hidden whole, so that a made-up job cannot keep the worker busy.
const MAX_VALUES: usize = 256;

/// Nor is there a source with longer credentials than this: every value is kept in some twenty forms while an answer
/// is read, for all jobs at a time when the service is ill.
const MAX_REQUEST: usize = 64 * 1024;

/// A shorter secret is hidden only where it stands alone: hiding every `a` would leave nothing to read.
const MIN_ANYWHERE: usize = 4;

/// Hides a set of secrets.
pub(super) struct Redactor {
    anywhere: BTreeSet<String>,
    alone: BTreeSet<String>,
    values: usize,
    everything: bool,
}

impl Redactor {
    /// Hides the credentials in the body of a create. A body that is not the JSON we think it is hides everything.
    pub(super) fn for_request(body: &[u8]) -> Self {
        let mut redactor = Self::empty();
        if body.len() > MAX_REQUEST {
            redactor.everything = true;
            return redactor;
        }
        match str::from_utf8(body).ok().and_then(Node::read) {
            Some(request) => secrets_in(&request).into_iter().for_each(|value| redactor.hide(value)),
            None => redactor.everything = true,
        }
        redactor
    }

    /// Hides one secret.
    pub(super) fn hiding(secret: &SecretString) -> Self {
        let mut redactor = Self::empty();
        redactor.hide(secret.expose_secret());
        redactor
    }

    pub(super) fn empty() -> Self {
        Self { anywhere: BTreeSet::new(), alone: BTreeSet::new(), values: 0, everything: false }
    }

    /// Hides this value too, its parts, and each of them in every encoding.
    pub(super) fn hide(&mut self, value: &str) {
        self.hide_one(value);
        for part in parts(value) {
            self.hide_one(&part);
        }
    }

    fn hide_one(&mut self, value: &str) {
        if value.trim().is_empty() || self.everything {
            return;
        }
        self.values += 1;
        self.everything = self.values > MAX_VALUES;
        // A value longer than any text that is searched can only appear in pieces.
        if value.len() > MAX_TEXT {
            return;
        }
        if value.trim().chars().count() < MIN_ANYWHERE {
            self.alone.insert(plain(value.trim()));
            return;
        }
        for form in encodings(value) {
            self.anywhere.insert(plain(&form));
        }
    }

    /// The text on one line, without secrets, not longer than a message may be.
    pub(super) fn show(&self, text: &str) -> String {
        let shown = self.redact(text);
        match shown.char_indices().nth(MAX_SHOWN) {
            None => shown,
            Some((end, _)) => format!("{}…", shown.get(..end).unwrap_or_default()),
        }
    }

    /// The text without secrets and control characters.
    pub(super) fn redact(&self, text: &str) -> String {
        if self.everything || text.len() > MAX_TEXT {
            return MARK.to_owned();
        }
        let text = plain(text);
        let mut shown = String::with_capacity(text.len());
        let mut rest = 0;
        for found in merged(self.matches(&text)) {
            shown.push_str(text.get(rest..found.start).unwrap_or_default());
            shown.push_str(MARK);
            rest = found.end;
        }
        shown.push_str(text.get(rest..).unwrap_or_default());
        shown
    }

    /// Where secrets stand in a text, percent-encoded in whatever way or not.
    fn matches(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = self.found_in(text);
        if let Some(decoded) = Decoded::of(text) {
            found.extend(self.found_in(&decoded.text).iter().filter_map(|part| decoded.origin(part)));
        }
        found
    }

    fn found_in(&self, text: &str) -> Vec<Range<usize>> {
        let find = |needle: &String| {
            let length = needle.len();
            text.match_indices(needle.as_str())
                .map(move |(start, _)| start..start + length)
                .collect::<Vec<_>>()
        };
        let anywhere = self.anywhere.iter().flat_map(find);
        let alone = self.alone.iter().flat_map(find).filter(|found| stands_alone(text, found));
        anywhere.chain(alone).collect()
    }
}

/// Overlapping and touching ranges become one, so that no end of a secret is left over.
fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

fn stands_alone(text: &str, found: &Range<usize>) -> bool {
    let before = text.get(..found.start).and_then(|text| text.chars().next_back());
    let after = text.get(found.end..).and_then(|text| text.chars().next());
    !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
}

/// Control characters, line and paragraph separators and the marks that reverse the direction of text become spaces: they
/// could hide things on a terminal. Secrets go through the same, so a secret of several lines is still found.
fn plain(text: &str) -> String {
    text.chars().map(plain_char).collect()
}

fn plain_char(c: char) -> char {
    let unfit = c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if unfit { ' ' } else { c }
}

#[cfg(test)]
#[path = "redact/tests.rs"]
mod tests;
