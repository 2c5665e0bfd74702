//! What RabbitMQ says about a queue that has other arguments than it is declared with.
//!
//! `PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received '10000' but current is
//! '5000'`, or with `none`, or with `the value '10000' of type 'signedint'` (`rabbit_misc:assert_args_equivalence`).

use std::fmt;

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};

/// One argument, or `durable`, `exclusive` or `auto_delete`, in which a queue differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its name.
    pub argument: String,
    /// What the worker would create the queue with, if anything.
    pub wanted: Option<String>,
    /// What the queue has, if anything.
    pub found: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = self.found.as_deref().unwrap_or("absent");
        let wanted = self.wanted.as_deref().unwrap_or("absent");
        let quoted = |text: &str| if text.is_empty() { "\"\"".to_owned() } else { text.to_owned() };
        write!(f, "{} is {}, not {}", self.argument, quoted(found), quoted(wanted))
    }
}

impl Difference {
    /// Reads the broker's words; nothing if they say something else.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once("inequivalent arg '")?;
        let (argument, rest) = rest.split_once('\'')?;
        let (_, rest) = rest.rsplit_once(": received ")?;
        let (wanted, found) = rest.split_once(" but current is ")?;
        Some(Self { argument: argument.to_owned(), wanted: value(wanted)?, found: value(found)? })
    }

    /// Makes a declaration agree with the queue.
    pub(super) fn apply(&self, options: &mut QueueDeclareOptions, arguments: &mut FieldTable) {
        let is_set = self.found.as_deref() == Some("true");
        match self.argument.as_str() {
            "durable" => options.durable = is_set,
            "exclusive" => options.exclusive = is_set,
            "auto_delete" => options.auto_delete = is_set,
            name => {
                let mut changed: FieldTable = FieldTable::default();
                for (key, old) in arguments.inner().iter().filter(|(key, _)| key.as_str() != name) {
                    changed.insert(key.clone(), old.clone());
                }
                if let Some(found) = &self.found {
                    changed.insert(name.into(), typed(found));
                }
                *arguments = changed;
            }
        }
    }
}

/// `none`, `'5000'` or `the value '5000' of type 'signedint'`.
#[expect(clippy::option_option, reason = "none is a value here, and other than an unknown text")]
fn value(text: &str) -> Option<Option<String>> {
    if text == "none" {
        return Some(None);
    }
    let quoted = text
        .strip_prefix("the value ")
        .map_or(text, |rest| rest.rsplit_once(" of type ").map_or(rest, |(value, _)| value));
    Some(Some(quoted.strip_prefix('\'')?.strip_suffix('\'')?.to_owned()))
}

/// The broker compares numbers of any width with each other, but no number with a text.
fn typed(text: &str) -> AMQPValue {
    match (text.parse(), text) {
        (Ok(number), _) => AMQPValue::LongLongInt(number),
        (Err(_), "true" | "false") => AMQPValue::Boolean(text == "true"),
        (Err(_), _) => AMQPValue::LongString(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brokers_words_are_understood() {
        let some = |text: &str| Some(text.to_owned());
        for (tail, argument, wanted, found) in [
            ("received '10000' but current is '5000'", "x-message-ttl", some("10000"), some("5000")),
            (
                "received the value 'quorum' of type 'longstr' but current is none",
                "x-queue-type",
                some("quorum"),
                None,
            ),
            (
                "received none but current is the value '5' of type 'signedint'",
                "x-max-priority",
                None,
                some("5"),
            ),
            ("received '' but current is 'a: received b'", "x-dead-letter-exchange", some(""), None),
        ] {
            let text = format!(
                "PRECONDITION_FAILED - inequivalent arg '{argument}' for queue 'it''s: received' in vhost '/': {tail}"
            );
            match Difference::read(&text) {
                Some(read) => assert_eq!(read, Difference { argument: argument.to_owned(), wanted, found }),
                None => assert!(tail.contains("a: received"), "{text}"),
            }
        }
        for text in ["", "PRECONDITION_FAILED - invalid arg 'x-max-age' for queue 'q'", "inequivalent arg 'a"]
        {
            assert_eq!(Difference::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_declaration_is_made_to_agree() {
        let mut options = QueueDeclareOptions::durable();
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        for (argument, found) in
            [("durable", Some("false")), ("x-queue-type", None), ("x-expires", Some("5"))]
        {
            let (argument, found) = (argument.to_owned(), found.map(str::to_owned));
            Difference { argument, wanted: None, found }.apply(&mut options, &mut arguments);
        }
        assert!(!options.durable);
        let left: Vec<_> =
            arguments.inner().iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        assert_eq!(left, [("x-expires", AMQPValue::LongLongInt(5))]);
    }
}
