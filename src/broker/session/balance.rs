//! Gives each queue of a session its part of the deliveries in flight, by cancelling consumers and starting others.

use futures_util::future::try_join_all;

use super::{Session, source_of};
use crate::broker::Error;
use crate::broker::delivery::Delivery;
use crate::broker::intake::Intake;
use crate::broker::link::Link;
use crate::broker::windows::{Standing, give_way, grants, windows};

/// When a queue has more consumers than this, they are gathered into one.
const CONSUMERS_MAX: usize = 8;

impl<L: Link> Session<L> {
    /// Lets each queue have its part of the deliveries in flight; gives those that had arrived and were not yet taken.
    ///
    /// Consumers are cancelled only where others want more than is free, or one in place of several would do, because a queue may
    /// take back what is on its way to them.
    pub async fn rebalance(&mut self) -> Result<Vec<Delivery>, Error> {
        let mut untaken = Vec::new();
        if self.paused {
            return Ok(untaken);
        }
        let standings = self.standings();
        let windows = windows(self.limit, &standings, self.turn);
        let gives_way = give_way(self.limit, &standings, windows);
        for (at, (window, gives_way)) in windows.into_iter().zip(gives_way).enumerate() {
            if gives_way {
                untaken.extend(self.shrink(at, window).await?);
            }
            untaken.extend(self.gather(at).await?);
        }
        self.grow(windows).await?;
        Ok(untaken)
    }

    /// Gives each queue a further consumer for what it is to have more, as far as that is free.
    async fn grow(&mut self, windows: [u16; 3]) -> Result<(), Error> {
        let more = grants(self.limit, &self.standings(), windows);
        if more == [0; 3] {
            return Ok(());
        }
        // What was settled just now must not count twice: here as free, and at the broker as in flight.
        let queues = [0, 1, 2].map(|at| self.queue(at));
        try_join_all(queues.iter().map(|queue| self.link.settled(queue))).await?;
        for (at, more) in more.into_iter().enumerate().filter(|(_, more)| *more > 0) {
            let consumer = self.link.consume(&self.queue(at), more).await?;
            if let Some(intake) = self.intakes.get_mut(at) {
                intake.add(consumer, more);
            }
        }
        Ok(())
    }

    fn standings(&mut self) -> [Standing; 3] {
        self.intakes.each_mut().map(Intake::standing)
    }

    /// Cancels consumers while the queue claims more than this.
    async fn shrink(&mut self, at: usize, window: u16) -> Result<Vec<Delivery>, Error> {
        let mut untaken = Vec::new();
        let Some(intake) = self.intakes.get_mut(at) else { return Ok(untaken) };
        while intake.standing().claim > window {
            let Some(one) = intake.consumers.pop() else { break };
            untaken.extend(intake.cancel(one, source_of(at)).await?);
        }
        Ok(untaken)
    }

    /// Cancels the consumers of a queue, where one in place of several would do: while it is quiet, or because there are too
    /// many.
    async fn gather(&mut self, at: usize) -> Result<Vec<Delivery>, Error> {
        let Some(intake) = self.intakes.get_mut(at) else { return Ok(Vec::new()) };
        let number = intake.consumers.len();
        let is_scattered = number > CONSUMERS_MAX || (number > 1 && intake.standing().peak == 0);
        if is_scattered { self.shrink(at, 0).await } else { Ok(Vec::new()) }
    }

    /// Whether a queue that holds messages has no consumer, because others' deliveries leave no room for one.
    pub fn waits_for_room(&self) -> bool {
        let waits = |(at, intake): (usize, &Intake<L::Consumer>)| {
            intake.consumers.is_empty() && (at == 0 || intake.ready > 0)
        };
        !self.paused && self.intakes.iter().enumerate().any(waits)
    }
}
