//! How many deliveries each queue is to have in flight. Pure.
//!
//! The job queue is always looked through. What else is to be had goes where it is used: a window whose jobs run grows.

use super::intake::Source;

/// How a source stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// What its consumers hold or may come to hold, those that were cancelled included.
    pub(super) claim: u16,
    /// What they hold.
    pub(super) unsettled: u16,
    /// Jobs of it that have a slot.
    pub(super) running: u16,
    /// Whether it has consumers, and each of them holds as much as it may.
    pub(super) is_full: bool,
    /// Whether the queue holds messages that nobody has taken, as far as is known.
    pub(super) ready: bool,
}

/// The deliveries that each source is to have in flight, if `capacity` may be. `turn` goes round, so that each has its turn
/// where there are fewer than sources.
pub(super) fn windows(capacity: u16, standings: &[Standing; 3], turn: usize) -> [u16; 3] {
    let [jobs, overflow, held] = *standings;
    let mut plans = [
        Plan::new(Source::Jobs, jobs, capacity),
        Plan::new(Source::Overflow, overflow, capacity),
        Plan::new(Source::Held, held, capacity),
    ];
    let mut left = capacity;
    for plan in &mut plans {
        plan.give(plan.standing.running, &mut left);
    }
    // Besides those that run: one for each, so that none stops, in turns where there is not one for each; then its floor.
    plans.rotate_left(turn % 3);
    for floor in [1, u16::MAX] {
        for plan in plans.iter_mut().filter(|plan| plan.needed) {
            plan.give(plan.standing.running.saturating_add(plan.floor.min(floor)), &mut left);
        }
    }
    plans.rotate_right(turn % 3);
    // Then max-min fair: those that want least first, and each at most an equal part of what is left.
    let mut open: Vec<&mut Plan> = plans.iter_mut().filter(|plan| plan.window > 0).collect();
    open.sort_by_key(|plan| plan.demand().saturating_sub(plan.window));
    let number = open.len();
    for (at, plan) in open.into_iter().enumerate() {
        let part = left / u16::try_from(number - at).unwrap_or(1);
        plan.give(plan.demand().min(plan.window + part), &mut left);
    }
    if let Some(jobs) = plans.first_mut().filter(|jobs| jobs.window > 0) {
        jobs.give(capacity, &mut left);
    }
    plans.map(|plan| plan.window)
}

/// What one source is to have.
#[derive(Debug, Clone, Copy)]
struct Plan {
    standing: Standing,
    is_jobs: bool,
    /// The least that it is to have, if it needs any.
    floor: u16,
    needed: bool,
    window: u16,
}

impl Plan {
    fn new(source: Source, standing: Standing, capacity: u16) -> Self {
        let is_jobs = source == Source::Jobs;
        let floor = match source {
            Source::Jobs | Source::Overflow => capacity / 16,
            Source::Held => capacity / 64,
        };
        let needed = is_jobs || standing.ready || standing.unsettled > 0;
        Self { standing, is_jobs, floor: floor.max(1), needed, window: 0 }
    }

    fn give(&mut self, up_to: u16, left: &mut u16) {
        let more = up_to.saturating_sub(self.window).min(*left);
        self.window += more;
        *left -= more;
    }

    /// A window grows while it is full; where jobs wait for something else than their turn, only with those that run.
    fn demand(&self) -> u16 {
        let Standing { claim, unsettled, running, is_full, .. } = self.standing;
        let busy = if self.is_jobs { unsettled } else { running };
        if is_full {
            claim.max(busy.saturating_add(busy / 2).saturating_add(self.floor))
        } else {
            unsettled.saturating_add(self.floor)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn full(claim: u16, running: u16) -> Standing {
        Standing { claim, unsettled: claim, running, is_full: true, ready: true }
    }

    fn idle(claim: u16) -> Standing {
        Standing { claim, ..Standing::default() }
    }

    const READY: Standing = Standing { claim: 0, unsettled: 0, running: 0, is_full: false, ready: true };

    #[test]
    fn the_job_queue_alone_has_everything() {
        assert_eq!(windows(256, &[idle(0), idle(0), idle(0)], 0), [256, 0, 0]);
        assert_eq!(windows(256, &[full(256, 256), idle(0), idle(0)], 0), [256, 0, 0]);
    }

    #[test]
    fn a_queue_that_holds_messages_has_a_part_at_once() {
        assert_eq!(windows(256, &[full(256, 240), READY, READY], 0), [254, 1, 1]);
        assert_eq!(windows(256, &[full(256, 200), READY, READY], 0), [236, 16, 4]);
    }

    #[test]
    fn an_overflow_that_runs_grows_beside_an_idle_job_queue() {
        assert_eq!(windows(256, &[idle(240), full(16, 16), idle(0)], 0), [216, 40, 0]);
        assert_eq!(windows(256, &[idle(16), full(240, 240), idle(0)], 0), [15, 241, 0]);
    }

    #[test]
    fn a_held_queue_whose_jobs_wait_stays_small() {
        assert_eq!(windows(256, &[idle(252), idle(0), full(4, 0)], 0), [252, 0, 4]);
    }

    #[test]
    fn with_one_slot_each_queue_has_its_turn() {
        let turns = [0, 1, 2].map(|turn| windows(1, &[idle(0), READY, READY], turn));
        assert_eq!(turns, [[1, 0, 0], [0, 1, 0], [0, 0, 1]]);
    }

    proptest! {
        #[test]
        fn windows_never_exceed_the_capacity_and_leave_none_out(
            capacity in 3_u16..300,
            standings in proptest::collection::vec((0..300_u16, 0..300_u16, any::<bool>(), any::<bool>()), 3),
            turn in 0..3_usize,
        ) {
            let standing = |at: usize| {
                let (claim, unsettled, is_full, ready) = standings[at];
                let running = unsettled.min(capacity / 3).saturating_sub(1);
                Standing { claim, unsettled, running, is_full, ready }
            };
            let standings = [standing(0), standing(1), standing(2)];
            let windows = windows(capacity, &standings, turn);
            prop_assert!(windows.iter().sum::<u16>() <= capacity, "{windows:?}");
            prop_assert!(windows[0] > 0);
            for (window, standing) in windows.iter().zip(standings).skip(1) {
                prop_assert!(*window > 0 || !(standing.ready || standing.unsettled > 0));
            }
        }
    }
}
