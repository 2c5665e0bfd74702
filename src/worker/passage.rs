//! When a job that cannot run now is moved to another queue, so that others behind it can be looked at. Pure: takes the time
//! as an argument.
//!
//! A job is moved out of the job queue once; what waits in the other two goes round at bounded rates, and only while
//! something waits behind it. Where slots come free so fast that the queue moves anyway, nothing is moved: that would only
//! cost the broker.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::broker::intake::Source;
use crate::fair_share::Tenant;
use crate::retry::policy::HELD_MAX;

/// Jobs of the job queue are moved to the overflow when some have waited for slots this long without a break.
const BLOCKED: Duration = Duration::from_millis(200);
/// A break shorter than this is none: when one job gets its slot, the next one needs a moment to arrive.
const BREAK: Duration = Duration::from_millis(100);

/// But not while this many jobs a second are done.
const FAST: u32 = 2_000;

/// Over which that is counted.
const WINDOW: Duration = Duration::from_millis(250);

/// How often a job that may not leave yet asks again.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// What waits in another queue goes round within this time, whatever its number, so that each job is tried soon after it can
/// run,
const ROUND: Duration = Duration::from_secs(40);
/// but never more in a second than this,
const ROTATION_MAX: f64 = 400.0;
/// nor fewer.
const ROTATION_MIN: f64 = 0.1;

/// It goes round faster while that brings jobs to the front that run at once, and slower while it does not.
const FASTER: f64 = 1.5;
const SLOWER: f64 = 0.9;

/// A job makes room for those behind it only when it has waited this long.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often the room for looking through the job queue is doubled, and halved.
const ADAPT: Duration = Duration::from_millis(20);
const RELAX: Duration = Duration::from_millis(200);

/// Why a job cannot run now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blocked {
    /// There is no slot for it, and its tenant has its share of them.
    Slot,
    /// Its tenant has fewer slots than its share: the next one is for it.
    Turn,
    /// Its organisation has as many jobs in flight as its calls can carry.
    Scarce,
    /// Its calls are held back.
    Calls,
    /// Nothing comes back from the host at all: no other job could run either.
    Host,
}

/// Decides who may leave.
#[derive(Debug)]
pub(super) struct Passage {
    /// Jobs done in this window, and in the one before.
    done: (u32, u32),
    window_began: Instant,
    /// Jobs of the job queue that wait for slots, and since when there have been any.
    waiting: u32,
    blocked_since: Instant,
    last_waited_at: Option<Instant>,
    slots: u32,
    /// Jobs of the job queue that are being moved, and the most lately.
    moving: u32,
    peak: u32,
    /// Slots kept free for that.
    room: u32,
    adapted_at: Instant,
    /// Tenants that have jobs in the overflow, as far as is known.
    overflowing: BTreeSet<Tenant>,
    held: Rotation,
    overflow: Rotation,
    /// Queues to which this worker has moved jobs lately.
    filled: Vec<Source>,
}

/// What goes round in one queue.
#[derive(Debug)]
struct Rotation {
    ready: u32,
    rate: f64,
    next: Instant,
}

impl Rotation {
    fn new(now: Instant) -> Self {
        Self { ready: 0, rate: ROTATION_MIN, next: now }
    }

    fn rate_min(&self) -> f64 {
        (f64::from(self.ready) / ROUND.as_secs_f64()).clamp(ROTATION_MIN, ROTATION_MAX)
    }

    fn seen(&mut self, ready: u32, now: Instant) {
        self.ready = ready;
        self.set_rate(self.rate, now);
    }

    fn set_rate(&mut self, rate: f64, now: Instant) {
        self.rate = rate.clamp(self.rate_min(), ROTATION_MAX);
        self.next = self.next.min(now + self.pause());
    }

    fn pause(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.rate)
    }

    fn take(&mut self, now: Instant) -> Result<(), Instant> {
        if self.next > now {
            return Err(self.next);
        }
        self.set_rate(self.rate * SLOWER, now);
        self.next = now + self.pause();
        Ok(())
    }
}

impl Passage {
    pub(super) fn new(slots: u16, now: Instant) -> Self {
        Self {
            done: (0, 0),
            window_began: now,
            waiting: 0,
            blocked_since: now,
            last_waited_at: None,
            slots: u32::from(slots),
            moving: 0,
            peak: 0,
            room: 0,
            adapted_at: now,
            overflowing: BTreeSet::new(),
            held: Rotation::new(now),
            overflow: Rotation::new(now),
            filled: Vec::new(),
        }
    }

    /// What was last seen to wait in the overflow and in the held queue.
    pub(super) fn seen(&mut self, overflow: u32, held: u32, now: Instant) {
        if overflow == 0 {
            self.overflowing.clear();
        }
        self.overflow.seen(overflow, now);
        self.held.seen(held, now);
    }

    /// A job of this source ran without waiting.
    pub(super) fn ran_at_once(&mut self, source: Source, now: Instant) {
        let rotation = match source {
            Source::Jobs => return,
            Source::Overflow => &mut self.overflow,
            Source::Held => &mut self.held,
        };
        rotation.set_rate(rotation.rate * FASTER, now);
    }

    /// A job was moved there.
    pub(super) fn moved(&mut self, tenant: Option<Tenant>, to: Source) {
        if to == Source::Overflow {
            self.overflowing.extend(tenant);
        }
        if !self.filled.contains(&to) {
            self.filled.push(to);
        }
    }

    /// Where jobs were moved since the last time.
    pub(super) fn filled(&mut self) -> Vec<Source> {
        std::mem::take(&mut self.filled)
    }

    /// A job of the job queue waits for a slot.
    pub(super) fn waits(&mut self, now: Instant) {
        let is_break = self.last_waited_at.is_none_or(|at| now.saturating_duration_since(at) >= BREAK);
        if self.waiting == 0 && is_break {
            self.blocked_since = now;
        }
        self.waiting += 1;
        self.last_waited_at = Some(now);
    }

    /// It does not any more.
    pub(super) fn waits_no_more(&mut self, now: Instant) {
        self.waiting = self.waiting.saturating_sub(1);
        self.last_waited_at = Some(now);
    }

    /// A job is done.
    pub(super) fn done(&mut self, now: Instant) {
        self.roll(now);
        self.done.0 += 1;
    }

    /// Whether a job that has waited since then may leave for another queue; else, when to ask again.
    pub(super) fn leave(
        &mut self,
        from: Source,
        blocked: Blocked,
        since: Instant,
        now: Instant,
    ) -> Result<(), Instant> {
        // RabbitMQ takes back what is unsettled for too long.
        let latest = since + HELD_MAX;
        if now >= latest {
            return Ok(());
        }
        match (from, blocked) {
            (_, Blocked::Host) => Err(latest),
            (_, Blocked::Turn) => Err(latest.min(now + ASK_AGAIN)),
            (Source::Held, Blocked::Calls) => make_room(&mut self.held, since, now),
            (_, Blocked::Calls) | (Source::Jobs, Blocked::Scarce) => Ok(()),
            (Source::Jobs, Blocked::Slot) => {
                if self.is_stuck(now) {
                    Ok(())
                } else {
                    Err(now + ASK_AGAIN)
                }
            }
            (Source::Overflow | Source::Held, Blocked::Slot | Blocked::Scarce) => {
                make_room(&mut self.overflow, since, now)
            }
        }
    }

    /// A job of the job queue is being moved; gives the slots to keep free from now on, if that has changed.
    pub(super) fn move_begins(&mut self, now: Instant) -> Option<u32> {
        self.moving += 1;
        self.peak = self.peak.max(self.moving);
        let is_full = self.moving >= self.room.max(1) * 3 / 4;
        if !is_full || now.saturating_duration_since(self.adapted_at) < ADAPT {
            return None;
        }
        self.adapt(self.room.max(self.moving) * 2, now)
    }

    /// It is moved.
    pub(super) fn move_ends(&mut self) {
        self.moving = self.moving.saturating_sub(1);
    }

    /// To be called every now and then; gives the slots to keep free from now on, if that has changed.
    pub(super) fn relax(&mut self, now: Instant) -> Option<u32> {
        if self.room == 0 || now.saturating_duration_since(self.adapted_at) < RELAX {
            return None;
        }
        let room = if self.peak * 4 < self.room { self.room / 2 } else { self.room };
        self.peak = self.moving;
        self.adapt(room, now)
    }

    fn adapt(&mut self, room: u32, now: Instant) -> Option<u32> {
        self.adapted_at = now;
        let room = room.min(self.slots / 2);
        (std::mem::replace(&mut self.room, room) != room).then_some(room)
    }

    /// Whether a job of the job queue goes to the overflow at once, behind those of its tenant that wait there.
    pub(super) fn goes_behind(&mut self, tenant: &Tenant, now: Instant) -> bool {
        self.overflowing.contains(tenant) && self.is_slow(now)
    }

    fn is_stuck(&mut self, now: Instant) -> bool {
        self.is_slow(now) && now.saturating_duration_since(self.blocked_since) >= BLOCKED
    }

    fn is_slow(&mut self, now: Instant) -> bool {
        self.roll(now);
        self.done.0 + self.done.1 < FAST / 2
    }

    fn roll(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.window_began);
        if passed >= WINDOW {
            let before = if passed < WINDOW * 2 { self.done.0 } else { 0 };
            (self.done, self.window_began) = ((0, before), now);
        }
    }
}

/// Whether a job that has waited since then makes room for those behind it, if there are any.
fn make_room(rotation: &mut Rotation, since: Instant, now: Instant) -> Result<(), Instant> {
    if rotation.ready == 0 || now < since + PATIENCE {
        return Err(now + PATIENCE);
    }
    rotation.take(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn jobs_wait_in_the_worker_before_they_overflow() {
        let now = Instant::now();
        let mut passage = Passage::new(100, now);
        passage.waits(now);
        assert!(passage.leave(Source::Jobs, Blocked::Slot, now, now + BLOCKED - MILLISECOND).is_err());
        assert_eq!(passage.leave(Source::Jobs, Blocked::Slot, now, now + BLOCKED), Ok(()));
        passage.waits_no_more(now + BLOCKED);
        let soon = now + BLOCKED + BREAK / 2;
        passage.waits(soon);
        assert_eq!(passage.leave(Source::Jobs, Blocked::Slot, now, soon), Ok(()), "a moment is no break");
        passage.waits_no_more(soon);
        passage.waits(soon + BREAK);
        assert!(passage.leave(Source::Jobs, Blocked::Slot, now, soon + BREAK).is_err(), "a new wait");
    }

    #[test]
    fn nothing_overflows_while_slots_come_free_fast() {
        let now = Instant::now();
        let mut passage = Passage::new(100, now);
        passage.waits(now);
        let mut at = now;
        for _ in 0..4_000 {
            at += MILLISECOND / 4;
            passage.done(at);
        }
        assert!(passage.leave(Source::Jobs, Blocked::Slot, now, at).is_err());
        let later = at + WINDOW * 2;
        assert_eq!(passage.leave(Source::Jobs, Blocked::Slot, now, later), Ok(()));
    }

    #[test]
    fn held_jobs_go_round_at_a_bounded_rate() {
        for (ready, expected) in [(10, 3), (100, 25), (4_000, 1_000), (1_000_000, 4_000)] {
            let now = Instant::now();
            let mut passage = Passage::new(100, now);
            passage.seen(0, ready, now);
            let (mut at, mut left) = (now, 0);
            while at < now + Duration::from_secs(10) {
                at += MILLISECOND;
                left += u32::from(passage.leave(Source::Held, Blocked::Calls, now, at).is_ok());
            }
            assert!(left.abs_diff(expected) <= expected / 4 + 1, "{left} of {ready}");
        }
    }

    #[test]
    fn held_jobs_stay_while_nothing_waits_behind_them() {
        let now = Instant::now();
        let mut passage = Passage::new(100, now);
        assert!(passage.leave(Source::Held, Blocked::Calls, now, now + HELD_MAX / 2).is_err());
        assert_eq!(passage.leave(Source::Held, Blocked::Calls, now, now + HELD_MAX), Ok(()));
    }

    #[test]
    fn nothing_is_moved_while_the_host_is_away() {
        let now = Instant::now();
        let mut passage = Passage::new(100, now);
        for source in Source::ALL {
            let left = passage.leave(source, Blocked::Host, now, now + HELD_MAX / 2);
            assert_eq!(left, Err(now + HELD_MAX), "{source:?}");
        }
    }

    #[test]
    fn a_tenants_later_jobs_go_behind_its_earlier_ones() {
        let now = Instant::now();
        let mut passage = Passage::new(100, now);
        let tenant = |name: &str| Tenant { name: name.to_owned(), member: String::new() };
        passage.moved(Some(tenant("A")), Source::Overflow);
        passage.seen(1, 0, now);
        let later = now + BLOCKED;
        assert!(passage.goes_behind(&tenant("A"), later) && !passage.goes_behind(&tenant("B"), later));
        passage.seen(0, 0, later);
        assert!(!passage.goes_behind(&tenant("A"), later), "the overflow is empty");
    }

    #[test]
    fn room_for_moves_grows_while_it_is_used_and_is_given_back() {
        let mut now = Instant::now();
        let mut passage = Passage::new(100, now);
        let mut room = 0;
        for _ in 0..50 {
            now += ADAPT;
            room = passage.move_begins(now).unwrap_or(room);
        }
        assert_eq!(room, 50, "half of the slots at the most");
        (0..50).for_each(|_| passage.move_ends());
        for _ in 0..10 {
            now += RELAX;
            room = passage.relax(now).unwrap_or(room);
        }
        assert_eq!(room, 0);
    }
}
