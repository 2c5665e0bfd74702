//! What happened, line by line: small enough to be kept always, written out only when a history fails.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Sent,
    Delivered,
    Redelivered,
    Acked,
    Requeued,
    CameBack,
    Published,
    Unconfirmed,
    Refused,
    Replied,
    Undeliverable,
    DeadLettered,
    Expired,
    CreateEnded,
    CreateFailed,
    Connected,
    FindBegun,
    Found,
    Absent,
    FindFailed,
    OtherCall,
    OtherCallFailed,
    TokenFetched,
    TokenFailed,
    SessionOpened,
    SessionLost,
    Cut,
    Killed,
    Started,
    Stopped,
}

/// A line: when, in milliseconds from the start; what; about which job, or which worker; and one thing more, such as the
/// worker, the organisation or the queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    at: u32,
    what: What,
    who: u32,
    with: u32,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, what, who, with } = self;
        let who = if *who == NOBODY { "-".to_owned() } else { who.to_string() };
        write!(f, "{:>8}.{:03} {what:?} {who} ({with})", at / 1000, at % 1000)
    }
}

/// Stands where no job is meant.
pub(crate) const NOBODY: u32 = u32::MAX;

/// All lines of a history. Clones write the same one.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    began: Instant,
    lines: Arc<Mutex<Vec<Line>>>,
    /// The history is over: in which order tasks are then dropped is no part of it.
    over: Arc<AtomicBool>,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), lines: Arc::default(), over: Arc::default() }
    }

    /// Milliseconds since the start.
    pub(crate) fn now(&self) -> u32 {
        u32::try_from(self.began.elapsed().as_millis()).unwrap_or(u32::MAX)
    }

    /// No further line is written.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn note(&self, what: What, who: u32, with: usize) {
        if self.over.load(Ordering::Relaxed) {
            return;
        }
        let with = u32::try_from(with).unwrap_or(u32::MAX);
        let line = Line { at: self.now(), what, who, with };
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// FNV-1a over all lines.
    pub(crate) fn hash(&self) -> u64 {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let words = lines.iter().flat_map(|line| [line.at, line.what as u32, line.who, line.with]);
        words
            .fold(0xcbf2_9ce4_8422_2325, |hash, word| (hash ^ u64::from(word)).wrapping_mul(0x0100_0000_01b3))
    }

    pub(crate) fn len(&self) -> usize {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The first line in which another trace differs, and what came before it.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let ours = self.about_all();
        let theirs = other.about_all();
        let same = ours.iter().zip(&theirs).take_while(|(one, other)| one == other).count();
        if same == ours.len() && same == theirs.len() {
            return None;
        }
        let until = |lines: &[String]| lines[same.saturating_sub(5)..lines.len().min(same + 2)].join("\n");
        Some(format!("{}\nand\n{}", until(&ours), until(&theirs)))
    }

    fn about_all(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(ToString::to_string).collect()
    }

    /// The lines about a job, and those about no job.
    pub(crate) fn about(&self, job: Option<u32>, most: usize) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let about = |line: &&Line| {
            let of_worker = matches!(
                line.what,
                What::SessionOpened
                    | What::SessionLost
                    | What::Cut
                    | What::Killed
                    | What::Started
                    | What::Stopped
            );
            of_worker || job.is_some_and(|job| line.who == job)
        };
        let mut text: Vec<String> = lines.iter().filter(about).map(|line| format!("  {line}")).collect();
        if text.len() > most {
            let left_out = text.len() - most;
            text.truncate(most);
            text.push(format!("  … and {left_out} lines more"));
        }
        text.join("\n")
    }
}
