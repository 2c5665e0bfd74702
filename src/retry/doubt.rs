//! Whether a job's connection may exist already, and how carefully that is looked into before it is created again.

use std::time::Duration;

use tokio::time::Instant;

/// What earlier calls may have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// Nothing: there were none, or they certainly did not create the connection.
    None,
    /// They certainly did nothing. But of a job that went through a retry queue there can be a copy, if its worker ended just
    /// then, and that may have done it: so it is looked for, and nobody is told that it may exist.
    Unlikely,
    /// They may have created the connection, and what they did is done: it can be seen now, or as soon as look-ups have
    /// caught up.
    Settled,
    /// A call may still be under way until then: nobody has heard how it ended.
    Open(Instant),
}

impl Doubt {
    /// Whether a sender has to be told that the connection may exist.
    pub fn is_serious(self) -> bool {
        match self {
            Self::None | Self::Unlikely => false,
            Self::Settled | Self::Open(_) => true,
        }
    }

    /// How long a call may still be under way.
    pub fn unsettled(self) -> Duration {
        match self {
            Self::None | Self::Unlikely | Self::Settled => Duration::ZERO,
            Self::Open(until) => until.saturating_duration_since(Instant::now()),
        }
    }
}

/// How the connection is looked for before it is created again. Nobody documents how far look-ups lag behind creates.
#[derive(Debug, Clone, Copy)]
pub struct Lookups {
    /// Look-ups that must find nothing, in a row.
    pub looks: u32,
    /// Shortest pause between two of them; the longest is half as long again.
    pub pause: Duration,
    /// How long a call that nobody has heard from may still be under way: so long the job waits, and is then looked for
    /// anew.
    pub settle: Duration,
}

impl Lookups {
    /// Look-ups for a job of so many attempts, at the most: before each repeated create two rounds, with a pause in
    /// between for the call to be over, and one round when all attempts are used.
    pub fn most(&self, attempts: u32) -> u32 {
        self.looks.saturating_mul(attempts.saturating_sub(1).saturating_mul(2).saturating_add(1))
    }

    /// The longest that one round of look-ups can take, when each takes as long as a call may.
    pub fn longest(&self, call: Duration) -> Duration {
        (self.pause * 3 / 2 + call) * self.looks
    }
}
