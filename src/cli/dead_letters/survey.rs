//! One pass over the queue, and what was found.

use std::collections::BTreeMap;
use std::io::{self, Write};

use tokio_util::sync::CancellationToken;

use super::Error;
use super::letter::Letter;
use super::selection::Selection;
use crate::broker::delivery::Delivery;
use crate::broker::parked::{Mark, Walk};
use crate::contract::history::DeadReason;

/// Messages, counted by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    /// One more.
    pub(super) fn add(&mut self, reason: DeadReason) {
        *self.0.entry(reason.as_str()).or_default() += 1;
    }

    /// All of them.
    pub(super) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Such as `: 3 exhausted, 1 malformed`; nothing for none.
    pub(super) fn by_reason(&self) -> String {
        let counts: Vec<String> = self.0.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) }
    }

    /// Such as `3 of 7 messages`, or `7 messages` when all were meant.
    pub(super) fn of(&self, walk: &Walk, selection: &Selection) -> String {
        let (chosen, seen) = (self.total(), walk.total() - walk.left());
        let messages = if seen == 1 { "message" } else { "messages" };
        if selection.is_all() && chosen == seen {
            format!("{chosen} {messages}")
        } else {
            format!("{chosen} of {seen} {messages}")
        }
    }
}

/// Looks at every message and shows the chosen ones to `chosen`; all of them stay. Tells how many were chosen, and whether
/// it came to the end.
pub(super) async fn survey(
    walk: &mut Walk,
    selection: &mut Selection,
    stop: &CancellationToken,
    mut chosen: impl FnMut(&Letter, &Delivery, Mark) -> io::Result<()>,
) -> Result<(Tally, bool), Error> {
    let mut tally = Tally::default();
    loop {
        walk.make_room().await?;
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok((tally, false)),
            next = walk.next() => next?,
        };
        let Some(delivery) = next else { return Ok((tally, true)) };
        let (mark, letter) = (walk.keep(&delivery), Letter::read(&delivery));
        if selection.chooses(&letter) {
            tally.add(letter.reason);
            chosen(&letter, &delivery, mark)?;
        }
    }
}

/// What was not looked at, and why.
pub(super) fn unseen(walk: &Walk, complete: bool) -> String {
    match (walk.left(), complete) {
        (0, _) => String::new(),
        (left, false) => format!("; interrupted, {left} not looked at"),
        (left, true) => format!("; {left} are gone by now, or held by somebody else"),
    }
}

/// Says the sum, on standard error.
pub(super) fn say(text: &str) -> io::Result<()> {
    writeln!(io::stderr(), "{text}")
}
