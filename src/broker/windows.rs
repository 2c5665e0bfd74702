//! How many deliveries each queue is to have in flight. Pure.
//!
//! The job queue is always looked through. What else is to be had goes where it is used: a window whose jobs run grows.

use super::intake::Source;

/// How a source stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// What its consumers hold or may come to hold, those that were cancelled included.
    pub(super) claim: u16,
    /// What those that were not may hold; 0 if there is none.
    pub(super) prefetch: u16,
    /// What they all hold.
    pub(super) unsettled: u16,
    /// The most that they held lately.
    pub(super) peak: u16,
    /// Jobs of it that have a slot.
    pub(super) running: u16,
    /// Whether it has consumers, and each of them holds as much as it may.
    pub(super) is_full: bool,
    /// Whether it is a while ago that a consumer of it was cancelled.
    pub(super) has_rested: bool,
    /// Whether the queue holds messages that nobody has taken, as far as is known.
    pub(super) ready: bool,
}

/// Turns in which each source has its own, where there are fewer deliveries to be had than sources;
const TURNS_OF_FEW: usize = 3;

/// and else, where jobs that run leave too few: the job queue, which is to be looked through, has the others.
const TURNS: usize = 8;

/// The deliveries that each source is to have in flight, if `capacity` may be. `turn` counts up, so that each has its turn.
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
    for floor in [1, u16::MAX] {
        for at in order(capacity, turn) {
            let Some(plan) = plans.get_mut(at).filter(|plan| plan.needed) else { continue };
            plan.give(plan.standing.running.saturating_add(plan.floor.min(floor)), &mut left);
        }
    }
    // Then max-min fair: those that want least first, and each at most an equal part of what is left.
    let mut open: Vec<&mut Plan> = plans.iter_mut().filter(|plan| plan.window > 0).collect();
    open.sort_by_key(|plan| plan.demand().saturating_sub(plan.window));
    let number = open.len();
    for (at, plan) in open.into_iter().enumerate() {
        let part = left / u16::try_from(number - at).unwrap_or(1);
        plan.give(plan.demand().min(plan.window + part), &mut left);
    }
    // What is left stays free for whoever wants more next. As long as nothing else waits the job queue has it, but for what lets
    // the others begin without cancelling its consumer.
    let is_alone = standings.iter().skip(1).all(|standing| !standing.waits());
    if let Some(jobs) = plans.first_mut().filter(|_| is_alone) {
        jobs.give(capacity - capacity / 16 - capacity / 64, &mut left);
    }
    plans.map(|plan| plan.window)
}

/// In which order the sources get what little there is.
fn order(capacity: u16, turn: usize) -> [usize; 3] {
    let turns = if capacity < 3 { TURNS_OF_FEW } else { TURNS };
    match turns - 1 - turn % turns {
        0 => [2, 0, 1],
        1 => [1, 0, 2],
        _ => [0, 1, 2],
    }
}

/// Which sources are to have some of their consumers cancelled.
///
/// That is only for others that want more than is free, and only now and then, unless one of them stands still.
pub(super) fn give_way(capacity: u16, standings: &[Standing; 3], windows: [u16; 3]) -> [bool; 3] {
    let wanted: u16 = wants(capacity, standings, windows).iter().sum();
    if wanted <= free(capacity, standings) {
        return [false; 3];
    }
    let one_stands = standings
        .iter()
        .zip(windows)
        .any(|(standing, window)| standing.prefetch == 0 && window > standing.running);
    let least = if one_stands || is_hardly_seen(standings, windows) { 1 } else { (capacity / 16).max(1) };
    let mut gives_way = [false; 3];
    for ((gives_way, standing), window) in gives_way.iter_mut().zip(standings).zip(windows) {
        let is_least = standing.prefetch == 1 && window > standing.running;
        let has_more = standing.claim.saturating_sub(window) >= least;
        *gives_way = has_more && !is_least && (one_stands || standing.has_rested);
    }
    gives_way
}

/// Whether the job queue has at most half of what it is to be looked through with, besides what runs.
fn is_hardly_seen(standings: &[Standing; 3], windows: [u16; 3]) -> bool {
    let ([jobs, ..], [window, ..]) = (standings, windows);
    let (has, wanted) = (jobs.claim.saturating_sub(jobs.running), window.saturating_sub(jobs.running));
    wanted > 0 && has * 2 <= wanted
}

/// What each source gets of what is free: first one for each without a consumer, so that none stands still.
pub(super) fn grants(capacity: u16, standings: &[Standing; 3], windows: [u16; 3]) -> [u16; 3] {
    let (mut grants, mut free) = ([0; 3], free(capacity, standings));
    let wants = wants(capacity, standings, windows);
    let mut firsts = wants;
    for (first, standing) in firsts.iter_mut().zip(standings) {
        *first = if standing.prefetch == 0 { (*first).min(1) } else { 0 };
    }
    for goals in [firsts, wants] {
        for (grant, goal) in grants.iter_mut().zip(goals) {
            let more = goal.saturating_sub(*grant).min(free);
            *grant += more;
            free -= more;
        }
    }
    grants
}

/// How much more each source is to have; nothing for a little, unless it is little that a source may have, or all that it has
/// runs.
fn wants(capacity: u16, standings: &[Standing; 3], windows: [u16; 3]) -> [u16; 3] {
    let step = (capacity / 16).max(1);
    let mut wants = windows;
    for (wants, standing) in wants.iter_mut().zip(standings) {
        let more = wants.saturating_sub(standing.claim);
        *wants = match standing.prefetch {
            0 if *wants > standing.running => more.max(1),
            0 => more,
            // Only with one more does it get any that do not run.
            _ if standing.running >= standing.claim => more,
            prefetch if more >= step.min(prefetch / 2).max(1) => more,
            _ => 0,
        };
    }
    wants
}

/// How much more could be in flight.
fn free(capacity: u16, standings: &[Standing; 3]) -> u16 {
    capacity.saturating_sub(standings.iter().map(|standing| standing.claim).sum())
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
        let needed = is_jobs || standing.waits();
        Self { standing, is_jobs, floor: floor.max(1), needed, window: 0 }
    }

    fn give(&mut self, up_to: u16, left: &mut u16) {
        let more = up_to.saturating_sub(self.window).min(*left);
        self.window += more;
        *left -= more;
    }

    /// A window grows while it is full; where jobs wait for something else than their turn, only with those that run.
    fn demand(&self) -> u16 {
        let Standing { claim, unsettled, peak, running, is_full, .. } = self.standing;
        let (busy, before) = if self.is_jobs { (unsettled, 0) } else { (running, 0) };
        if is_full {
            claim.max(before).max(busy.saturating_add(busy / 2).saturating_add(self.floor))
        } else {
            peak.max(unsettled).saturating_add(self.floor)
        }
    }
}

impl Standing {
    /// Whether there is or was lately anything to be had from it.
    fn waits(&self) -> bool {
        self.ready || self.unsettled > 0 || self.peak > 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn full(claim: u16, running: u16) -> Standing {
        Standing {
            claim,
            prefetch: claim,
            unsettled: claim,
            peak: claim,
            running,
            is_full: true,
            has_rested: true,
            ready: true,
        }
    }

    fn idle(claim: u16) -> Standing {
        Standing { claim, prefetch: claim, ..Standing::default() }
    }

    fn ready() -> Standing {
        Standing { ready: true, ..Standing::default() }
    }

    #[test]
    fn the_job_queue_alone_has_all_but_what_lets_others_begin() {
        assert_eq!(windows(256, &[idle(0), idle(0), idle(0)], 0), [236, 0, 0]);
        assert_eq!(windows(10, &[idle(0), idle(0), idle(0)], 0), [10, 0, 0]);
        assert_eq!(windows(256, &[full(236, 236), idle(0), idle(0)], 0), [256, 0, 0]);
    }

    #[test]
    fn a_queue_that_holds_messages_has_a_part_at_once() {
        assert_eq!(windows(256, &[full(256, 240), ready(), ready()], 0), [254, 1, 1]);
        assert_eq!(windows(256, &[full(256, 200), ready(), ready()], 0), [236, 16, 4]);
    }

    #[test]
    fn an_overflow_that_runs_grows_beside_an_idle_job_queue() {
        assert_eq!(windows(256, &[idle(240), full(16, 16), idle(0)], 0), [16, 40, 0]);
        assert_eq!(windows(256, &[idle(16), full(240, 240), idle(0)], 0), [15, 241, 0]);
    }

    #[test]
    fn a_held_queue_whose_jobs_wait_stays_small() {
        assert_eq!(windows(256, &[idle(252), idle(0), full(4, 0)], 0), [16, 0, 4]);
    }

    #[test]
    fn with_one_slot_each_queue_has_its_turn() {
        let turns = [0, 1, 2].map(|turn| windows(1, &[idle(0), ready(), ready()], turn));
        assert_eq!(turns, [[1, 0, 0], [0, 1, 0], [0, 0, 1]]);
    }

    #[test]
    fn what_is_free_goes_first_to_those_without_a_consumer() {
        let cancelled = Standing { prefetch: 0, ..full(20, 20) };
        assert_eq!(grants(21, &[cancelled, ready(), idle(0)], [21, 0, 0]), [1, 0, 0]);
        assert_eq!(grants(21, &[cancelled, ready(), idle(0)], [20, 1, 0]), [0, 1, 0]);
        assert_eq!(grants(24, &[cancelled, full(1, 1), idle(0)], [21, 3, 0]), [1, 2, 0]);
        assert_eq!(grants(256, &[full(40, 38), full(40, 40), idle(0)], [43, 80, 0]), [0, 40, 0], "3 are few");
    }

    #[test]
    fn a_queue_of_which_every_delivery_runs_gets_even_one_more() {
        let runs = full(9, 9);
        assert_eq!(grants(32, &[runs, full(21, 21), idle(0)], [10, 22, 0]), [1, 1, 0]);
        let waits = full(9, 8);
        assert_eq!(grants(32, &[waits, full(21, 20), idle(0)], [10, 22, 0]), [0, 0, 0], "1 is little");
    }

    #[test]
    fn others_give_way_to_who_wants_more_than_is_free() {
        let gives_way = |capacity, has_rested| {
            let jobs = Standing { has_rested, ..idle(160) };
            give_way(capacity, &[jobs, full(64, 64), idle(0)], [40, 100, 0])
        };
        assert_eq!(gives_way(256, true), [true, false, false]);
        assert_eq!(gives_way(256, false), [false; 3], "it did just now");
        assert_eq!(gives_way(300, true), [false; 3], "there is room");
        let (all, least) = (full(21, 20), Standing { prefetch: 1, ..full(21, 20) });
        assert_eq!(give_way(21, &[all, ready(), idle(0)], [20, 1, 0]), [true, false, false]);
        assert_eq!(give_way(21, &[least, ready(), idle(0)], [21, 0, 0]), [false; 3], "it has one left");
        assert_eq!(
            give_way(21, &[least, ready(), idle(0)], [20, 1, 0]),
            [true, false, false],
            "another's turn"
        );
    }

    #[test]
    fn others_give_way_for_little_when_the_job_queue_is_hardly_looked_through() {
        let overflow = Standing { prefetch: 4, ..full(4, 0) };
        let gives_way = |claim, running| {
            give_way(
                100,
                &[Standing { claim, prefetch: 2, ..full(96, running) }, overflow, idle(0)],
                [99, 1, 0],
            )
        };
        assert_eq!(gives_way(96, 96), [false, true, false], "all that it has runs");
        assert_eq!(gives_way(96, 94), [false, true, false], "2 of 5");
        assert_eq!(gives_way(97, 94), [false; 3], "3 of 5");
    }

    #[test]
    fn where_jobs_that_run_leave_one_the_job_queue_is_looked_through_in_most_turns() {
        let windows_in = |turn| windows(21, &[full(20, 20), ready(), ready()], turn);
        assert_eq!((0..6).map(windows_in).collect::<Vec<_>>(), [[21, 0, 0]; 6]);
        assert_eq!([windows_in(6), windows_in(7)], [[20, 1, 0], [20, 0, 1]]);
    }

    proptest! {
        #[test]
        fn windows_never_exceed_the_capacity_and_leave_none_out(
            capacity in 3_u16..300,
            standings in proptest::collection::vec((0..300_u16, 0..300_u16, any::<bool>(), any::<bool>()), 3),
            turn in 0..8_usize,
        ) {
            let standing = |at: usize| {
                let (claim, unsettled, is_full, ready) = standings[at];
                let running = unsettled.min(capacity / 3).saturating_sub(1);
                let (prefetch, peak, has_rested) = (claim, unsettled, true);
                Standing { claim, prefetch, unsettled, peak, running, is_full, has_rested, ready }
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
