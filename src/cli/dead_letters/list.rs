//! `dead-letters list`: a table on a terminal, JSON Lines elsewhere; the sum on standard error.

use std::io::{self, IsTerminal, Write};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::Error;
use super::letter::Letter;
use super::selection::Selection;
use super::survey::{say, survey, unseen};
use crate::broker::parked::Walk;
use crate::cli::terminal::{plain, shorten, width};

/// The source has a column where there is room for it.
const WIDE: usize = 100;

/// Lists the chosen messages. Tells whether it came to the end.
pub(super) async fn run(
    walk: &mut Walk,
    selection: &mut Selection,
    json: bool,
    stop: &CancellationToken,
) -> Result<bool, Error> {
    let table = !json && io::stdout().is_terminal();
    let (now, width) = (selection.now(), width());
    let mut head = table.then(|| row(&HEAD, width));
    let (tally, complete) = survey(walk, selection, stop, |letter, delivery, _| {
        let mut out = io::stdout().lock();
        if let Some(head) = head.take() {
            writeln!(out, "{head}")?;
        }
        if table {
            return writeln!(out, "{}", row(&cells(letter, now).each_ref().map(String::as_str), width));
        }
        let line = Line::new(letter, delivery.body.len());
        writeln!(out, "{}", serde_json::to_string(&line).map_err(io::Error::other)?)
    })
    .await?;
    let (queue, rest) = (walk.queue(), unseen(walk, complete));
    say(&format!("{} in {queue}{}{rest}", tally.of(walk, selection), tally.by_reason()))?;
    Ok(complete)
}

/// A message on a line of JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    job_id: Option<&'a str>,
    reason: &'static str,
    parked_at: Option<Timestamp>,
    attempts: Option<u32>,
    source: Option<&'static str>,
    last_error: Option<&'a str>,
    bytes: usize,
}

impl<'a> Line<'a> {
    fn new(letter: &'a Letter, bytes: usize) -> Self {
        Self {
            job_id: letter.job_id.as_deref(),
            reason: letter.reason.as_str(),
            parked_at: letter.parked_at,
            attempts: letter.attempts,
            source: letter.source,
            last_error: letter.last_error.as_deref(),
            bytes,
        }
    }
}

const HEAD: [&str; 6] = ["JOB", "REASON", "AGE", "TRIES", "SOURCE", "LAST ERROR"];

fn cells(letter: &Letter, now: Timestamp) -> [String; 6] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [
        or_dash(letter.job_id.clone()),
        letter.reason.as_str().to_owned(),
        or_dash(letter.age(now).map(age)),
        or_dash(letter.attempts.map(|attempts| attempts.to_string())),
        shorten(letter.source.unwrap_or("-"), 16),
        or_dash(letter.last_error.clone()),
    ]
}

/// One line of the table, as wide as the terminal; a job id longer than its column pushes the others to the right.
fn row([job, reason, age, tries, source, error]: &[&str; 6], width: usize) -> String {
    let source = if width < WIDE { String::new() } else { format!("{source:16}  ") };
    let line = format!("{job:36}  {reason:13}  {age:>4}  {tries:>5}  {source}{error}");
    shorten(plain(&line).trim_end(), width)
}

/// In one unit: `12s`, `5m`, `30h`, `12d`.
pub(super) fn age(age: SignedDuration) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    match age.as_secs() {
        seconds if seconds < MINUTE => format!("{seconds}s"),
        seconds if seconds < 2 * HOUR => format!("{}m", seconds / MINUTE),
        seconds if seconds < 2 * DAY => format!("{}h", seconds / HOUR),
        seconds => format!("{}d", seconds / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::history::DeadReason;

    #[test]
    fn a_terminal_gets_a_table_that_fits() {
        let letter = Letter {
            job_id: Some("0d3b8b1c-6f8d-4a5e-9a33-7b8d0d0f3b1c".to_owned()),
            reason: DeadReason::Exhausted,
            parked_at: Some("2030-01-31T09:00:00Z".parse().unwrap()),
            attempts: Some(5),
            source: Some("hubspot"),
            last_error: Some("HTTP 503\n\u{1b}[2Jafter a long, long time of waiting".to_owned()),
        };
        let now = "2030-01-31T12:00:00Z".parse().unwrap();
        let cells = cells(&letter, now);
        let rows = |width| [row(&HEAD, width), row(&cells.each_ref().map(String::as_str), width)];
        assert_eq!(
            rows(100),
            [
                "JOB                                   REASON          AGE  TRIES  SOURCE            LAST ERROR",
                "0d3b8b1c-6f8d-4a5e-9a33-7b8d0d0f3b1c  exhausted        3h      5  hubspot           HTTP 503  [2Jaf…",
            ]
        );
        assert_eq!(
            rows(80),
            [
                "JOB                                   REASON          AGE  TRIES  LAST ERROR",
                "0d3b8b1c-6f8d-4a5e-9a33-7b8d0d0f3b1c  exhausted        3h      5  HTTP 503  [2J…",
            ]
        );
    }

    #[test]
    fn ages_are_short() {
        let ages = [0, 59, 60, 7_199, 7_200, 172_799, 172_800, 8_640_000];
        let shown = ages.map(|seconds| age(SignedDuration::from_secs(seconds)));
        assert_eq!(shown, ["0s", "59s", "1m", "119m", "2h", "47h", "2d", "100d"]);
    }
}
