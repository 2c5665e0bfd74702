//! Gives each queue of a session its part of the deliveries in flight, by cancelling consumers and starting others.

use super::{Session, source_of};
use crate::broker::Error;
use crate::broker::delivery::Delivery;
use crate::broker::intake::Intake;
use crate::broker::link::Link;
use crate::broker::windows::{Standing, windows};

/// When a queue has more consumers than this, they are gathered into one as soon as that leaves enough of it.
const CONSUMERS_MAX: usize = 3;

impl<L: Link> Session<L> {
    /// Lets each queue have its part of the deliveries in flight; gives those that had arrived and were not yet taken.
    pub async fn rebalance(&mut self) -> Result<Vec<Delivery>, Error> {
        let mut untaken = Vec::new();
        if self.paused {
            return Ok(untaken);
        }
        let standings = self.standings();
        let windows = windows(self.limit, &standings, self.turn);
        let step = (self.limit / 16).max(1);
        // Not for a little more, unless it is little that the queue may have.
        let grows = |(at, standing): (usize, &Standing)| {
            let more = windows.get(at).map_or(0, |window| window.saturating_sub(standing.claim));
            let may_have: u16 = self.intakes.get(at).map_or(0, Intake::prefetch);
            more >= step.min(may_have / 2).max(1)
        };
        let is_scattered = self
            .intakes
            .iter()
            .zip(&standings)
            .any(|(intake, standing)| intake.consumers.len() > 1 && standing.unsettled == 0);
        if !is_scattered && !standings.iter().enumerate().any(grows) {
            return Ok(untaken);
        }
        for (at, window) in windows.into_iter().enumerate() {
            untaken.extend(self.shrink(at, window).await?);
        }
        // What was settled just now must not count twice: here as free, and at the broker as in flight.
        let mut free =
            self.limit.saturating_sub(self.standings().iter().map(|standing| standing.claim).sum());
        for at in 0..windows.len() {
            self.link.settled(&self.queue(at)).await?;
        }
        // First one for each that has none, so that none stops; then what each is to have.
        for (at, window) in windows.into_iter().enumerate() {
            if window > 0 && self.intakes.get(at).is_some_and(|intake| intake.consumers.is_empty()) {
                free -= self.grow(at, 1, free).await?;
            }
        }
        for (at, window) in windows.into_iter().enumerate() {
            let claim = self.standings().get(at).map_or(window, |standing| standing.claim);
            free -= self.grow(at, window.saturating_sub(claim), free).await?;
        }
        Ok(untaken)
    }

    fn standings(&mut self) -> [Standing; 3] {
        self.intakes.each_mut().map(Intake::standing)
    }

    /// Cancels consumers while the queue claims more than its window.
    async fn shrink(&mut self, at: usize, window: u16) -> Result<Vec<Delivery>, Error> {
        let mut untaken = Vec::new();
        let Some(intake) = self.intakes.get_mut(at) else { return Ok(untaken) };
        let Standing { claim, unsettled, .. } = intake.standing();
        let number = intake.consumers.len();
        let gathers = (number > CONSUMERS_MAX && unsettled <= claim / 2) || (number > 1 && unsettled == 0);
        while gathers || intake.standing().claim > window {
            let Some(one) = intake.consumers.pop() else { break };
            untaken.extend(intake.cancel(one, source_of(at)).await?);
        }
        Ok(untaken)
    }

    /// Starts a further consumer for as much as is free; gives how much that is.
    async fn grow(&mut self, at: usize, by: u16, free: u16) -> Result<u16, Error> {
        let prefetch = by.min(free);
        if prefetch == 0 {
            return Ok(0);
        }
        let consumer = self.link.consume(&self.queue(at), prefetch).await?;
        if let Some(intake) = self.intakes.get_mut(at) {
            intake.add(consumer, prefetch);
        }
        Ok(prefetch)
    }

    /// Whether a queue that holds messages has no consumer, because others' deliveries leave no room for one.
    pub fn waits_for_room(&self) -> bool {
        let waits = |(at, intake): (usize, &Intake<L::Consumer>)| {
            intake.consumers.is_empty() && (at == 0 || intake.ready > 0)
        };
        !self.paused && self.intakes.iter().enumerate().any(waits)
    }
}
