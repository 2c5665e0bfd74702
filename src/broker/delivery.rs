//! A message taken from the job queue, which must be settled exactly once.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use lapin::Acker;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use secrecy::zeroize::Zeroizing;

use super::Error;
use super::acks::Acks;
use super::connection::step;
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
    acker: Acker,
    /// With which others it is acknowledged together, if with any. The session's: a delivery must not keep its channel open,
    /// or what is unsettled would not come again.
    acks: Option<Weak<Acks>>,
    timeout: Duration,
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
    pub(super) fn new(delivery: lapin::message::Delivery, timeout: Duration) -> Self {
        let properties = Properties(delivery.properties);
        let history = History::read(|name| properties.header_text(name));
        let delivery_count = properties.header_text("x-delivery-count").and_then(|text| text.parse().ok());
        Self {
            body: Bytes::from_owner(Zeroizing::new(delivery.data)),
            properties,
            history,
            delivery_count,
            redelivered: delivery.redelivered,
            tag: delivery.delivery_tag,
            acker: delivery.acker,
            acks: None,
            timeout,
        }
    }

    /// Lets it be acknowledged together with others of its channel. To be called in the order of arrival.
    pub(super) fn among(self, acks: &Arc<Acks>) -> Self {
        acks.delivered(self.tag);
        Self { acks: Some(Arc::downgrade(acks)), ..self }
    }

    /// Whether the connection that brought it is gone. Work on a stale delivery would be done twice.
    pub fn is_stale(&self) -> bool {
        !self.acker.usable()
    }

    /// Settles it. Consumes it: there is no second time.
    pub async fn settle(mut self, settlement: Settlement) -> Result<Settled, Error> {
        // The broker sends the next one for it before this returns, and that can take seconds while it is busy.
        self.body = Bytes::new();
        let settled = match settlement {
            Settlement::Ack => step(self.timeout, "acknowledge a job", self.acknowledge()).await,
            Settlement::Requeue => step(self.timeout, "hand a job back", self.hand_back()).await,
        };
        match settled {
            Ok(true) => Ok(Settled::Done),
            Ok(false) => Ok(Settled::Stale),
            Err(_) if !self.acker.usable() && self.acker.poisoned() => Ok(Settled::Stale),
            Err(error) => Err(error),
        }
    }

    async fn acknowledge(&self) -> Result<bool, lapin::Error> {
        match self.acks.as_ref().map(Weak::upgrade) {
            Some(Some(acks)) => acks.ack(self.tag).await,
            Some(None) => Ok(false),
            None => self.acker.ack(BasicAckOptions::default()).await,
        }
    }

    async fn hand_back(&self) -> Result<bool, lapin::Error> {
        // nack, not reject: from RabbitMQ 4.3 on only a reject counts towards a queue's delivery limit.
        let done = self.acker.nack(BasicNackOptions { requeue: true, multiple: false }).await?;
        if done && let Some(acks) = self.acks.as_ref().and_then(Weak::upgrade) {
            acks.settled(self.tag);
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use lapin::BasicProperties;
    use lapin::types::{AMQPValue, FieldTable};

    use super::*;
    use crate::contract::history::{ATTEMPTS, TRIALS};

    fn delivery() -> (Acker, Delivery) {
        let mock = lapin::message::Delivery::mock(1, "".into(), "jobs".into(), false, b"{}".to_vec());
        (mock.acker.clone(), Delivery::new(mock, Duration::from_secs(1)))
    }

    #[test]
    fn a_delivery_tells_what_earlier_ones_have_left() {
        let mut mock = lapin::message::Delivery::mock(1, "".into(), "jobs".into(), true, Vec::new());
        let mut headers = FieldTable::default();
        for (name, text) in [(ATTEMPTS, "3"), (TRIALS, "1"), ("x-delivery-count", "2")] {
            headers.insert(name.into(), AMQPValue::LongString(text.into()));
        }
        mock.properties = BasicProperties::default().with_headers(headers);
        let delivery = Delivery::new(mock, Duration::from_secs(1));
        let expected = History { attempts: Some(3), trials: Some(1), ..History::default() };
        assert_eq!((delivery.history, delivery.delivery_count), (expected, Some(2)));
    }

    #[tokio::test]
    async fn a_delivery_is_settled_once() {
        let (_, fresh) = delivery();
        assert!(!fresh.is_stale());
        assert_eq!(fresh.settle(Settlement::Ack).await.unwrap(), Settled::Done);
    }

    #[tokio::test]
    async fn a_settlement_that_did_not_count_is_told() {
        let (acker, used) = delivery();
        acker.ack(BasicAckOptions::default()).await.unwrap();
        assert!(used.is_stale());
        assert_eq!(used.settle(Settlement::Requeue).await.unwrap(), Settled::Stale);
    }
}
