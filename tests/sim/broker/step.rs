//! What the broker does at each step that a worker takes over a link.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use connection_worker::broker::delivery::{Message, Settlement};
use connection_worker::broker::link::Depth;
use connection_worker::broker::properties::Properties;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::chance;
use super::hold::{Event, State};
use super::link::CONFIRM_TIMEOUT;
use super::queue::{Consumer, Stored};
use crate::job;
use crate::trace::{NOBODY, What};

/// What becomes of a message.
pub(super) enum Word {
    Confirmed,
    Returned,
    Refused,
    Unconfirmed,
}

/// What a consumer gets.
pub(super) enum Next {
    Message(Box<(Message, u64)>),
    Later(Instant),
    Nothing,
    Lost,
}

impl State {
    /// How long a step over a link takes; it may be the link's last.
    pub(super) fn begin_step(&mut self, link: usize) -> Duration {
        let share = self.unkind.cut;
        if self.is_unkind() && chance(&mut self.luck, share) {
            let notices = self.latency() * 20;
            self.cut(link, notices);
        }
        self.latency()
    }

    pub(super) fn consume(&mut self, link: usize, queue: &str, prefetch: u16, news: Arc<Notify>) -> usize {
        let queue = self.queue(queue);
        let number = self.consumers.len();
        let buffer = VecDeque::new();
        let prefetch = usize::from(prefetch);
        self.consumers.push(Consumer { link, queue, prefetch, unsettled: 0, buffer, ended: false, news });
        self.queues[queue].consumers.push(number);
        self.hand_out(queue);
        number
    }

    pub(super) fn next(&mut self, number: usize) -> Next {
        let consumer = &mut self.consumers[number];
        let link = consumer.link;
        if !self.links[link].consumes {
            return Next::Lost;
        }
        match consumer.buffer.front() {
            None => Next::Nothing,
            Some((due, _)) if *due > Instant::now() => Next::Later(*due),
            Some((_, tag)) => {
                let tag = *tag;
                consumer.buffer.pop_front();
                Next::Message(Box::new((self.message(link, tag), tag)))
            }
        }
    }

    /// A message as it is delivered.
    fn message(&self, link: usize, tag: u64) -> Message {
        let stored = &self.links[link].held[&tag].message;
        let Stored { properties, body, job, count } = stored;
        let what = if *count > 0 { What::Redelivered } else { What::Delivered };
        self.trace.note(what, *job, self.links[link].worker);
        let counted = (*count > 0).then(|| ("x-delivery-count", count.to_string()));
        let properties = match counted {
            None => properties.clone(),
            Some(counted) => properties.clone().with_headers([counted]),
        };
        Message { properties, body: body.to_vec(), redelivered: *count > 0 }
    }

    /// What came before the cancellation began is the consumer's. What was on its way by then the queue takes back, as a
    /// quorum queue does (rabbitmq-server#3729).
    pub(super) fn cancel(&mut self, number: usize, began: Instant) -> Vec<(Message, u64)> {
        self.end_consumer(number);
        let (link, buffer) = {
            let consumer = &mut self.consumers[number];
            (consumer.link, std::mem::take(&mut consumer.buffer))
        };
        let (late, untaken): (Vec<_>, Vec<_>) = buffer.into_iter().partition(|(came, _)| *came > began);
        for (_, tag) in late.into_iter().rev() {
            if let Some(held) = self.links[link].held.get(&tag) {
                self.seen.taken_back.insert(held.message.job);
            }
            self.settle(link, tag, Settlement::Requeue);
        }
        untaken.into_iter().map(|(_, tag)| (self.message(link, tag), tag)).collect()
    }

    pub(super) fn depth(&mut self, queue: &str) -> Option<Depth> {
        let queue = self.known(queue)?;
        let Self { queues, .. } = self;
        let ready = u32::try_from(queues[queue].ready.len()).unwrap_or(u32::MAX);
        let consumers = u32::try_from(queues[queue].consumers.len()).unwrap_or(u32::MAX);
        Some(Depth { ready, consumers })
    }

    /// Sends a message on its way: tells what the broker says of it, and when.
    pub(super) fn publish(
        &mut self,
        link: usize,
        queue: &str,
        properties: &Properties,
        body: &[u8],
    ) -> (Word, Duration, Arc<Notify>) {
        let there = self.begin_step(link);
        let publish_cut = self.unkind.publish_cut;
        if self.is_unkind() && chance(&mut self.luck, publish_cut) {
            self.links[link].publishes = false;
            self.seen.links_lost += 1;
            self.trace.note(What::Cut, NOBODY, self.links[link].worker);
            self.links[link].lost.notify_waiters();
        }
        let back = self.latency();
        let lost = Arc::clone(&self.links[link].lost);
        let job = properties.message_id().and_then(job::number);
        let job = job.or_else(|| properties.correlation_id().and_then(job::number)).unwrap_or(NOBODY);
        let Some(queue) = self.known(queue) else { return (Word::Returned, there + back, lost) };
        let message = Stored { properties: properties.clone(), body: body.into(), job, count: 0 };
        let survives = self.luck.bool();
        let event = Event::Put { link: Some(link), queue, message: Box::new(message), survives };
        let (refused, unconfirmed) = (self.unkind.refused, self.unkind.unconfirmed);
        if self.is_unkind() && chance(&mut self.luck, refused) {
            self.trace.note(What::Refused, job, queue);
            return (Word::Refused, there + back, lost);
        }
        if self.is_unkind() && chance(&mut self.luck, unconfirmed) {
            self.trace.note(What::Unconfirmed, job, queue);
            match self.luck.u8(0..4) {
                0 | 1 => {}
                2 => self.at(Instant::now() + there, event),
                _ => self.at(Instant::now() + CONFIRM_TIMEOUT + there * 100, event),
            }
            return (Word::Unconfirmed, CONFIRM_TIMEOUT, lost);
        }
        self.at(Instant::now() + there, event);
        (Word::Confirmed, there + back, lost)
    }

    /// A sender's message.
    pub(crate) fn send(&mut self, number: u32, properties: Properties, body: Vec<u8>) {
        let queue = self.queue(crate::parts::JOBS);
        self.trace.note(What::Sent, number, 0);
        let message = Stored { properties, body: body.into(), job: number, count: 0 };
        let event = Event::Put { link: None, queue, message: Box::new(message), survives: true };
        self.at(Instant::now(), event);
    }
}
