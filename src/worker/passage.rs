//! When a job that cannot run now is moved to another queue, so that others behind it can be looked at. Pure: takes the time
//! as an argument.
//!
//! A job is moved out of the job queue once; what waits in the other two goes round at bounded rates, and only while
//! something waits behind it. Where slots come free so fast that the queue moves anyway, nothing is moved: that would only
//! cost the broker.

mod rotation;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use self::rotation::Rotation;
use crate::broker::intake::Source;
use crate::fair_share::Tenant;
use crate::retry::policy::HELD_MAX;

/// Jobs of the job queue are moved to the overflow when some have waited for slots this long without a break.
const BLOCKED: Duration = Duration::from_millis(200);
/// A break shorter than this is none: nothing waits either while no job can arrive for want of room.
const BREAK: Duration = Duration::from_millis(500);

/// Of those that are looked through, one in so many may stay and wait for the next slot.
const STAYING: u32 = 4;

/// None is moved while this many jobs a second are done.
const FAST: u32 = 2_000;

/// Over which that is counted.
const WINDOW: Duration = Duration::from_millis(250);

/// A job waits this long for the call that finds out about its part,
const PROBE_WAIT: Duration = Duration::from_secs(5);
/// if no more do than this share of the slots.
const PROBE_SHARE: u32 = 4;

/// How often a job that may not leave yet asks again.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// How often the room for looking through the job queue is doubled, and halved.
const ADAPT: Duration = Duration::from_millis(20);
const RELAX: Duration = Duration::from_millis(200);

/// While this many are moved between two looks, one after the other for want of room, it is not halved.
const MANY: u32 = 20;

/// Why a job cannot run now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blocked {
    /// There is no slot for it, and its tenant has its share of them.
    Slot,
    /// Its tenant has fewer slots than its share: the next one is for it.
    Turn,
    /// Its organisation has as many jobs in flight as its calls can carry.
    Scarce,
    /// It came from the job queue, and one call is finding out whether those of its part succeed.
    Probe,
    /// Its calls are held back.
    Calls,
}

/// Decides who may leave.
#[derive(Debug)]
pub(super) struct Passage {
    /// Jobs done in this window, and in the one before.
    done: (u32, u32),
    window_began: Instant,
    /// Jobs of the job queue that wait for slots, and since when there have been any, those that leave at once included.
    waiting: u32,
    blocked_since: Instant,
    last_waited_at: Option<Instant>,
    /// Those that wait for the end of a probe.
    waiting_for_probes: u32,
    slots: u32,
    /// Jobs of the job queue that are being moved, and the most lately.
    moving: u32,
    peak: u32,
    /// How many began to be moved since the room was last looked at.
    moves: u32,
    /// Slots kept free for that.
    room: u32,
    adapted_at: Instant,
    /// Tenants that have jobs in the overflow, with the members whose they are, as far as is known.
    overflowing: BTreeMap<String, BTreeSet<String>>,
    held: Rotation,
    overflow: Rotation,
    /// Queues to which this worker has moved jobs lately.
    filled: Vec<Source>,
}

impl Passage {
    pub(super) fn new(slots: u16, now: Instant) -> Self {
        Self {
            done: (0, 0),
            window_began: now,
            waiting: 0,
            blocked_since: now,
            last_waited_at: None,
            waiting_for_probes: 0,
            slots: u32::from(slots),
            moving: 0,
            peak: 0,
            moves: 0,
            room: 0,
            adapted_at: now,
            overflowing: BTreeMap::new(),
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
        match source {
            Source::Jobs => {}
            Source::Overflow => self.overflow.ran_at_once(now),
            Source::Held => self.held.ran_at_once(now),
        }
    }

    /// A job was moved there.
    pub(super) fn moved(&mut self, tenant: Option<Tenant>, to: Source) {
        if to == Source::Overflow
            && let Some(Tenant { name, member }) = tenant
        {
            self.overflowing.entry(name).or_default().insert(member);
        }
        if !self.filled.contains(&to) {
            self.filled.push(to);
        }
    }

    /// Where jobs were moved since the last time.
    pub(super) fn filled(&mut self) -> Vec<Source> {
        std::mem::take(&mut self.filled)
    }

    /// A job of the job queue waits: for the end of a probe, or for a slot.
    pub(super) fn waits(&mut self, blocked: Blocked, now: Instant) {
        if blocked == Blocked::Probe {
            self.waiting_for_probes += 1;
            return;
        }
        let is_break = self.last_waited_at.is_none_or(|at| now.saturating_duration_since(at) >= BREAK);
        if self.waiting == 0 && is_break {
            self.blocked_since = now;
        }
        self.waiting += 1;
        self.last_waited_at = Some(now);
    }

    /// It does not any more.
    pub(super) fn waits_no_more(&mut self, blocked: Blocked, now: Instant) {
        if blocked == Blocked::Probe {
            self.waiting_for_probes = self.waiting_for_probes.saturating_sub(1);
            return;
        }
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
            (_, Blocked::Turn) => Err(latest.min(now + ASK_AGAIN)),
            (Source::Jobs, Blocked::Probe)
                if now < since + PROBE_WAIT && self.waiting_for_probes * PROBE_SHARE <= self.slots =>
            {
                Err(now + ASK_AGAIN)
            }
            (Source::Held, Blocked::Calls) => self.held.make_room(since, now),
            (_, Blocked::Calls | Blocked::Probe) | (Source::Jobs, Blocked::Scarce) => Ok(()),
            (Source::Jobs, Blocked::Slot) => {
                if self.is_stuck(now) && self.waiting * STAYING > self.moving + self.waiting {
                    Ok(())
                } else {
                    Err(now + ASK_AGAIN)
                }
            }
            (Source::Overflow | Source::Held, Blocked::Slot | Blocked::Scarce) => {
                self.overflow.make_room(since, now)
            }
        }
    }

    /// A job of the job queue is being moved; gives the slots to keep free from now on, if that has changed.
    pub(super) fn move_begins(&mut self, now: Instant) -> Option<u32> {
        self.last_waited_at = Some(now);
        self.moving += 1;
        self.moves += 1;
        self.peak = self.peak.max(self.moving);
        let is_full = self.moving >= self.room.max(1) * 3 / 4;
        if !is_full || now.saturating_duration_since(self.adapted_at) < ADAPT {
            return None;
        }
        self.adapt((self.room.max(self.moving) * 2).max(self.slots / 4), now)
    }

    /// It is moved.
    pub(super) fn move_ends(&mut self) {
        self.moving = self.moving.saturating_sub(1);
    }

    /// To be called every now and then; gives the slots to keep free from now on, if that has changed. While all slots are in
    /// use (`is_full`), nothing can be moved, and that it is not says nothing.
    pub(super) fn relax(&mut self, is_full: bool, now: Instant) -> Option<u32> {
        if self.room == 0 || is_full || now.saturating_duration_since(self.adapted_at) < RELAX {
            return None;
        }
        let is_used = self.peak * 4 >= self.room || self.moves >= MANY;
        let room = if is_used { self.room } else { self.room / 2 };
        self.peak = self.moving;
        self.adapt(room, now)
    }

    fn adapt(&mut self, room: u32, now: Instant) -> Option<u32> {
        (self.adapted_at, self.moves) = (now, 0);
        let room = room.min(self.slots / 2);
        (std::mem::replace(&mut self.room, room) != room).then_some(room)
    }

    /// Whether jobs of the tenant wait in the overflow, as far as is known.
    pub(super) fn is_overflowing(&self, tenant: &Tenant) -> bool {
        self.overflowing.contains_key(&tenant.name)
    }

    /// Whether a job of the job queue goes to the overflow at once, behind those of its tenant that wait there.
    pub(super) fn goes_behind(&mut self, tenant: &Tenant, now: Instant) -> bool {
        let members = self.overflowing.get(&tenant.name);
        members.is_some_and(|members| members.contains(&tenant.member)) && self.is_slow(now)
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

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn jobs_wait_in_the_worker_before_they_overflow() {
        let now = Instant::now();
        let mut passage = Passage::new(100, now);
        passage.waits(Blocked::Slot, now);
        assert!(passage.leave(Source::Jobs, Blocked::Slot, now, now + BLOCKED - MILLISECOND).is_err());
        assert_eq!(passage.leave(Source::Jobs, Blocked::Slot, now, now + BLOCKED), Ok(()));
        passage.waits_no_more(Blocked::Slot, now + BLOCKED);
        let soon = now + BLOCKED + BREAK / 2;
        passage.waits(Blocked::Slot, soon);
        assert_eq!(passage.leave(Source::Jobs, Blocked::Slot, now, soon), Ok(()), "a moment is no break");
        passage.waits_no_more(Blocked::Slot, soon);
        passage.waits(Blocked::Slot, soon + BREAK);
        assert!(passage.leave(Source::Jobs, Blocked::Slot, now, soon + BREAK).is_err(), "a new wait");
    }

    #[test]
    fn one_in_four_of_those_looked_through_may_stay() {
        let now = Instant::now();
        let mut passage = Passage::new(100, now);
        passage.waits(Blocked::Slot, now);
        let later = now + BLOCKED;
        for _ in 0..3 {
            let _ = passage.move_begins(later);
        }
        assert!(passage.leave(Source::Jobs, Blocked::Slot, now, later).is_err());
        passage.waits(Blocked::Slot, later);
        assert_eq!(passage.leave(Source::Jobs, Blocked::Slot, later, later), Ok(()));
    }

    #[test]
    fn a_few_jobs_wait_for_the_probe_of_their_part() {
        let now = Instant::now();
        let mut passage = Passage::new(100, now);
        (0..25).for_each(|_| passage.waits(Blocked::Probe, now));
        assert!(passage.leave(Source::Jobs, Blocked::Probe, now, now).is_err());
        assert_eq!(passage.leave(Source::Jobs, Blocked::Probe, now, now + PROBE_WAIT), Ok(()), "it hangs");
        passage.waits(Blocked::Probe, now);
        assert_eq!(passage.leave(Source::Jobs, Blocked::Probe, now, now), Ok(()), "too many wait");
        passage.waits_no_more(Blocked::Probe, now);
        assert!(passage.leave(Source::Jobs, Blocked::Probe, now, now).is_err());
    }

    #[test]
    fn nothing_overflows_while_slots_come_free_fast() {
        let now = Instant::now();
        let mut passage = Passage::new(100, now);
        passage.waits(Blocked::Slot, now);
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
    fn a_tenants_later_jobs_go_behind_its_earlier_ones() {
        let now = Instant::now();
        let mut passage = Passage::new(100, now);
        let tenant = |name: &str| Tenant { name: name.to_owned(), member: String::new() };
        passage.moved(Some(tenant("A")), Source::Overflow);
        passage.seen(1, 0, now);
        let later = now + BLOCKED;
        assert!(passage.goes_behind(&tenant("A"), later) && !passage.goes_behind(&tenant("B"), later));
        let another = Tenant { member: "another".to_owned(), ..tenant("A") };
        assert!(passage.is_overflowing(&another) && !passage.is_overflowing(&tenant("B")));
        assert!(!passage.goes_behind(&another, later), "its own part has none there");
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
        assert_eq!(passage.relax(true, now + RELAX), None, "all slots are in use");
        for _ in 0..10 {
            now += RELAX;
            room = passage.relax(false, now).unwrap_or(room);
        }
        assert_eq!(room, 0);
    }
}
