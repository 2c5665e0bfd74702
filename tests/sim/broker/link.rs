//! The seam's side of the broker: what a worker sees of it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use connection_worker::broker::Error;
use connection_worker::broker::delivery::{Delivery, Message, Settled, Settlement};
use connection_worker::broker::link::{Consume, Depth, Link, Publish, Settle};
use connection_worker::broker::properties::Properties;
use connection_worker::broker::publisher::PublishError;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep, sleep_until};

use super::Broker;
use super::hold::Event;
use super::step::{Next, Word};
use crate::life::Life;

/// After so long without a confirm a message counts as unconfirmed (`AMQP_TIMEOUT`).
pub(super) const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);

/// Pauses before a refused message is published again, in milliseconds.
const REFUSED_PAUSES: [u64; 3] = [200, 1_000, 2_000];

const CONSUME: Error = Error::Closed { role: "consume" };
const PUBLISH: Error = Error::Closed { role: "publish" };

/// One connection of a worker's.
#[derive(Debug, Clone)]
struct End {
    broker: Broker,
    link: usize,
    life: Life,
    /// Whoever has it settles.
    settling: Arc<Mutex<()>>,
}

impl End {
    /// A step that takes its time; an error if the link is lost before or meanwhile.
    async fn step(&self) -> Result<(), Error> {
        self.life.step().await;
        let delay = self.broker.state().begin_step(self.link);
        sleep(delay).await;
        self.life.step().await;
        if self.consumes() { Ok(()) } else { Err(CONSUME) }
    }

    fn consumes(&self) -> bool {
        self.broker.state().links[self.link].consumes
    }
}

/// A link to the broker.
#[derive(Debug)]
pub(crate) struct SimLink {
    end: End,
    channel: Arc<SimChannel>,
    publisher: Arc<SimPublisher>,
}

impl SimLink {
    pub(super) fn new(broker: Broker, link: usize, life: Life) -> Self {
        let end = End { broker, link, life, settling: Arc::default() };
        let (channel, publisher) = (SimChannel(end.clone()), SimPublisher(end.clone()));
        Self { end, channel: Arc::new(channel), publisher: Arc::new(publisher) }
    }
}

/// Whoever drops a link has closed it; what is unsettled goes back. Its publisher may still be used.
impl Drop for SimLink {
    fn drop(&mut self) {
        if !self.end.life.is_dead() {
            self.end.broker.state().stop_consuming(self.end.link, Duration::ZERO);
        }
    }
}

impl Link for SimLink {
    type Consumer = SimConsumer;
    type Publisher = SimPublisher;

    async fn consume(&self, queue: &str, prefetch: u16) -> Result<SimConsumer, Error> {
        assert!(prefetch > 0, "a prefetch of 0 means no limit");
        self.end.step().await?;
        let news = Arc::new(Notify::new());
        let number = self.end.broker.state().consume(self.end.link, queue, prefetch, Arc::clone(&news));
        Ok(SimConsumer { end: self.end.clone(), channel: Arc::downgrade(&self.channel), number, news })
    }

    fn publisher(&self) -> Arc<SimPublisher> {
        Arc::clone(&self.publisher)
    }

    fn check(&self) -> Result<(bool, bool), Error> {
        let state = self.end.broker.state();
        let link = &state.links[self.end.link];
        match (link.consumes, link.publishes) {
            _ if self.end.life.is_dead() => Ok((false, false)),
            (false, _) => Err(CONSUME),
            (true, false) => Err(PUBLISH),
            (true, true) => Ok((false, state.blocked_until().is_some())),
        }
    }

    async fn depth(&self, queue: &str) -> Result<Option<Depth>, Error> {
        self.end.step().await?;
        Ok(self.end.broker.state().depth(queue))
    }

    async fn settled(&self, _queue: &str) -> Result<(), Error> {
        self.end.step().await?;
        while self.end.broker.state().is_settling(self.end.link) {
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    async fn close(&self) -> Result<(), Error> {
        self.end.step().await?;
        self.end.broker.state().stop_consuming(self.end.link, Duration::ZERO);
        Ok(())
    }
}

/// A consumer.
#[derive(Debug)]
pub(crate) struct SimConsumer {
    end: End,
    channel: Weak<SimChannel>,
    number: usize,
    news: Arc<Notify>,
}

impl SimConsumer {
    fn delivery(&self, (message, tag): (Message, u64)) -> Delivery {
        let channel: Weak<SimChannel> = Weak::clone(&self.channel);
        Delivery::new(message, tag, channel)
    }
}

impl Consume for SimConsumer {
    async fn hold(&self) -> Box<dyn Send> {
        Box::new(Arc::clone(&self.end.settling).lock_owned().await)
    }

    async fn next(&mut self) -> Result<Delivery, Error> {
        loop {
            let next = self.end.broker.state().next(self.number);
            match next {
                Next::Message(taken) => {
                    self.end.life.step().await;
                    return Ok(self.delivery(*taken));
                }
                Next::Lost => {
                    self.end.life.step().await;
                    return Err(CONSUME);
                }
                Next::Nothing => self.news.notified().await,
                Next::Later(due) => tokio::select! {
                    biased;
                    () = self.news.notified() => {}
                    () = sleep_until(due) => {}
                },
            }
        }
    }

    async fn cancel(&mut self) -> Result<Vec<Delivery>, Error> {
        let began = Instant::now();
        self.end.step().await?;
        let buffered = self.end.broker.state().cancel(self.number, began);
        Ok(buffered.into_iter().map(|taken| self.delivery(taken)).collect())
    }
}

/// Settles the deliveries of a link.
#[derive(Debug)]
pub(crate) struct SimChannel(End);

impl Settle for SimChannel {
    /// The settlement is on its way when this returns, and may be lost with the link.
    fn settle(&self, tag: u64, settlement: Settlement) -> BoxFuture<'_, Result<Settled, Error>> {
        async move {
            let Self(End { broker, link, life, settling }) = self;
            life.step().await;
            let _turn = settling.lock().await;
            let mut state = broker.state();
            let delay = state.begin_step(*link);
            if !state.links[*link].consumes {
                return Ok(Settled::Stale);
            }
            state.at(Instant::now() + delay, Event::Settle { link: *link, tag, settlement });
            Ok(Settled::Done)
        }
        .boxed()
    }

    fn is_usable(&self) -> bool {
        self.0.consumes()
    }
}

/// Publishes.
#[derive(Debug)]
pub(crate) struct SimPublisher(End);

impl SimPublisher {
    async fn once(&self, queue: &str, properties: &Properties, body: &[u8]) -> Result<(), PublishError> {
        let Self(End { broker, link, life, .. }) = self;
        life.step().await;
        let unconfirmed = |error| Err(PublishError::Unconfirmed(error));
        if !self.is_connected() {
            return unconfirmed(PUBLISH);
        }
        let blocked = broker.state().blocked_until();
        if let Some(until) = blocked {
            // Nothing is read from the connection: what is sent waits in it.
            sleep_until(until.min(Instant::now() + CONFIRM_TIMEOUT)).await;
            life.step().await;
            if broker.state().blocked_until().is_some() {
                return unconfirmed(Error::Timeout { step: "publish a message", after: CONFIRM_TIMEOUT });
            }
        }
        let (word, delay, lost) = broker.state().publish(*link, queue, properties, body);
        tokio::select! {
            biased;
            () = lost.notified() => {}
            () = sleep(delay) => {}
        }
        life.step().await;
        match word {
            _ if !self.is_connected() => unconfirmed(PUBLISH),
            Word::Confirmed => Ok(()),
            Word::Returned => Err(PublishError::Returned { queue: queue.to_owned() }),
            Word::Refused => Err(PublishError::Refused(None)),
            Word::Unconfirmed => {
                unconfirmed(Error::Timeout { step: "publish a message", after: CONFIRM_TIMEOUT })
            }
        }
    }
}

impl Publish for SimPublisher {
    /// What is refused is published again, as the product's own publisher does.
    async fn publish(&self, queue: &str, properties: &Properties, body: &[u8]) -> Result<(), PublishError> {
        for pause in REFUSED_PAUSES {
            match self.once(queue, properties, body).await {
                Err(PublishError::Refused(None)) => sleep(Duration::from_millis(pause)).await,
                other => return other,
            }
        }
        self.once(queue, properties, body).await
    }

    async fn unblocked(&self) {
        loop {
            let blocked = self.0.broker.state().blocked_until();
            match blocked.filter(|_| self.is_connected()) {
                Some(until) => sleep_until(until).await,
                None => return,
            }
        }
    }

    fn is_connected(&self) -> bool {
        self.0.broker.state().links[self.0.link].publishes
    }
}
