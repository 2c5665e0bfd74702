//! Acknowledges jobs: as many at once as happen to be done.
//!
//! An acknowledgement costs the broker an entry in the queue's log, however many jobs it covers. So those that become ready
//! while another is being sent go together: one for all that are done from the oldest on, and one for each that is done
//! after one which is not. Nobody waits for a job that is not done.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, try_join_all};
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use tokio::sync::OwnedMutexGuard;

use super::Error;
use super::connection::step;
use super::delivery::{Settled, Settlement};
use super::link::Settle;

/// The acknowledgements of one channel.
pub(super) struct Acks {
    channel: Channel,
    window: Mutex<Window>,
    /// Whoever has it sends for all.
    turn: Arc<tokio::sync::Mutex<Sending>>,
    timeout: Duration,
}

/// The turn to send. Nobody else sends meanwhile.
pub(super) type Turn = OwnedMutexGuard<Sending>;

/// Whether all that was taken to be sent has been sent.
#[derive(Debug, Default)]
pub(super) struct Sending {
    broken: bool,
}

impl std::fmt::Debug for Acks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acks").field("channel", &self.channel.id()).finish_non_exhaustive()
    }
}

impl Acks {
    /// Of a channel on which nothing has been delivered yet.
    pub(super) fn new(channel: Channel, timeout: Duration) -> Self {
        Self { channel, window: Mutex::default(), turn: Arc::default(), timeout }
    }

    pub(super) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// A delivery has come.
    pub(super) fn delivered(&self, tag: u64) {
        self.window().delivered(tag);
    }

    /// Waits for the turn to send.
    pub(super) async fn turn(&self) -> Turn {
        Arc::clone(&self.turn).lock_owned().await
    }

    async fn hand_back(&self, tag: u64) -> Result<bool, lapin::Error> {
        let _turn = self.turn().await;
        // nack, not reject: from RabbitMQ 4.3 on only a reject counts towards a queue's delivery limit.
        self.channel.basic_nack(tag, BasicNackOptions { requeue: true, multiple: false }).await?;
        self.window().settled(tag);
        Ok(true)
    }

    /// Acknowledges a delivery, and whatever else is ready; one that another job is sending along is left to it. `false` if
    /// it is not sent because the channel is gone or an earlier one could not be sent: then the session is over. If dropped
    /// half-way, it is over as well.
    async fn ack(&self, tag: u64) -> Result<bool, lapin::Error> {
        self.window().ready(tag);
        // Replies are confirmed many at a time: the jobs of the others are about to be ready, too.
        tokio::task::yield_now().await;
        if !self.window().is_ready(tag) {
            // There is nothing to wait for: that a frame was written is no word of the broker's.
            return Ok(self.channel.status().connected());
        }
        let mut turn = self.turn().await;
        if turn.broken {
            return Ok(false);
        }
        // Nothing is left to send if somebody else has sent it meanwhile.
        let due = self.window().take();
        turn.broken = true;
        let send = |Ack { tag, multiple }| self.channel.basic_ack(tag, BasicAckOptions { multiple });
        try_join_all(due.into_iter().map(send)).await?;
        turn.broken = false;
        Ok(true)
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Settle for Acks {
    fn settle(&self, tag: u64, settlement: Settlement) -> BoxFuture<'_, Result<Settled, Error>> {
        async move {
            let settled = match settlement {
                Settlement::Ack => step(self.timeout, "acknowledge a job", self.ack(tag)).await,
                Settlement::Requeue => step(self.timeout, "hand a job back", self.hand_back(tag)).await,
            };
            match settled {
                Ok(true) => Ok(Settled::Done),
                Ok(false) => Ok(Settled::Stale),
                Err(_) if !self.is_usable() => Ok(Settled::Stale),
                Err(error) => Err(error),
            }
        }
        .boxed()
    }

    fn is_usable(&self) -> bool {
        self.channel.status().connected()
    }
}

/// An acknowledgement to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ack {
    tag: u64,
    /// Of all that were delivered before, too.
    multiple: bool,
}

/// The deliveries of a channel that are not settled.
#[derive(Debug, Default)]
struct Window {
    /// The tag of the last that has come.
    last: u64,
    /// The tags of those that are being worked on.
    open: BTreeSet<u64>,
    /// The tags of those that are to be acknowledged.
    ready: Vec<u64>,
}

impl Window {
    fn delivered(&mut self, tag: u64) {
        // Tags are 1, 2, 3 and so on, but those of several consumers get here in any order. One that has not got here, or never
        // does, stays open, so that nothing covers it.
        if tag > self.last {
            self.open.extend(self.last + 1..=tag);
            self.last = tag;
        }
    }

    fn ready(&mut self, tag: u64) {
        self.open.remove(&tag);
        self.ready.push(tag);
    }

    /// Whether it is still to be sent.
    fn is_ready(&self, tag: u64) -> bool {
        self.ready.contains(&tag)
    }

    fn settled(&mut self, tag: u64) {
        self.open.remove(&tag);
    }

    /// What is to be sent; from then on it counts as settled.
    fn take(&mut self) -> Vec<Ack> {
        let oldest_open = self.open.first().copied().unwrap_or(u64::MAX);
        let (front, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.ready).into_iter().partition(|tag| *tag < oldest_open);
        let front = front.into_iter().max().map(|tag| Ack { tag, multiple: true });
        front.into_iter().chain(rest.into_iter().map(|tag| Ack { tag, multiple: false })).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(tag: u64) -> Ack {
        Ack { tag, multiple: false }
    }

    fn all_up_to(tag: u64) -> Ack {
        Ack { tag, multiple: true }
    }

    #[test]
    fn what_is_done_from_the_oldest_on_goes_together_and_the_rest_one_by_one() {
        let mut window = Window::default();
        for tag in 1..=6 {
            window.delivered(tag);
        }
        for tag in [4, 1, 2] {
            window.ready(tag);
        }
        assert!(window.is_ready(4));
        assert_eq!(window.take(), [all_up_to(2), one(4)]);
        assert!(!window.is_ready(4));
        assert_eq!(window.take(), []);
        window.ready(6);
        assert_eq!(window.take(), [one(6)]);
        window.ready(3);
        assert_eq!(window.take(), [all_up_to(3)]);
        window.settled(5);
        assert_eq!(window.take(), [], "what was settled otherwise is not acknowledged");
        window.delivered(7);
        window.ready(7);
        assert_eq!(window.take(), [all_up_to(7)]);
    }

    #[test]
    fn deliveries_of_several_consumers_come_in_any_order() {
        let mut window = Window::default();
        for tag in [3, 1, 2, 4] {
            window.delivered(tag);
        }
        for tag in [3, 4] {
            window.ready(tag);
        }
        assert_eq!(window.take(), [one(3), one(4)], "1 and 2 are not done");
        window.ready(1);
        window.ready(2);
        assert_eq!(window.take(), [all_up_to(2)]);
        assert!(window.open.is_empty());
    }

    #[test]
    fn one_that_was_never_seen_is_not_covered() {
        let mut window = Window::default();
        for tag in [1, 3] {
            window.delivered(tag);
            window.ready(tag);
        }
        assert_eq!(window.take(), [all_up_to(1), one(3)]);
    }

    /// What the broker holds: an acknowledgement of what it does not hold ends the channel (AMQP 0-9-1, `basic.ack`).
    #[derive(Debug, Default)]
    struct Broker {
        unsettled: BTreeSet<u64>,
    }

    impl Broker {
        /// Gives the deliveries that an acknowledgement settles.
        fn acknowledged(&mut self, ack: Ack) -> Vec<u64> {
            assert!(self.unsettled.contains(&ack.tag), "{ack:?} is of a delivery that is not held");
            let settled = |tag: &u64| *tag == ack.tag || (ack.multiple && *tag < ack.tag);
            let gone = self.unsettled.iter().copied().filter(settled).collect();
            self.unsettled.retain(|tag| !settled(tag));
            gone
        }
    }

    proptest! {
        /// Each step delivers some, ends one of those in hand, and now and then sends what is due.
        #[test]
        fn each_delivery_is_acknowledged_once_and_none_before_it_is_done(
            steps in proptest::collection::vec((0..4_u64, any::<prop::sample::Index>(), any::<bool>(), any::<bool>()), 1..200),
        ) {
            let (mut window, mut broker) = (Window::default(), Broker::default());
            let (mut next, mut in_hand, mut done) = (1, Vec::new(), BTreeSet::new());
            for (new, which, is_done, send) in steps {
                for tag in next..next + new {
                    window.delivered(tag);
                    broker.unsettled.insert(tag);
                    in_hand.push(tag);
                }
                next += new;
                if !in_hand.is_empty() {
                    let tag = in_hand.swap_remove(which.index(in_hand.len()));
                    if is_done {
                        window.ready(tag);
                        done.insert(tag);
                    } else {
                        broker.unsettled.remove(&tag);
                        window.settled(tag);
                    }
                }
                if send {
                    for ack in window.take() {
                        for tag in broker.acknowledged(ack) {
                            prop_assert!(done.remove(&tag), "{tag} was not done");
                        }
                    }
                    prop_assert!(done.is_empty(), "{done:?} were not acknowledged");
                }
            }
        }
    }
}
