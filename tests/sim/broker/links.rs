//! Links: how their deliveries are settled, and what comes again when they are lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use connection_worker::broker::delivery::Settlement;
use connection_worker::broker::topology::DELIVERY_LIMIT;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::hold::{Event, LinkState, State};
use super::queue::{Held, Stored};
use crate::parts::JOBS;
use crate::trace::{NOBODY, What};

impl State {
    pub(super) fn settle(&mut self, link: usize, tag: u64, settlement: Settlement) {
        if !self.links[link].consumes {
            return;
        }
        let Some(Held { consumer, message }) = self.links[link].held.remove(&tag) else { return };
        self.consumers[consumer].unsettled -= 1;
        let queue = self.consumers[consumer].queue;
        match settlement {
            Settlement::Ack => self.trace.note(What::Acked, message.job, link),
            Settlement::Requeue => {
                self.trace.note(What::Requeued, message.job, link);
                self.take_back(queue, message);
            }
        }
        self.hand_out(queue);
    }

    /// To the front, and counted; a message that came back too often is parked.
    fn take_back(&mut self, queue: usize, mut message: Stored) {
        message.count += 1;
        if message.count > DELIVERY_LIMIT {
            let dead = self.queue(&format!("{JOBS}.dead"));
            return self.put(dead, message, false);
        }
        self.queues[queue].ready.push_front(message);
    }

    /// The broker finds that a link is gone: whatever it held comes again.
    pub(super) fn give_back(&mut self, link: usize) {
        let mut held = std::mem::take(&mut self.links[link].held);
        while let Some((_, Held { consumer, message })) = held.pop_last() {
            self.trace.note(What::CameBack, message.job, link);
            let queue = self.consumers[consumer].queue;
            self.take_back(queue, message);
        }
        (0..self.queues.len()).for_each(|queue| self.hand_out(queue));
    }

    /// A link is lost, and the broker notices after a while.
    pub(super) fn cut(&mut self, link: usize, notices: Duration) {
        self.links[link].publishes = false;
        self.stop_consuming(link, notices);
        self.links[link].lost.notify_waiters();
    }

    /// The part of a link that consumes is gone.
    pub(super) fn stop_consuming(&mut self, link: usize, notices: Duration) {
        if !std::mem::take(&mut self.links[link].consumes) {
            return;
        }
        self.seen.links_lost += 1;
        self.trace.note(What::Cut, NOBODY, self.links[link].worker);
        for number in 0..self.consumers.len() {
            if self.consumers[number].link == link {
                self.end_consumer(number);
            }
        }
        self.at(Instant::now() + notices, Event::Return { link });
    }

    pub(super) fn end_consumer(&mut self, number: usize) {
        self.consumers[number].ended = true;
        self.consumers[number].news.notify_one();
        let queue = self.consumers[number].queue;
        self.queues[queue].consumers.retain(|other| *other != number);
    }

    pub(super) fn lose(&mut self, worker: usize, notices: Duration) {
        for link in 0..self.links.len() {
            if self.links[link].worker == worker {
                self.cut(link, notices);
            }
        }
    }

    pub(super) fn open(&mut self, worker: usize) -> Option<usize> {
        let now = self.began.elapsed();
        if self.unkind.down.iter().any(|(from, until)| (*from..*until).contains(&now)) {
            return None;
        }
        let (held, lost) = (BTreeMap::new(), Arc::new(Notify::new()));
        self.links.push(LinkState { worker, consumes: true, publishes: true, held, lost });
        Some(self.links.len() - 1)
    }
}
