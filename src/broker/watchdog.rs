//! Notices a consumer that gets nothing although its queue holds messages for it.
//!
//! A consumer can die without a word: the broker may lose it when a queue changes its leader, and both sides go on as
//! if all were well. The queue itself is asked, and only when nothing came for long and nothing is in hand; a look that
//! fails tells as much as a starved consumer.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::Error;
use super::link::Link;

/// When to become suspicious.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Nothing comes for so long before the queue is asked.
    pub quiet: Duration,
    /// Time between two looks.
    pub pause: Duration,
}

impl Default for Timing {
    /// A look costs a channel, and most quiet queues are empty: so it is rare. A starved consumer is replaced within a
    /// minute all the same; jobs that wait for one are far from any deadline of theirs.
    fn default() -> Self {
        Self { quiet: Duration::from_secs(30), pause: Duration::from_secs(15) }
    }
}

/// Decides when to look, and what was seen.
#[derive(Debug)]
struct Vigil {
    timing: Timing,
    /// Since when nothing came and nothing was in hand.
    quiet_since: Instant,
    last_look: Option<Instant>,
    /// The last look found messages, and nothing came since.
    suspicious: bool,
}

impl Vigil {
    fn new(timing: Timing, now: Instant) -> Self {
        Self { timing, quiet_since: now, last_look: None, suspicious: false }
    }

    /// The consumer is well, or cannot be blamed.
    fn calm(&mut self, now: Instant) {
        self.quiet_since = now;
        self.suspicious = false;
    }

    /// Whether to look now.
    fn is_due(&mut self, idle: bool, now: Instant) -> bool {
        if !idle {
            self.calm(now);
        }
        let due = now - self.quiet_since >= self.timing.quiet
            && self.last_look.is_none_or(|last| now - last >= self.timing.pause);
        if due {
            self.last_look = Some(now);
        }
        due
    }

    /// Whether so many ready messages mean that the consumer is starved. Once is not enough: they may just be coming.
    fn is_starved(&mut self, ready: u32) -> bool {
        let nothing_came = self.last_look.is_some_and(|last| last >= self.quiet_since);
        let found = ready > 0 && nothing_came;
        let starved = found && self.suspicious;
        self.suspicious = found;
        starved
    }
}

/// Watches the consumer of one session. It looks while the session waits for a delivery, so nothing waits for it.
pub(super) struct Watchdog<L> {
    vigil: Vigil,
    link: Arc<L>,
    queue: String,
    /// A look that is under way: the number of ready messages.
    look: Option<BoxFuture<'static, Result<u32, Error>>>,
}

impl<L: Link> Watchdog<L> {
    pub(super) fn new(timing: Timing, link: Arc<L>, queue: String) -> Self {
        Self { vigil: Vigil::new(timing, Instant::now()), link, queue, look: None }
    }

    /// A delivery came.
    pub(super) fn delivered(&mut self) {
        self.vigil.calm(Instant::now());
    }

    /// Begins a look if it is time for one. `idle`: nothing is in hand, and jobs are wanted.
    pub(super) fn tick(&mut self, idle: bool) {
        if self.vigil.is_due(idle, Instant::now()) && self.look.is_none() {
            let (link, queue) = (Arc::clone(&self.link), self.queue.clone());
            let look = async move {
                // A queue that is gone has cancelled its consumer.
                Ok(link.depth(&queue).await?.unwrap_or_default().ready)
            };
            self.look = Some(look.boxed());
        }
    }

    /// Resolves when the consumer is starved, or a look failed; for ever pending else. Safe to drop and call again.
    pub(super) async fn alarm(&mut self) -> Error {
        while let Some(look) = &mut self.look {
            let looked = look.await;
            self.look = None;
            match looked {
                Ok(ready) if self.vigil.is_starved(ready) => {
                    return Error::Starved { queue: self.queue.clone() };
                }
                Ok(_) => {}
                Err(error) => return error,
            }
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A vigil and the instants of its seconds.
    fn vigil() -> (Vigil, impl Fn(u32) -> Instant) {
        let start = Instant::now();
        (Vigil::new(Timing::default(), start), move |second| start + SECOND * second)
    }

    /// The seconds, of these, in which the queue is looked at.
    fn looks(vigil: &mut Vigil, idle: bool, seconds: impl Iterator<Item = Instant>) -> Vec<Instant> {
        seconds.filter(|now| vigil.is_due(idle, *now)).collect()
    }

    #[test]
    fn a_quiet_queue_is_looked_at_now_and_then() {
        let (mut vigil, at) = vigil();
        assert_eq!(looks(&mut vigil, true, (0..70).map(&at)), [at(30), at(45), at(60)]);
    }

    #[test]
    fn messages_that_are_there_twice_and_do_not_come_are_an_alarm() {
        let (mut vigil, at) = vigil();
        assert!(vigil.is_due(true, at(30)));
        assert!(!vigil.is_starved(3));
        assert!(vigil.is_due(true, at(45)));
        assert!(vigil.is_starved(3));
    }

    #[test]
    fn an_empty_queue_in_between_ends_the_suspicion() {
        let (mut vigil, at) = vigil();
        for (second, ready) in [(30, 1), (45, 0), (60, 1), (75, 0)] {
            assert!(vigil.is_due(true, at(second)));
            assert!(!vigil.is_starved(ready), "{second}");
        }
    }

    #[test]
    fn a_delivery_ends_the_suspicion_even_if_it_comes_during_a_look() {
        let (mut vigil, at) = vigil();
        assert!(vigil.is_due(true, at(30)));
        assert!(!vigil.is_starved(1));
        assert!(vigil.is_due(true, at(45)));
        vigil.calm(at(46));
        assert!(!vigil.is_starved(1), "it was asked before the delivery");
        assert_eq!(looks(&mut vigil, true, (47..80).map(&at)), [at(76)]);
        assert!(!vigil.is_starved(1), "the first look since");
        assert!(vigil.is_due(true, at(91)));
        assert!(vigil.is_starved(1));
    }

    #[test]
    fn a_busy_worker_is_never_suspicious() {
        let (mut vigil, at) = vigil();
        assert_eq!(looks(&mut vigil, false, (0..1_000).map(&at)), []);
        // Nor is it right after its work.
        assert_eq!(looks(&mut vigil, true, (1_000..1_030).map(&at)), [at(1_029)]);
    }
}
