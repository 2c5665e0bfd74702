//! What is wrong with a job, told so that its sender can mend it.

use std::fmt;

/// How many problems are spelled out; a message with thousands of faults must not make an endless reply.
const SHOWN: usize = 20;

/// Characters of a foreign name that are repeated in a message.
const NAME_SHOWN: usize = 64;

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

/// Every fault of one job, collected before it is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Notes a fault.
    pub fn add(&mut self, path: impl Into<String>, what: impl Into<String>) {
        self.0.push(Problem { path: path.into(), what: what.into() });
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a fault of `path`, or of something in it, is already noted.
    pub(super) fn mention(&self, path: &str) -> bool {
        self.0.iter().any(|problem| {
            problem.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// The faults in the order they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().take(SHOWN).enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// A key as the sender wrote it, fit for a log line: bounded, without control characters.
pub(super) fn shown(name: &str) -> String {
    let mut shown: String =
        name.chars().take(NAME_SHOWN).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if shown.len() < name.len() && name.chars().count() > NAME_SHOWN {
        shown.push('…');
    }
    shown
}
