//! What is wrong with a job, told so that its sender can mend it.

use std::fmt;

/// How many problems are spelled out; a message with thousands of faults must not make an endless reply.
const SHOWN: usize = 20;

/// Characters of a foreign name that are repeated in a message.
const NAME_SHOWN: usize = 64;

/// Characters of a path that are repeated in a message.
const PATH_SHOWN: usize = 256;

/// One fault: where it is and what is expected there. Holds no value of the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: a dotted path such as `connection.auth.params`; empty for the message as a whole.
    pub path: String,
    /// What was found, and what is expected.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.what) } else { write!(f, "{}: {}", self.path, self.what) }
    }
}

/// Every fault of one job, counted before it is refused; the first ones in full. A small message can hold a hundred
/// thousand, each with a long path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    shown: Vec<Problem>,
    more: usize,
}

impl Problems {
    /// Notes a fault. Its path is put into words only if it is shown.
    pub fn add(&mut self, path: impl fmt::Display, what: impl Into<String>) {
        if self.shown.len() < SHOWN {
            self.shown.push(Problem { path: shortened(path.to_string()), what: what.into() });
        } else {
            self.more += 1;
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// Whether a fault of `path`, or of something in it, is already noted in full.
    pub(super) fn mention(&self, path: &str) -> bool {
        self.shown.iter().any(|problem| {
            problem.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// The first faults in words, and how many more there are.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let more = (self.more > 0).then(|| format!("and {} more", self.more));
        self.iter().map(Problem::to_string).chain(more)
    }

    /// The first faults, in the order they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.shown.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.shown.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// The beginning of a long path: its end says less, and a reader finds the rest.
fn shortened(mut path: String) -> String {
    if let Some((end, _)) = path.char_indices().nth(PATH_SHOWN) {
        path.truncate(end);
        path.push('…');
    }
    path
}

/// A key as the sender wrote it, fit for a log line: bounded, without control characters.
pub fn shown(name: &str) -> String {
    let mut shown: String =
        name.chars().take(NAME_SHOWN).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if shown.len() < name.len() && name.chars().count() > NAME_SHOWN {
        shown.push('…');
    }
    shown
}
