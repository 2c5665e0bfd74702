//! A walk through the dead-letter queue that leaves it as it was, but for what is taken out on purpose.
//!
//! Each message that was there at the start is seen once: it stays delivered and unsettled until the walk ends, and
//! then goes back to its place. So memory is bounded by a window and not by the queue: what was looked at is dropped
//! here and known only to the broker.
//!
//! A window is a consumer with as much credit as it has places, on a channel of its own. When every place is taken by a
//! message that stays, the next window opens. That and batches of 32 keep the order of a quorum queue: it puts up to 32
//! messages that come back in one command in order, and more in any order; and a channel's part of the broker sends up
//! to 32 commands at once, holds more of them back, joins them, and forgets them when the channel closes (seen in
//! RabbitMQ 3.10; a classic queue knows the place of each message).

use std::ops::RangeInclusive;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::{BoxFuture, try_join_all};
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};
use tokio::time::{Instant, timeout};

use super::Error;
use super::connection::{Endpoint, connect, step};
use super::delivery::{Delivery, Settled, Settlement};
use super::link::Settle;
use super::topology::ready;

/// Places in the first window, when nobody knows yet how large the messages are.
const FIRST_WINDOW: u16 = 64;

/// Messages that go back with one command.
const BATCH: usize = 32;

/// Places in any other window; the most that go back with less than 32 commands.
const WINDOW: RangeInclusive<u16> = 4..=31 * 32;

/// Bytes that a window should not exceed, judged by the largest message of the window before.
const WINDOW_BYTES: usize = 32 * 1024 * 1024;

/// After so long without a message the queue is asked whether there are any left that nobody else holds.
const QUIET: Duration = Duration::from_millis(300);

/// How long to wait until the queue shows what was put back, and how often to look.
const RETURNED: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

const READ: &str = "read the dead-letter queue";
const RETURN: &str = "put the messages back";

/// A walk through one queue. Dropped half-way, the broker puts everything back by itself, at the latest when it misses
/// the connection's heartbeat; [`Walk::finish`] does it at once and in order.
pub struct Walk {
    connection: Connection,
    queue: String,
    windows: Vec<Window>,
    total: u64,
    left: u64,
    /// The largest message in the current window, in bytes.
    largest: usize,
    timeout: Duration,
}

struct Window {
    channel: Channel,
    settles: Arc<OneByOne>,
    consumer: Consumer,
    places: u16,
    /// What stays, by its number on the channel: 8 bytes a message.
    kept: Vec<u64>,
}

/// Settles each message by itself: those before it may be ones that stay.
#[derive(Debug)]
struct OneByOne {
    channel: Channel,
    timeout: Duration,
}

impl Settle for OneByOne {
    fn settle(&self, tag: u64, settlement: Settlement) -> BoxFuture<'_, Result<Settled, Error>> {
        async move {
            match settlement {
                Settlement::Ack => {
                    let acking = self.channel.basic_ack(tag, BasicAckOptions::default());
                    step(self.timeout, "delete a message", acking).await?;
                }
                Settlement::Requeue => {
                    let options = BasicNackOptions { requeue: true, multiple: false };
                    step(self.timeout, RETURN, self.channel.basic_nack(tag, options)).await?;
                }
            }
            Ok(if self.is_usable() { Settled::Done } else { Settled::Stale })
        }
        .boxed()
    }

    fn is_usable(&self) -> bool {
        self.channel.status().connected()
    }
}

/// Where a message stands that was looked at and let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    window: usize,
    tag: u64,
}

impl std::fmt::Debug for Walk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk").field("queue", &self.queue).field("left", &self.left).finish_non_exhaustive()
    }
}

impl Walk {
    /// Connects and counts; a missing queue is an error.
    pub async fn open(endpoint: &Endpoint, queue: &str) -> Result<Self, Error> {
        let timeout = endpoint.timeout;
        let connection = connect(endpoint, "dead-letters").await?;
        let Some(total) = ready(&connection, queue, timeout).await? else {
            return Err(Error::NoQueue { queue: queue.to_owned() });
        };
        let (queue, total) = (queue.to_owned(), u64::from(total));
        Ok(Self { connection, queue, windows: Vec::new(), total, left: total, largest: 0, timeout })
    }

    /// The queue's name.
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// How many messages there were at the start that nobody else held.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many of them have not been seen.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Makes room for further messages if there is none. Must not be dropped half-way.
    pub async fn make_room(&mut self) -> Result<(), Error> {
        let is_full =
            self.windows.last().is_none_or(|window| window.kept.len() >= usize::from(window.places));
        if self.left == 0 || !is_full {
            return Ok(());
        }
        let places = self.next_places();
        self.largest = 0;
        let channel = step(self.timeout, "open a channel", self.connection.create_channel()).await?;
        let qos = channel.basic_qos(places, BasicQosOptions { global: false });
        step(self.timeout, "limit the prefetch", qos).await?;
        let (queue, options) = (self.queue.as_str().into(), BasicConsumeOptions::default());
        let consuming = channel.basic_consume(queue, "".into(), options, FieldTable::default());
        let consumer = step(self.timeout, READ, consuming).await?;
        let settles = Arc::new(OneByOne { channel: channel.clone(), timeout: self.timeout });
        self.windows.push(Window { channel, settles, consumer, places, kept: Vec::new() });
        Ok(())
    }

    fn next_places(&self) -> u16 {
        if self.windows.is_empty() {
            return FIRST_WINDOW;
        }
        let fit = u16::try_from(WINDOW_BYTES / self.largest.max(1)).unwrap_or(u16::MAX);
        fit.clamp(*WINDOW.start(), *WINDOW.end())
    }

    /// The next message; `None` when all that were there at the start have been seen, or somebody else holds the rest.
    /// Wants [`Walk::make_room`] before it. Safe to drop and call again.
    pub async fn next(&mut self) -> Result<Option<Delivery>, Error> {
        let Some(window) = self.windows.last_mut().filter(|_| self.left > 0) else { return Ok(None) };
        let (started, mut was_empty) = (Instant::now(), false);
        loop {
            match timeout(QUIET, window.consumer.next()).await {
                Ok(Some(Ok(delivery))) => {
                    self.left -= 1;
                    self.largest = self.largest.max(delivery.data.len());
                    let channel: Weak<OneByOne> = Arc::downgrade(&window.settles);
                    return Ok(Some(super::rabbitmq::delivery(delivery, channel)));
                }
                Ok(Some(Err(error))) => return Err(Error::lapin(READ, error)),
                Ok(None) if self.connection.status().connected() => {
                    return Err(Error::Cancelled { queue: self.queue.clone() });
                }
                Ok(None) => return Err(Error::Closed { role: "dead-letters" }),
                Err(_) => {}
            }
            // Twice, because a message can be on its way when the first answer is made.
            let is_empty = ready(&self.connection, &self.queue, self.timeout).await? == Some(0);
            if is_empty && was_empty {
                return Ok(None);
            }
            was_empty = is_empty;
            if !is_empty && started.elapsed() > self.timeout {
                return Err(Error::Timeout { step: READ, after: self.timeout });
            }
        }
    }

    /// The message just seen stays in the queue, unless its mark is given to [`Walk::delete`]; its content can go.
    pub fn keep(&mut self, delivery: &Delivery) -> Mark {
        let mark = Mark { window: self.windows.len().saturating_sub(1), tag: delivery.tag };
        if let Some(window) = self.windows.last_mut() {
            window.kept.push(delivery.tag);
        }
        mark
    }

    /// Takes messages out of the queue for good. It is done when [`Walk::finish`] has returned.
    pub async fn delete(&mut self, marks: &[Mark]) -> Result<(), Error> {
        for mark in marks {
            let Some(window) = self.windows.get_mut(mark.window) else { continue };
            let acking = window.channel.basic_ack(mark.tag, BasicAckOptions::default());
            step(self.timeout, "delete a message", acking).await?;
            if let Ok(at) = window.kept.binary_search(&mark.tag) {
                window.kept.remove(at);
            }
        }
        Ok(())
    }

    /// Ends the walk: whatever was settled counts, all else goes back to its place.
    pub async fn finish(mut self) -> Result<(), Error> {
        let timeout = self.timeout;
        try_join_all(self.windows.iter_mut().map(|window| window.stop(timeout))).await?;
        for window in &mut self.windows {
            window.put_back(timeout).await?;
        }
        self.wait_until_back().await?;
        step(timeout, "close the connection", self.connection.close(200, "OK".into())).await
    }

    /// The broker does not answer a nack. Whoever looks at the queue next should find all of it; unless somebody else
    /// takes messages out, for which nobody waits long.
    async fn wait_until_back(&self) -> Result<(), Error> {
        let kept: usize = self.windows.iter().map(|window| window.kept.len()).sum();
        let started = Instant::now();
        while started.elapsed() < RETURNED && kept > 0 {
            let ready = ready(&self.connection, &self.queue, self.timeout).await?.unwrap_or_default();
            if usize::try_from(ready).is_ok_and(|ready| ready >= kept) {
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }
}

impl Window {
    /// Takes no more, and notes what has arrived unseen.
    ///
    /// The queue answers a cancel after it has done all that it was told before; the request after that reaches the
    /// broker's part of the channel when it knows so, and has let go of what it held back.
    async fn stop(&mut self, timeout: Duration) -> Result<(), Error> {
        let cancelling = self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default());
        step(timeout, "stop reading", cancelling).await?;
        let unseen = self.consumer.by_ref().map_ok(|delivery| delivery.delivery_tag);
        let unseen: Vec<u64> = step(timeout, "stop reading", unseen.try_collect()).await?;
        self.kept.extend(unseen);
        self.round_trip(timeout).await
    }

    async fn put_back(&mut self, timeout: Duration) -> Result<(), Error> {
        self.kept.sort_unstable();
        // nack, not reject: from RabbitMQ 4.3 on only a reject counts towards a queue's delivery limit.
        let options = BasicNackOptions { requeue: true, multiple: true };
        for last in self.kept.chunks(BATCH).filter_map(<[u64]>::last) {
            step(timeout, RETURN, self.channel.basic_nack(*last, options)).await?;
        }
        self.round_trip(timeout).await
    }

    /// Once a request is answered, everything before it on the channel was handled.
    async fn round_trip(&self, timeout: Duration) -> Result<(), Error> {
        let asking = self.channel.basic_qos(self.places, BasicQosOptions { global: false });
        step(timeout, RETURN, asking).await
    }
}
