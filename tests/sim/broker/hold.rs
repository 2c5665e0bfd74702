//! What the broker holds: queues, links, and what is due.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use connection_worker::broker::delivery::Settlement;
use fastrand::Rng;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::ledger::{Letter, Move, Seen};
use super::queue::{Consumer, Held, Queue, Stored, lifetime};
use super::{Unkind, chance};
use crate::parts::{JOBS, REPLIES};
use crate::trace::{Trace, What};

/// Something that happens later.
#[derive(Debug)]
pub(super) enum Event {
    /// A message arrives; `survives` even if its link is lost meanwhile.
    Put { link: Option<usize>, queue: usize, message: Box<Stored>, survives: bool },
    /// A settlement arrives.
    Settle { link: usize, tag: u64, settlement: Settlement },
    /// The broker notices that a link is gone.
    Return { link: usize },
    /// The first message of a queue has lived long enough.
    Expire { queue: usize },
    /// Nobody can connect any more.
    Down,
}

/// A connection of a worker's.
#[derive(Debug)]
pub(super) struct LinkState {
    pub(super) worker: usize,
    pub(super) consumes: bool,
    pub(super) publishes: bool,
    pub(super) held: BTreeMap<u64, Held>,
    pub(super) lost: Arc<Notify>,
}

/// All that the broker holds.
#[derive(Debug)]
pub(crate) struct State {
    pub(super) queues: Vec<Queue>,
    pub(super) consumers: Vec<Consumer>,
    pub(super) links: Vec<LinkState>,
    due: BinaryHeap<Reverse<(Instant, u64)>>,
    events: BTreeMap<u64, Event>,
    numbers: u64,
    pub(super) random: Rng,
    pub(super) luck: Rng,
    pub(super) unkind: Unkind,
    pub(super) began: Instant,
    pub(crate) seen: Seen,
    pub(super) trace: Trace,
    sooner: Arc<Notify>,
    came: Arc<Notify>,
}

impl State {
    pub(super) fn new(
        seed: u64,
        unkind: Unkind,
        trace: Trace,
        (sooner, came): (Arc<Notify>, Arc<Notify>),
    ) -> Self {
        let mut state = Self {
            queues: Vec::new(),
            consumers: Vec::new(),
            links: Vec::new(),
            due: BinaryHeap::new(),
            events: BTreeMap::new(),
            numbers: 0,
            random: Rng::with_seed(seed ^ 0xb20_4e20),
            luck: Rng::with_seed(seed ^ 0x1_0c4a),
            unkind,
            began: Instant::now(),
            seen: Seen::default(),
            trace,
            sooner,
            came,
        };
        for name in [JOBS, REPLIES] {
            state.queue(name);
        }
        let down: Vec<_> = state.unkind.down.iter().map(|(from, _)| state.began + *from).collect();
        for at in down {
            state.at(at, Event::Down);
        }
        state
    }

    /// A queue, made on demand.
    pub(super) fn queue(&mut self, name: &str) -> usize {
        if let Some(known) = self.queues.iter().position(|queue| queue.name == name) {
            return known;
        }
        let ttl = lifetime(name).map(|(ttl, end)| (ttl, self.queue(end)));
        self.queues.push(Queue { name: name.to_owned(), ttl, ..Queue::default() });
        self.queues.len() - 1
    }

    /// The same, if there is to be one of that name.
    pub(super) fn known(&mut self, name: &str) -> Option<usize> {
        let is_own = name.strip_prefix(JOBS).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        (is_own || self.queues.iter().any(|queue| queue.name == name)).then(|| self.queue(name))
    }

    /// How long a step takes.
    pub(crate) fn latency(&mut self) -> Duration {
        Duration::from_millis(self.random.u64(0..=self.unkind.slowness))
    }

    pub(super) fn at(&mut self, at: Instant, event: Event) {
        self.numbers += 1;
        let number = self.numbers;
        if self.due.peek().is_none_or(|Reverse((first, _))| at < *first) {
            self.sooner.notify_one();
        }
        self.due.push(Reverse((at, number)));
        self.events.insert(number, event);
    }

    /// Whether settlements of a link are on their way.
    pub(super) fn is_settling(&self, of: usize) -> bool {
        self.events.values().any(|event| matches!(event, Event::Settle { link, .. } if *link == of))
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    pub(super) fn run_due(&mut self, now: Instant) {
        while let Some(Reverse((at, number))) = self.due.peek().copied() {
            if at > now {
                return;
            }
            self.due.pop();
            match self.events.remove(&number) {
                Some(Event::Put { link, queue, message, survives })
                    if survives || link.is_none_or(|link| self.links[link].publishes) =>
                {
                    self.put(queue, *message, link.is_some());
                }
                Some(Event::Settle { link, tag, settlement }) => self.settle(link, tag, settlement),
                Some(Event::Return { link }) => self.give_back(link),
                Some(Event::Expire { queue }) => self.expire(queue),
                Some(Event::Down) => (0..self.links.len()).for_each(|link| self.cut(link, Duration::ZERO)),
                Some(Event::Put { .. }) | None => {}
            }
        }
    }

    /// A queue takes a message; from a worker, if not from a sender or a queue.
    pub(super) fn put(&mut self, queue: usize, message: Stored, from_worker: bool) {
        let (at, job) = (self.trace.now(), message.job);
        let rest = self.queues[queue].name.strip_prefix(JOBS);
        if matches!(rest, None | Some(".dead" | ".undeliverable")) {
            return self.keep(queue, &message);
        }
        if from_worker {
            self.trace.note(What::Published, job, queue);
            self.seen.moves.push(Move { at, job, queue });
        }
        if let Some((ttl, _)) = self.queues[queue].ttl {
            self.at(Instant::now() + ttl, Event::Expire { queue });
        }
        self.queues[queue].ready.push_back(message);
        self.hand_out(queue);
    }

    /// What nobody consumes goes to the ledger.
    fn keep(&mut self, queue: usize, message: &Stored) {
        let at = self.trace.now();
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let letter = |kind: Option<&str>| Letter {
            at,
            job: message.job,
            kind: text(kind),
            body: Arc::clone(&message.body),
        };
        let properties = &message.properties;
        match self.queues[queue].name.rsplit_once('.') {
            Some((_, "dead")) => {
                self.trace.note(What::DeadLettered, message.job, queue);
                self.seen.dead.push(letter(properties.header("dead-reason")));
            }
            Some((_, "undeliverable")) => {
                self.trace.note(What::Undeliverable, message.job, queue);
                self.seen.answered.entry(message.job).or_insert(at);
                self.seen.undeliverable.push(letter(properties.kind()));
            }
            _ => {
                self.trace.note(What::Replied, message.job, queue);
                self.seen.replied(letter(properties.kind()));
            }
        }
        self.came.notify_one();
    }

    fn expire(&mut self, queue: usize) {
        let Some((_, end)) = self.queues[queue].ttl else { return };
        let Some(message) = self.queues[queue].ready.pop_front() else { return };
        self.trace.note(What::Expired, message.job, queue);
        if self.is_unkind() && chance(&mut self.luck, self.unkind.twice) {
            self.put(end, message.clone(), false);
        }
        self.put(end, message, false);
    }

    /// Gives what is ready to those who have room.
    pub(super) fn hand_out(&mut self, queue: usize) {
        while !self.queues[queue].ready.is_empty() {
            let Some(number) = self.queues[queue].next(&self.consumers) else { return };
            let Some(message) = self.queues[queue].ready.pop_front() else { return };
            self.numbers += 1;
            let (tag, delay) = (self.numbers, self.latency());
            let consumer = &mut self.consumers[number];
            let after = consumer.buffer.back().map(|(at, _)| *at);
            let at = (Instant::now() + delay).max(after.unwrap_or_else(Instant::now));
            consumer.buffer.push_back((at, tag));
            consumer.unsettled += 1;
            consumer.news.notify_one();
            let link = consumer.link;
            self.links[link].held.insert(tag, Held { consumer: number, message });
            self.count(link);
        }
    }

    /// Notes how much a worker has unsettled, over all that it consumes.
    fn count(&mut self, link: usize) {
        let worker = self.links[link].worker;
        let of_worker = self.links.iter().filter(|link| link.worker == worker && link.consumes);
        let unsettled: usize = of_worker.map(|link| link.held.len()).sum();
        let most = self.seen.unsettled.entry(worker).or_default();
        *most = unsettled.max(*most);
    }

    pub(super) fn is_unkind(&self) -> bool {
        self.began.elapsed() < self.unkind.until
    }

    /// Until when the broker blocks whoever publishes, if it does.
    pub(super) fn blocked_until(&self) -> Option<Instant> {
        let now = self.began.elapsed();
        let blocks = |(from, until): &&(Duration, Duration)| (*from..*until).contains(&now);
        self.unkind.blocked.iter().find(blocks).map(|(_, until)| self.began + *until)
    }

    /// Whether nothing is under way any more: no job waits, is held, or is about to arrive.
    pub(crate) fn is_quiet(&self) -> bool {
        let idle = self.queues.iter().all(|queue| queue.ready.is_empty());
        let held = self.links.iter().any(|link| !link.held.is_empty());
        idle && !held && !self.events.values().any(|event| matches!(event, Event::Put { .. }))
    }

    /// What was seen, and the names of the queues.
    pub(crate) fn taken(&mut self) -> (Seen, Vec<String>) {
        let names = self.queues.iter().map(|queue| queue.name.clone()).collect();
        (std::mem::take(&mut self.seen), names)
    }
}
