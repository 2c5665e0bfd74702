//! `dead-letters replay`: puts messages back on the job queue, as fresh jobs that somebody may have tried.
//!
//! Published and confirmed first, taken out of the dead-letter queue after: whatever happens in between, a message is in
//! one of the two, at worst in both. That is harmless, because the worker looks for the connection before it creates one.

use std::io;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use indicatif::ProgressBar;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::Error;
use super::letter::Letter;
use super::selection::Selection;
use super::survey::{Tally, say, unseen};
use crate::broker;
use crate::broker::client::Client;
use crate::broker::connection::Endpoint;
use crate::broker::delivery::{Delivery, Settled, Settlement};
use crate::broker::link::Publish;
use crate::broker::parked::Walk;
use crate::broker::properties::Properties;
use crate::broker::publisher::{PublishError, Publisher};
use crate::cli::terminal;
use crate::contract::history;
use crate::telemetry::Chain;

/// Messages on their way at the same time.
const IN_FLIGHT: usize = 64;

/// Where messages go.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) queue: &'a str,
}

/// How it ended for one message.
enum Moved {
    Yes(Letter),
    /// It is where it was.
    No(Box<Delivery>, PublishError),
    /// It is in the job queue; whether it has left the dead-letter queue is not known.
    Twice(Letter, broker::Error),
}

/// What was done up to now.
struct Progress {
    tally: Tally,
    refused: u64,
    failure: Option<Error>,
    bar: ProgressBar,
}

/// Moves the chosen messages. Tells whether all of them were.
pub(super) async fn run(
    walk: &mut Walk,
    selection: &mut Selection,
    to: &Target<'_>,
    stop: &CancellationToken,
) -> Result<bool, Error> {
    // Another connection: the broker may block one that publishes.
    let client = Client::open(to.endpoint, "dead-letters replay", IN_FLIGHT).await?;
    let bar = terminal::progress(walk.total());
    let mut progress = Progress { tally: Tally::default(), refused: 0, failure: None, bar };
    let complete = move_all(walk, selection, (client.publisher(), to.queue), stop, &mut progress).await;
    progress.bar.finish_and_clear();
    progress.say(walk, selection, to.queue, complete)?;
    if let Some(failure) = progress.failure {
        return Err(failure);
    }
    client.close().await?;
    Ok(complete && progress.refused == 0)
}

/// Tells whether it came to the end. What was begun is finished in any case.
async fn move_all(
    walk: &mut Walk,
    selection: &mut Selection,
    (publisher, queue): (&Publisher, &str),
    stop: &CancellationToken,
    progress: &mut Progress,
) -> bool {
    let mut moving = FuturesUnordered::new();
    let (mut taking, mut complete) = (true, false);
    loop {
        if taking && let Err(error) = walk.make_room().await {
            progress.failure.get_or_insert(error.into());
        }
        taking = taking && progress.failure.is_none();
        tokio::select! {
            biased;
            () = stop.cancelled(), if taking => (taking, complete) = (false, walk.left() == 0),
            Some(moved) = moving.next() => progress.note(moved, walk),
            next = walk.next(), if taking && moving.len() < IN_FLIGHT => match next {
                Ok(Some(delivery)) => {
                    let letter = Letter::read(&delivery);
                    if selection.chooses(&letter) {
                        moving.push(move_one(publisher, queue, delivery, letter));
                    } else {
                        walk.keep(&delivery);
                        progress.bar.inc(1);
                    }
                }
                Ok(None) => (taking, complete) = (false, true),
                Err(error) => progress.failure = Some(error.into()),
            },
            else => return complete,
        }
    }
}

async fn move_one(publisher: &Publisher, queue: &str, delivery: Delivery, letter: Letter) -> Moved {
    let properties = as_fresh(delivery.properties.clone());
    if let Err(error) = publisher.publish(queue, &properties, &delivery.body).await {
        return Moved::No(Box::new(delivery), error);
    }
    match delivery.settle(Settlement::Ack).await {
        Ok(Settled::Done) => Moved::Yes(letter),
        Ok(Settled::Stale) => Moved::Twice(letter, broker::Error::Closed { role: "dead-letters" }),
        Err(error) => Moved::Twice(letter, error),
    }
}

/// Without what was noted about earlier attempts; but somebody may have tried, not before and not after the times that
/// are noted, too.
fn as_fresh(properties: Properties) -> Properties {
    let times = [history::SINCE, history::SETTLED_AT];
    let others: Vec<&str> = history::ALL.into_iter().filter(|name| !times.contains(name)).collect();
    properties.without_headers(&others).with_headers([(history::ATTEMPTS, "0".to_owned())])
}

impl Progress {
    fn note(&mut self, moved: Moved, walk: &mut Walk) {
        self.bar.inc(1);
        match moved {
            Moved::Yes(letter) => self.tally.add(letter.reason),
            Moved::Twice(letter, error) => {
                self.tally.add(letter.reason);
                self.failure.get_or_insert(error.into());
            }
            Moved::No(delivery, error) => {
                walk.keep(&delivery);
                match error {
                    // This may be about the one message, and the queue may take the next.
                    PublishError::Refused(_) => {
                        if self.refused == 0 {
                            error!(error = %Chain(&error), "a message stays in the dead-letter queue");
                        }
                        self.refused += 1;
                    }
                    error => drop(self.failure.get_or_insert(Error::Publish(error))),
                }
            }
        }
    }

    fn say(&self, walk: &Walk, selection: &Selection, queue: &str, complete: bool) -> io::Result<()> {
        let Self { tally, refused, .. } = self;
        let refused = if *refused == 0 { String::new() } else { format!("; {refused} refused, they stay") };
        let (moved, from) = (tally.of(walk, selection), walk.queue());
        let (reasons, rest) = (tally.by_reason(), unseen(walk, complete));
        say(&format!("{moved} put back on {queue} from {from}{reasons}{refused}{rest}"))
    }
}
