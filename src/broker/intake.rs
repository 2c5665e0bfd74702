//! How many deliveries may be in flight from each queue that the worker takes jobs from. Pure.
//!
//! All of them together are never more than the worker's concurrency. AMQP only lets a consumer's prefetch be set when it
//! starts, and what an earlier consumer has delivered stays unsettled beside it; so a window is made smaller only by what is
//! free, and larger only by what others do not hold.
//!
//! The job queue is always looked through. What else is to be had goes where it is used: a window whose jobs run grows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

/// A queue from which jobs are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Where senders put them.
    Jobs,
    /// Jobs that wait for a slot.
    Overflow,
    /// Jobs that wait until calls for them can be made.
    Held,
}

impl Source {
    /// Every source.
    pub const ALL: [Self; 3] = [Self::Jobs, Self::Overflow, Self::Held];

    /// The source in logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Overflow => "overflow",
            Self::Held => "held",
        }
    }
}

/// What one consumer has delivered that is not settled.
#[derive(Debug, Default)]
pub(super) struct Load {
    unsettled: AtomicU16,
    running: AtomicU16,
}

/// Counts something of a consumer's, until it is dropped.
#[derive(Debug)]
pub struct Counted {
    load: Arc<Load>,
    running: bool,
}

impl Load {
    /// A delivery is in flight.
    pub(super) fn delivered(self: &Arc<Self>) -> Counted {
        self.unsettled.fetch_add(1, Ordering::Relaxed);
        Counted { load: Arc::clone(self), running: false }
    }

    pub(super) fn unsettled(&self) -> u16 {
        self.unsettled.load(Ordering::Relaxed)
    }

    pub(super) fn running(&self) -> u16 {
        self.running.load(Ordering::Relaxed)
    }
}

impl Counted {
    /// The delivery's job runs.
    pub(super) fn run(&self) -> Self {
        self.load.running.fetch_add(1, Ordering::Relaxed);
        Self { load: Arc::clone(&self.load), running: true }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let counter = if self.running { &self.load.running } else { &self.load.unsettled };
        counter.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How a source stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// What its consumer may deliver; 0 if there is none.
    pub(super) prefetch: u16,
    /// What that consumer has delivered and is not settled.
    pub(super) current: u16,
    /// The same of earlier consumers.
    pub(super) old: u16,
    /// Jobs of it that have a slot.
    pub(super) running: u16,
    /// Whether it holds messages that nobody has taken, as far as is known.
    pub(super) ready: bool,
}

impl Standing {
    fn unsettled(self) -> u16 {
        self.current + self.old
    }

    /// What it holds or may come to hold.
    fn claim(self) -> u16 {
        self.prefetch.max(self.current) + self.old
    }

    fn is_saturated(self) -> bool {
        self.prefetch > 0 && self.current >= self.prefetch
    }
}

/// The prefetch with which consumers are to be started anew; 0 stops one. `None` leaves it as it is.
pub(super) type Changes = [Option<u16>; 3];

/// What to change, if `capacity` deliveries may be in flight. `turn` goes round, so that each source has its turn where there
/// are fewer than sources.
pub(super) fn changes(capacity: u16, standings: &[Standing; 3], turn: usize) -> Changes {
    let mut plans = plans(capacity, standings, turn);
    let held = |plan: &Plan| if plan.changes { plan.standing.unsettled() } else { plan.standing.claim() };
    let mut free = capacity.saturating_sub(plans.iter().map(held).sum());
    // First one for each that is to have any, so that none stops, then what each is to have.
    for most in [1, u16::MAX] {
        for plan in plans.iter_mut().filter(|plan| plan.changes && plan.window > 0) {
            let wanted = plan.window.saturating_sub(plan.standing.unsettled()).max(1).min(most);
            let more = wanted.saturating_sub(plan.prefetch).min(free);
            plan.prefetch += more;
            free -= more;
        }
    }
    // One that is not there and cannot be had yet is tried for again.
    plans.map(|plan| {
        Some(plan.prefetch).filter(|wanted| plan.changes && (*wanted > 0 || plan.standing.prefetch > 0))
    })
}

/// What is to become of one source.
#[derive(Debug, Clone, Copy)]
struct Plan {
    standing: Standing,
    is_jobs: bool,
    /// The least that it is to have in flight, if it needs any.
    floor: u16,
    needed: bool,
    /// The deliveries that it is to have in flight, earlier consumers' included.
    window: u16,
    changes: bool,
    prefetch: u16,
}

impl Plan {
    fn new(source: Source, standing: Standing, capacity: u16) -> Self {
        let is_jobs = source == Source::Jobs;
        let floor = match source {
            Source::Jobs | Source::Overflow => capacity / 16,
            Source::Held => capacity / 64,
        };
        let needed = is_jobs || standing.ready || standing.unsettled() > 0;
        Self { standing, is_jobs, floor: floor.max(1), needed, window: 0, changes: false, prefetch: 0 }
    }

    fn give(&mut self, up_to: u16, left: &mut u16) {
        let more = up_to.saturating_sub(self.window).min(*left);
        self.window += more;
        *left -= more;
    }

    /// A window grows while it is full of jobs that run, and shrinks when less than half of it is used.
    fn demand(&self, capacity: u16) -> u16 {
        let Self { standing, floor, .. } = *self;
        let busy = standing.running.saturating_mul(2).saturating_add(floor);
        let growing = if self.is_jobs { capacity } else { busy };
        let used = standing.unsettled().saturating_add(floor);
        let claim = standing.claim();
        match standing.is_saturated() {
            true => claim.max(growing),
            false if standing.unsettled().saturating_mul(2).saturating_add(floor) < claim => used,
            false => claim.max(used),
        }
    }
}

fn plans(capacity: u16, standings: &[Standing; 3], turn: usize) -> [Plan; 3] {
    let [jobs, overflow, held] = *standings;
    let mut plans = [
        Plan::new(Source::Jobs, jobs, capacity),
        Plan::new(Source::Overflow, overflow, capacity),
        Plan::new(Source::Held, held, capacity),
    ];
    let (mut left, scarce) = (capacity, capacity < 3);
    plans.rotate_left(turn % 3);
    for plan in plans.iter_mut().filter(|plan| plan.needed) {
        plan.give(plan.floor, &mut left);
    }
    plans.rotate_right(turn % 3);
    for plan in plans.iter_mut().filter(|plan| plan.needed && !(scarce && plan.window == 0)) {
        plan.give(plan.demand(capacity), &mut left);
    }
    if let Some(jobs) = plans.first_mut().filter(|jobs| jobs.window > 0) {
        jobs.give(capacity, &mut left);
    }
    let step = (capacity / 16).max(1);
    let begins = |plan: &Plan| plan.standing.prefetch == 0 && plan.window > 0;
    let one_begins = plans.iter().any(begins);
    for plan in &mut plans {
        let (claim, window) = (plan.standing.claim(), plan.window);
        let ends = plan.standing.prefetch > 0 && window == 0;
        let gives = one_begins && claim > window;
        plan.changes = begins(plan) || ends || gives || (window > 0 && claim.abs_diff(window) >= step);
    }
    plans
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn busy(prefetch: u16, current: u16) -> Standing {
        Standing { prefetch, current, running: current, ..Standing::default() }
    }

    const READY: Standing = Standing { prefetch: 0, current: 0, old: 0, running: 0, ready: true };

    #[test]
    fn the_job_queue_alone_has_everything() {
        let none = Standing::default();
        assert_eq!(changes(256, &[none, none, none], 0), [Some(256), None, None]);
        assert_eq!(changes(256, &[busy(256, 256), none, none], 0), [None, None, None]);
    }

    #[test]
    fn an_overflow_that_runs_grows_beside_an_idle_job_queue() {
        let mut overflow = busy(16, 16);
        overflow.ready = true;
        let changed = changes(256, &[busy(240, 2), overflow, Standing::default()], 0);
        assert_eq!(changed, [Some(206), Some(32), None]);
    }

    #[test]
    fn a_held_queue_whose_jobs_wait_stays_small() {
        let held = Standing { prefetch: 4, current: 4, ready: true, ..Standing::default() };
        assert_eq!(changes(256, &[busy(252, 200), Standing::default(), held], 0), [None, None, None]);
    }

    #[test]
    fn with_one_slot_each_queue_has_its_turn() {
        let none = Standing::default();
        let turns = [0, 1, 2].map(|turn| changes(1, &[none, READY, READY], turn));
        assert_eq!(turns, [[Some(1), None, None], [None, Some(1), None], [None, None, Some(1)]]);
    }

    proptest! {
        /// Whatever the broker fills, what is left over is settled, and nothing is ever above the capacity.
        #[test]
        fn deliveries_in_flight_never_exceed_the_capacity(
            capacity in 1_u16..300,
            steps in proptest::collection::vec((0..3_usize, 0..300_u16, any::<bool>(), 0..3_usize), 1..60),
        ) {
            let mut standings = [Standing::default(); 3];
            for (at, number, settles, turn) in steps {
                let changed = changes(capacity, &standings, turn);
                for (standing, change) in standings.iter_mut().zip(changed) {
                    if let Some(prefetch) = change {
                        standing.old += standing.current;
                        (standing.current, standing.prefetch) = (0, prefetch);
                    }
                }
                let standing = &mut standings[at];
                if settles {
                    standing.old = standing.old.saturating_sub(number);
                    standing.current = standing.current.saturating_sub(number / 2);
                } else {
                    standing.current = (standing.current + number).min(standing.prefetch);
                }
                standing.ready = number % 2 == 0;
                standing.running = standing.unsettled() / 2;
                let claimed: u16 = standings.iter().map(|standing| standing.claim()).sum();
                prop_assert!(claimed <= capacity, "{standings:?}");
            }
        }

        #[test]
        fn an_idle_worker_consumes_its_job_queue(capacity in 3_u16..300, ready in any::<[bool; 2]>(), turn in 0..3_usize) {
            let standings = [false, ready[0], ready[1]].map(|ready| Standing { ready, ..Standing::default() });
            let changed = changes(capacity, &standings, turn);
            prop_assert!(changed[0].is_some_and(|prefetch| prefetch > 0), "{changed:?}");
        }
    }
}
