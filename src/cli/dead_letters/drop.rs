//! `dead-letters drop`: counts, asks, deletes exactly what was counted.

use std::io::{self, Write};

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Error;
use super::selection::Selection;
use super::survey::{say, survey, unseen};
use crate::broker::parked::Walk;

/// Deletes the chosen messages. Tells whether it did.
pub(super) async fn run(
    walk: &mut Walk,
    selection: &mut Selection,
    yes: bool,
    stop: &CancellationToken,
) -> Result<bool, Error> {
    // 16 bytes a message: the one thing here that grows with the queue.
    let mut marks = Vec::new();
    let (tally, complete) = survey(walk, selection, stop, |_, _, mark| {
        marks.push(mark);
        Ok(())
    })
    .await?;
    let (queue, chosen) = (walk.queue().to_owned(), tally.of(walk, selection));
    let agreed = complete
        && (marks.is_empty() || yes || is_agreed(&tally.by_reason(), marks.len(), &queue, stop).await?);
    if !agreed {
        say(&format!("nothing deleted from {queue}{}", unseen(walk, complete)))?;
        return Ok(false);
    }
    walk.delete(&marks).await?;
    say(&format!("{chosen} deleted from {queue}{}{}", tally.by_reason(), unseen(walk, complete)))?;
    Ok(true)
}

/// Asks on the terminal; a signal is a no.
async fn is_agreed(by_reason: &str, n: usize, queue: &str, stop: &CancellationToken) -> io::Result<bool> {
    let messages = if n == 1 { "message" } else { "messages" };
    write!(io::stderr(), "{n} {messages}{by_reason}\nDelete {n} {messages} from {queue}? [y/N] ")?;
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map(|_| answer)
    });
    tokio::select! {
        answer = answer => match answer {
            Ok(answer) => Ok(matches!(answer?.trim().to_lowercase().as_str(), "y" | "yes")),
            Err(error) => {
                warn!(%error, "the question was not answered");
                Ok(false)
            }
        },
        () = stop.cancelled() => Ok(false),
    }
}
