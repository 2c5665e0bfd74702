//! Which of the parked messages a command is about.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

use super::letter::Letter;
use crate::contract::history::DeadReason;
use crate::sources::{self, Source};

/// Filters: a message is chosen if it passes every one that is given.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Which messages")]
pub(super) struct SelectionOptions {
    /// The jobs with these ids
    #[arg(value_name = "JOB_ID")]
    jobs: Vec<String>,
    /// Parked for one of these reasons
    #[arg(long, value_name = "REASON", value_delimiter = ',', value_parser = reason())]
    reason: Vec<DeadReason>,
    /// Parked longer ago than this, such as `90m`, `12h` or `3d`
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    older_than: Option<Duration>,
    /// Parked less long ago than this
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    newer_than: Option<Duration>,
    /// Jobs for these sources, such as `hubspot`
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = source(), hide_possible_values = true)]
    source: Vec<String>,
}

/// The same, with the time that it is for as long as the command runs.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    options: SelectionOptions,
    now: Timestamp,
    /// Ids of which no message was seen.
    missing: BTreeSet<String>,
}

fn reason() -> impl TypedValueParser<Value = DeadReason> {
    let reason = |name: String| DeadReason::ALL.into_iter().find(|reason| reason.as_str() == name);
    PossibleValuesParser::new(DeadReason::ALL.map(DeadReason::as_str))
        .try_map(move |name| reason(name).ok_or("no such reason"))
}

fn source() -> PossibleValuesParser {
    PossibleValuesParser::new(sources::ALL.iter().map(|Source { name, .. }| *name))
}

/// Days are allowed: parked messages grow older than others.
fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number with a unit such as 90m, 12h or 3d".to_owned();
    let span: Span = text.trim().parse().map_err(|_| expected())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| expected())?;
    Duration::try_from(duration).map_err(|_| expected())
}

impl SelectionOptions {
    /// Whether it says nothing: then it means every message.
    pub(super) fn is_empty(&self) -> bool {
        let Self { jobs, reason, older_than, newer_than, source } = self;
        jobs.is_empty()
            && reason.is_empty()
            && older_than.is_none()
            && newer_than.is_none()
            && source.is_empty()
    }

    /// Ages count from `now`.
    pub(super) fn at(self, now: Timestamp) -> Selection {
        Selection { missing: self.jobs.iter().cloned().collect(), options: self, now }
    }
}

impl Selection {
    /// Whether it means every message.
    pub(super) fn is_all(&self) -> bool {
        self.options.is_empty()
    }

    /// The time that ages count from.
    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// Ids that were asked for and not chosen up to now.
    pub(super) fn missing(&self) -> &BTreeSet<String> {
        &self.missing
    }

    /// Whether a message is chosen.
    pub(super) fn chooses(&mut self, letter: &Letter) -> bool {
        let SelectionOptions { jobs, reason, source, .. } = &self.options;
        let chosen = (reason.is_empty() || reason.contains(&letter.reason))
            && (source.is_empty() || letter.source.is_some_and(|name| source.iter().any(|s| s == name)))
            && (jobs.is_empty() || letter.job_id.as_ref().is_some_and(|id| jobs.contains(id)))
            && self.fits_age(letter.age(self.now));
        if let (true, Some(id)) = (chosen, &letter.job_id) {
            self.missing.remove(id);
        }
        chosen
    }

    /// A message that does not say since when it is there is neither old nor new.
    fn fits_age(&self, age: Option<SignedDuration>) -> bool {
        let age = age.map(SignedDuration::unsigned_abs);
        let SelectionOptions { older_than, newer_than, .. } = &self.options;
        older_than.is_none_or(|than| age.is_some_and(|age| age > than))
            && newer_than.is_none_or(|than| age.is_some_and(|age| age < than))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        selection: SelectionOptions,
    }

    fn selection(args: &[&str]) -> Selection {
        let command = Command::try_parse_from([&["list"], args].concat()).unwrap();
        command.selection.at("2030-01-31T12:00:00Z".parse().unwrap())
    }

    fn letter() -> Letter {
        Letter {
            job_id: Some("a".to_owned()),
            reason: DeadReason::Exhausted,
            parked_at: Some("2030-01-31T11:00:00Z".parse().unwrap()),
            attempts: Some(5),
            source: Some("hubspot"),
            last_error: None,
        }
    }

    #[test]
    fn a_message_must_pass_every_filter() {
        for args in [
            &[][..],
            &["a", "b"],
            &["--reason", "malformed,exhausted"],
            &["--reason", "malformed", "--reason", "exhausted"],
            &["--older-than", "59m"],
            &["--newer-than", "3d", "--older-than", "1m", "a", "--source", "hubspot"],
        ] {
            assert!(selection(args).chooses(&letter()), "{args:?}");
        }
        for args in [
            &["b"][..],
            &["--reason", "malformed"],
            &["--older-than", "1h"],
            &["--newer-than", "1h"],
            &["--source", "salesforce"],
            &["a", "--reason", "other"],
        ] {
            assert!(!selection(args).chooses(&letter()), "{args:?}");
        }
        let unknown = Letter { job_id: None, parked_at: None, source: None, ..letter() };
        assert!(selection(&[]).chooses(&unknown));
        for args in [&["a"][..], &["--older-than", "1s"], &["--newer-than", "9d"], &["--source", "hubspot"]] {
            assert!(!selection(args).chooses(&unknown), "{args:?}");
        }
    }

    #[test]
    fn ids_that_were_not_found_are_known() {
        let mut selection = selection(&["a", "b"]);
        assert!(selection.chooses(&letter()));
        assert_eq!(selection.missing().iter().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn durations_have_days() {
        assert_eq!(duration("3d"), Ok(Duration::from_secs(3 * 24 * 60 * 60)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(90 * 60)));
        for bad in ["", "3", "-1h", "soon", "1mo"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn filters_that_cannot_be_are_refused() {
        for bad in [["--reason", "sad"], ["--source", "no-such-source"], ["--older-than", "soon"]] {
            assert!(Command::try_parse_from([&["list"][..], &bad].concat()).is_err(), "{bad:?}");
        }
    }
}
