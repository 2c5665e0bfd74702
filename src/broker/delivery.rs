//! A message taken from the job queue, which must be settled exactly once.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use secrecy::zeroize::Zeroizing;

use super::Error;
use super::intake::{Counted, Load, Source};
use super::link::Settle;
use super::properties::Properties;
use crate::contract::history::History;

/// A message and the duty to settle it. Dropped unsettled, it comes again when the session ends.
#[derive(Debug)]
pub struct Delivery {
    /// Its content, wiped when nobody needs it any more.
    pub body: Bytes,
    /// Its properties.
    pub properties: Properties,
    /// What earlier deliveries have left in its headers.
    pub history: History,
    /// Whether the broker delivered it before: then the first attempt may have done the work.
    pub redelivered: bool,
    /// How many earlier deliveries ended badly, as the broker counts: hand-backs are among them up to RabbitMQ 4.2. Only
    /// quorum queues count; from a classic queue it is what the sender wrote.
    pub delivery_count: Option<u64>,
    /// Its number on its channel.
    pub(super) tag: u64,
    /// Where it came from.
    pub source: Source,
    counted: Option<Counted>,
    /// Its channel, which is the link's: a delivery must not keep it open, or what is unsettled would not come again.
    channel: Weak<dyn Settle>,
}

/// What the broker delivers.
#[derive(Debug, Default)]
pub struct Message {
    /// Its properties.
    pub properties: Properties,
    /// Its content.
    pub body: Vec<u8>,
    /// Whether it was delivered before.
    pub redelivered: bool,
}

/// How a delivery ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// Done: the broker forgets it.
    Ack,
    /// Not begun, or certainly not done: the broker delivers it again.
    Requeue,
}

/// Whether a settlement counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The broker was told, or another job is about to tell it.
    Done,
    /// The delivery belongs to a connection that is gone; the broker delivers it again.
    Stale,
}

impl Delivery {
    /// A message with this number on a channel.
    pub fn new(message: Message, tag: u64, channel: Weak<dyn Settle>) -> Self {
        let Message { properties, body, redelivered } = message;
        let history = History::read(|name| properties.header_text(name));
        let delivery_count = properties.header_text("x-delivery-count").and_then(|text| text.parse().ok());
        Self {
            body: Bytes::from_owner(Zeroizing::new(body)),
            properties,
            history,
            delivery_count,
            redelivered,
            tag,
            source: Source::Jobs,
            counted: None,
            channel,
        }
    }

    /// Lets it count as in flight from this source until it is settled or dropped.
    pub(super) fn from(self, source: Source, load: &Arc<Load>) -> Self {
        Self { source, counted: Some(load.delivered()), ..self }
    }

    /// Its job runs, until what this gives is dropped.
    pub fn run(&self) -> Option<Counted> {
        self.counted.as_ref().map(Counted::run)
    }

    /// Whether the connection that brought it is gone. Work on a stale delivery would be done twice.
    pub fn is_stale(&self) -> bool {
        self.channel.upgrade().is_none_or(|channel| !channel.is_usable())
    }

    /// Settles it. Consumes it: there is no second time.
    pub async fn settle(mut self, settlement: Settlement) -> Result<Settled, Error> {
        // The broker sends the next one for it before this returns, and that can take seconds while it is busy.
        self.body = Bytes::new();
        match self.channel.upgrade() {
            Some(channel) => channel.settle(self.tag, settlement).await,
            None => Ok(Settled::Stale),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;
    use lapin::BasicProperties;
    use lapin::types::{AMQPValue, FieldTable};

    use super::*;
    use crate::contract::history::{ATTEMPTS, TRIALS};

    #[derive(Debug)]
    struct Channel {
        usable: bool,
    }

    impl Settle for Channel {
        fn settle(&self, tag: u64, _settlement: Settlement) -> BoxFuture<'_, Result<Settled, Error>> {
            assert_eq!(tag, 7);
            let settled = if self.usable { Settled::Done } else { Settled::Stale };
            async move { Ok(settled) }.boxed()
        }

        fn is_usable(&self) -> bool {
            self.usable
        }
    }

    fn of(channel: &Arc<Channel>) -> Delivery {
        let channel: Weak<Channel> = Arc::downgrade(channel);
        Delivery::new(Message { body: b"{}".to_vec(), ..Message::default() }, 7, channel)
    }

    #[test]
    fn a_delivery_tells_what_earlier_ones_have_left() {
        let mut headers = FieldTable::default();
        for (name, text) in [(ATTEMPTS, "3"), (TRIALS, "1"), ("x-delivery-count", "2")] {
            headers.insert(name.into(), AMQPValue::LongString(text.into()));
        }
        let properties = Properties(BasicProperties::default().with_headers(headers));
        let message = Message { properties, ..Message::default() };
        let delivery = Delivery::new(message, 1, Weak::<Channel>::new());
        let expected = History { attempts: Some(3), trials: Some(1), ..History::default() };
        assert_eq!((delivery.history, delivery.delivery_count), (expected, Some(2)));
    }

    #[tokio::test]
    async fn a_delivery_is_settled_on_its_channel() {
        let channel = Arc::new(Channel { usable: true });
        assert!(!of(&channel).is_stale());
        assert_eq!(of(&channel).settle(Settlement::Ack).await.unwrap(), Settled::Done);
    }

    #[tokio::test]
    async fn a_delivery_of_a_channel_that_is_gone_is_stale() {
        let channel = Arc::new(Channel { usable: false });
        assert!(of(&channel).is_stale());
        let last = of(&channel);
        drop(channel);
        assert!(last.is_stale());
        assert_eq!(last.settle(Settlement::Requeue).await.unwrap(), Settled::Stale);
    }
}
