//! Text with everything decoded that is percent-encoded, and where each byte of it came from.
//!
//! Encoders differ in what they encode; what they encode can be decoded whoever did it.

use std::ops::Range;

use super::plain_char;

/// The length of `%41`.
const ESCAPE: usize = 3;

/// A decoded text.
pub(super) struct Decoded {
    pub(super) text: String,
    /// For each byte of the text, the bytes of the original that it stands for.
    origins: Vec<Range<usize>>,
}

impl Decoded {
    /// Decodes a text; nothing, if nothing in it is encoded.
    pub(super) fn of(original: &str) -> Option<Self> {
        let mut decoded = Self { text: String::new(), origins: Vec::new() };
        let mut any = false;
        let (mut rest, mut at) = (original, 0);
        while let Some(c) = rest.chars().next() {
            let run = run(rest.as_bytes());
            let length = if run.is_empty() { c.len_utf8() } else { run.len() * ESCAPE };
            if run.is_empty() {
                decoded.push(c, at..at + length);
            } else {
                decoded.push_run(&run, at);
                any = true;
            }
            rest = rest.get(length..)?;
            at += length;
        }
        any.then_some(decoded)
    }

    /// Where a part of the text stands in the original.
    pub(super) fn origin(&self, part: &Range<usize>) -> Option<Range<usize>> {
        let first = self.origins.get(part.start)?;
        let last = self.origins.get(part.end.checked_sub(1)?)?;
        Some(first.start..last.end)
    }

    fn push(&mut self, c: char, origin: Range<usize>) {
        self.text.push(c);
        self.origins.resize(self.text.len(), origin);
    }

    fn push_run(&mut self, bytes: &[u8], mut at: usize) {
        let mut push = |c, length: usize| {
            self.push(c, at..at + length * ESCAPE);
            at += length * ESCAPE;
        };
        for chunk in bytes.utf8_chunks() {
            chunk.valid().chars().for_each(|c| push(plain_char(c), c.len_utf8()));
            chunk.invalid().iter().for_each(|_| push('?', 1));
        }
    }
}

/// The bytes that the escapes at the beginning of a text stand for.
fn run(text: &[u8]) -> Vec<u8> {
    let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    text.chunks_exact(ESCAPE)
        .map_while(|escape| match escape {
            [b'%', high, low] => Some(hex(*high)? << 4 | hex(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_and_keeps_its_place() {
        let text = "ä%41%c3%A7%FF%0a%e2%80%a8z%4";
        let decoded = Decoded::of(text).unwrap();
        assert_eq!(decoded.text, "äAç?  z%4");
        for (part, original) in [("ä", "ä"), ("A", "%41"), ("ç?", "%c3%A7%FF"), ("  z", "%0a%e2%80%a8z")] {
            let start = decoded.text.find(part).unwrap();
            let origin = decoded.origin(&(start..start + part.len())).unwrap();
            assert_eq!(text.get(origin), Some(original));
        }
        assert!(Decoded::of("100 % of %zz").is_none());
        assert!(Decoded::of("").is_none());
    }

    proptest! {
        #[test]
        fn every_part_has_a_place(text in "[%0-9a-fä ]{0,40}") {
            if let Some(decoded) = Decoded::of(&text) {
                for (start, c) in decoded.text.char_indices() {
                    let origin = decoded.origin(&(start..start + c.len_utf8())).unwrap();
                    prop_assert!(text.get(origin).is_some());
                }
            }
        }
    }
}
