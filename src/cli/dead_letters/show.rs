//! `dead-letters show`: all about some messages. A sender's own headers are named and not shown, and no credential is.

use std::fmt;
use std::io::{self, Write};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::letter::Letter;
use super::list::age;
use super::selection::Selection;
use super::survey::{say, survey, unseen};
use super::{Error, body};
use crate::broker::delivery::Delivery;
use crate::broker::parked::Walk;
use crate::cli::terminal::plain;
use crate::contract::history;

/// Headers that the worker writes: their values are fit to be shown.
const OTHERS_OF_OURS: [&str; 2] = ["job-expiration", "job-headers-omitted"];

/// The broker's own record, shown in its own lines.
const DEATH: &str = "x-death";

/// Shows the chosen messages. Tells whether it came to the end.
pub(super) async fn run(
    walk: &mut Walk,
    selection: &mut Selection,
    stop: &CancellationToken,
) -> Result<bool, Error> {
    let now = selection.now();
    let (tally, complete) = survey(walk, selection, stop, |letter, delivery, _| {
        writeln!(io::stdout().lock(), "{}", Page { letter, delivery, now })
    })
    .await?;
    let (queue, rest) = (walk.queue(), unseen(walk, complete));
    say(&format!("{} in {queue}{}{rest}", tally.of(walk, selection), tally.by_reason()))?;
    Ok(complete)
}

/// One message on a page.
struct Page<'a> {
    letter: &'a Letter,
    delivery: &'a Delivery,
    now: Timestamp,
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { letter, delivery, now } = self;
        let properties = &delivery.properties;
        line(f, "job", letter.job_id.as_deref())?;
        line(f, "reason", Some(letter.reason.as_str()))?;
        let since = |at: Timestamp| format!("{at} ({} ago)", age(now.duration_since(at)));
        line(f, "parked", letter.parked_at.map(since).as_deref())?;
        line(f, "source", letter.source)?;
        line(f, "message_id", properties.message_id())?;
        line(f, "correlation_id", properties.correlation_id())?;
        line(f, "reply_to", properties.reply_to())?;
        line(f, "type", properties.kind())?;
        let sent = properties.timestamp().and_then(|at| i64::try_from(at).ok());
        line(f, "timestamp", sent.and_then(|at| Timestamp::from_second(at).ok()).map(since).as_deref())?;
        self.headers(f)?;
        match body::shown(&delivery.body) {
            Some(job) => writeln!(f, "body, {} bytes\n{job}", delivery.body.len()),
            None => writeln!(f, "body, {} bytes: no job, not shown", delivery.body.len()),
        }
    }
}

impl Page<'_> {
    fn headers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let properties = &self.delivery.properties;
        let ours = |name: &str| history::ALL.contains(&name) || OTHERS_OF_OURS.contains(&name);
        for name in properties.header_names().filter(|name| ours(name)) {
            line(f, name, properties.header_text(name).as_deref())?;
        }
        for death in properties.deaths() {
            let text = format!("{} in {}, count {}", death.reason, death.queue, death.count);
            line(f, DEATH, Some(&text))?;
        }
        let others = properties.header_names().filter(|name| !ours(name) && *name != DEATH);
        let others = others.collect::<Vec<_>>().join(", ");
        if others.is_empty() {
            return Ok(());
        }
        line(f, "other headers", Some(&format!("{others} (values not shown)")))
    }
}

/// What is absent has no line.
fn line(f: &mut fmt::Formatter<'_>, name: &str, value: Option<&str>) -> fmt::Result {
    match value {
        Some(value) => writeln!(f, "{:18}  {}", plain(name), plain(value)),
        None => Ok(()),
    }
}
