//! What happens in a storm, and when. Pure: derived from the seed, the length and the number of nodes, and nothing else.
//!
//! Five lanes run beside each other: what is done to the workers, to the broker, to the network, to Flow Service and to
//! a sender's reply queue. Within a lane one thing follows the other, so that nothing heals what another has broken.
//! Each lane deals its faults from a shuffled deck, so that all kinds come before one comes again.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

#[cfg(test)]
mod tests;

/// How many lanes there are.
pub(super) const LANES: usize = 5;

/// How many workers there are to be struck.
pub(super) const WORKERS: usize = 3;

/// One fault at one time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Strike {
    /// From the beginning of the storm.
    pub(super) at: Duration,
    /// How long it goes on; what ends by itself has no say in it.
    pub(super) lasts: Duration,
    pub(super) fault: Fault,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Worker(usize, WorkerFault),
    Broker(Node, BrokerFault),
    Link(Ends, Ill),
    Service(ServiceFault),
    /// A sender's reply queue is deleted, and there again after a while.
    ReplyQueue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WorkerFault {
    /// SIGKILL, and started again at once.
    Kill,
    /// SIGTERM, and started again when it has ended: a rolling restart.
    Term,
    /// SIGSTOP, and SIGCONT after a while.
    Stop,
}

/// Which node of the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Number(usize),
    /// The one that leads the job queue at that moment.
    Leader,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BrokerFault {
    /// Stops in order, and starts again.
    Restart,
    /// Ends as by a power cut, and starts again.
    Kill,
}

/// A network between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// One worker and one of its peers.
    One(usize, Peer),
    /// Every worker and Flow Service: an outage of the service.
    AllToService,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Broker,
    Service,
    Ims,
}

/// What is wrong with a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ill {
    /// Connections are reset, and new ones too.
    Cut,
    /// Nothing gets through, and nobody is told.
    Freeze,
    /// Everything is late by this.
    Delay(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServiceFault {
    /// 30 % of the creates are answered with 503.
    BrownOut,
    /// 60 % of the calls are answered with 429 and `Retry-After: 1`.
    Throttle,
    /// 40 % of the creates are done, and the connection is closed without an answer.
    CloseAfter,
    /// 20 % of the creates are never answered; half of these are done.
    Hang,
}

/// The faults of one lane.
struct Lane<'a> {
    deck: &'a [Fault],
    /// One strike in so much time,
    every: Duration,
    /// and at least so many in all.
    at_least: u32,
    /// How long a strike may last, in seconds.
    lasts: (f64, f64),
}

/// The strikes of a storm in the order of their times.
pub(super) fn draw(seed: u64, length: Duration, nodes: usize) -> Vec<Strike> {
    // Otherwise two storms of one run would be each other's twins.
    let mut rng = Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(nodes as u64));
    let mut strikes = Vec::new();
    let workers = workers();
    let broker = broker(nodes);
    let links = links();
    let service =
        [ServiceFault::BrownOut, ServiceFault::Throttle, ServiceFault::CloseAfter, ServiceFault::Hang]
            .map(Fault::Service);
    for lane in [
        Lane { deck: &workers, every: seconds(10), at_least: 3, lasts: (2.0, 7.0) },
        Lane { deck: &broker, every: seconds(36), at_least: 1, lasts: (0.0, 2.0) },
        Lane { deck: &links, every: seconds(11), at_least: 3, lasts: (0.5, 7.0) },
        Lane { deck: &service, every: seconds(18), at_least: 2, lasts: (3.0, 8.0) },
        Lane { deck: &[Fault::ReplyQueue], every: seconds(45), at_least: 1, lasts: (2.0, 6.0) },
    ] {
        strikes.extend(lane.deal(&mut rng.fork(), length));
    }
    strikes.sort_by_key(|strike| strike.at);
    strikes
}

/// Kills more often than the rest: nothing else ends a job so abruptly.
fn workers() -> Vec<Fault> {
    let one = |worker| {
        let faults =
            [WorkerFault::Kill, WorkerFault::Kill, WorkerFault::Kill, WorkerFault::Term, WorkerFault::Stop];
        faults.map(|fault| Fault::Worker(worker, fault))
    };
    (0..WORKERS).flat_map(one).collect()
}

fn broker(nodes: usize) -> Vec<Fault> {
    let mut targets: Vec<Node> = (0..nodes).map(Node::Number).collect();
    if nodes > 1 {
        targets.push(Node::Leader);
    }
    let both = |node| [BrokerFault::Restart, BrokerFault::Kill].map(|fault| Fault::Broker(node, fault));
    targets.into_iter().flat_map(both).collect()
}

fn links() -> Vec<Fault> {
    let ills = [Ill::Cut, Ill::Freeze, Ill::Delay(Duration::from_millis(150))];
    let mut faults = vec![Fault::Link(Ends::AllToService, Ill::Cut)];
    for (turn, peer) in [Peer::Broker, Peer::Broker, Peer::Service, Peer::Ims].into_iter().enumerate() {
        for (number, ill) in ills.into_iter().enumerate() {
            faults.push(Fault::Link(Ends::One((turn + number) % WORKERS, peer), ill));
        }
    }
    faults
}

impl Lane<'_> {
    fn deal(&self, rng: &mut Rng, length: Duration) -> Vec<Strike> {
        let wanted = u32::try_from(length.as_millis() / self.every.as_millis()).expect("a few strikes");
        let strikes = wanted.max(self.at_least);
        let room = length / strikes;
        let mut deck = Vec::new();
        let deal = |place| {
            if deck.is_empty() {
                deck.extend_from_slice(self.deck);
                rng.shuffle(&mut deck);
            }
            let fault = deck.pop().expect("a deck has cards");
            let (shortest, longest) = self.lasts;
            let lasts = Duration::from_secs_f64(shortest + rng.f64() * (longest - shortest));
            // It begins in the first part of its room, and leaves the last part to recover in.
            let at = room * place + room.mul_f64(0.05 + 0.35 * rng.f64());
            Strike { at, lasts: fault.lasts(lasts.min(room / 2)), fault }
        };
        (0..strikes).map(deal).collect()
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Fault {
    /// What ends by itself lasts no time.
    fn lasts(self, drawn: Duration) -> Duration {
        match self {
            Self::Worker(_, WorkerFault::Kill | WorkerFault::Term) => Duration::ZERO,
            _ => Duration::from_millis(u64::try_from(drawn.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// In which lane it comes.
    pub(super) fn lane(self) -> usize {
        match self {
            Self::Worker(..) => 0,
            Self::Broker(..) => 1,
            Self::Link(..) => 2,
            Self::Service(_) => 3,
            Self::ReplyQueue => 4,
        }
    }

    /// The kind, to count by.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Worker(_, WorkerFault::Kill) => "worker kill -9",
            Self::Worker(_, WorkerFault::Term) => "worker restart",
            Self::Worker(_, WorkerFault::Stop) => "worker stopped",
            Self::Broker(_, BrokerFault::Restart) => "broker restart",
            Self::Broker(_, BrokerFault::Kill) => "broker kill -9",
            Self::Link(Ends::AllToService, _) => "service cut off",
            Self::Link(_, Ill::Cut) => "link cut",
            Self::Link(_, Ill::Freeze) => "link frozen",
            Self::Link(_, Ill::Delay(_)) => "link slow",
            Self::Service(ServiceFault::BrownOut) => "service brown-out",
            Self::Service(ServiceFault::Throttle) => "service throttling",
            Self::Service(ServiceFault::CloseAfter) => "service closing after the create",
            Self::Service(ServiceFault::Hang) => "service hanging",
            Self::ReplyQueue => "reply queue deleted",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            Self::Worker(worker, _) => write!(f, " (worker {})", worker + 1),
            Self::Broker(Node::Number(node), _) => write!(f, " (node {})", node + 1),
            Self::Broker(Node::Leader, _) => write!(f, " (leader of the job queue)"),
            Self::Link(Ends::One(worker, peer), _) => {
                write!(f, " (worker {} to {})", worker + 1, format!("{peer:?}").to_lowercase())
            }
            Self::Link(Ends::AllToService, _) | Self::Service(_) | Self::ReplyQueue => Ok(()),
        }
    }
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:6.1} s  {}", self.at.as_secs_f64(), self.fault)?;
        if self.lasts.is_zero() { Ok(()) } else { write!(f, " for {:.1} s", self.lasts.as_secs_f64()) }
    }
}
