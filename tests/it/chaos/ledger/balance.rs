//! What the ledger says in the end.

use std::collections::{BTreeMap, BTreeSet};

use super::{Entry, Fate, Ledger, Says};

/// The final account. Lists name jobs, because somebody will want to know which.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Balance {
    pub(crate) confirmed: usize,
    /// Submitted, and never confirmed,
    pub(crate) indeterminate: usize,
    /// and yet answered or dead-lettered: they count as jobs.
    pub(crate) indeterminate_done: usize,
    /// Given back by the broker: no queue took them.
    pub(crate) returned: u64,

    pub(crate) answered_once: usize,
    /// Answered more than once, each time the same.
    pub(crate) repeated: usize,
    /// First a failure, then a connection, or the other way round.
    pub(crate) mixed: Vec<String>,
    /// Answered with different connections, or under different message ids.
    pub(crate) conflicting: Vec<String>,
    /// Replies read from the queue of undeliverable ones.
    pub(crate) undeliverable: u64,

    /// Jobs that were told of a connection at least once.
    pub(crate) created: usize,
    /// The other answered jobs, by the code of their last reply.
    pub(crate) failed: BTreeMap<String, usize>,
    /// Jobs that were told of a connection that was found, not made.
    pub(crate) recovered: usize,
    pub(crate) dead: BTreeMap<String, usize>,

    pub(crate) connections: usize,
    /// Jobs with more than one connection, and how many each has.
    pub(crate) duplicated: BTreeMap<String, usize>,
    /// Connections beyond the first of each job.
    pub(crate) extra: usize,

    /// Confirmed and never heard of again.
    pub(crate) lost: Vec<String>,
    /// Told of a connection that is not there, or not theirs.
    pub(crate) misled: Vec<String>,
    /// Told for certain that there is no connection, and there is one.
    pub(crate) denied: Vec<String>,
    /// What nobody had submitted, connections included.
    pub(crate) strangers: Vec<String>,
}

/// Codes that leave it open whether there is a connection.
const UNDECIDED: [&str; 2] = ["ambiguous", "internal"];

impl Balance {
    pub(super) fn of(ledger: &Ledger, connections: &[(String, String)]) -> Self {
        let mut balance = Self {
            returned: ledger.returned,
            undeliverable: ledger.undeliverable,
            strangers: ledger.strangers.clone(),
            connections: connections.len(),
            ..Self::default()
        };
        let mut made: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (job, connection) in connections {
            made.entry(job).or_default().push(connection);
        }
        for (job, entry) in &ledger.entries {
            balance.add(job, entry, &made.remove(job.as_str()).unwrap_or_default());
        }
        balance.strangers.extend(made.keys().map(|job| format!("a connection of {job:?}")));
        balance
    }

    /// Whether every promise about a job was kept.
    pub(crate) fn is_clean(&self) -> bool {
        self.duplicated.is_empty()
            && [&self.lost, &self.conflicting, &self.misled, &self.denied, &self.strangers]
                .into_iter()
                .all(Vec::is_empty)
    }

    /// Jobs with which something is wrong: of each kind the first few.
    pub(crate) fn suspects(&self, few: usize) -> BTreeSet<&str> {
        let lists = [&self.lost, &self.misled, &self.denied, &self.conflicting];
        let listed = lists.into_iter().flat_map(|list| list.iter().take(few));
        listed.chain(self.duplicated.keys().take(few)).map(String::as_str).collect()
    }

    fn add(&mut self, job: &str, entry: &Entry, made: &[&str]) {
        let confirmed = entry.fate == Fate::Confirmed;
        self.confirmed += usize::from(confirmed);
        self.indeterminate += usize::from(!confirmed);
        self.indeterminate_done += usize::from(!confirmed && entry.is_heard_of());
        if entry.is_lost() {
            self.lost.push(job.to_owned());
        }
        for reason in &entry.dead {
            *self.dead.entry(reason.clone()).or_default() += 1;
        }
        if made.len() > 1 {
            self.duplicated.insert(job.to_owned(), made.len());
            self.extra += made.len() - 1;
        }
        if !entry.answers.is_empty() {
            self.add_answers(job, entry, made);
        }
    }

    fn add_answers(&mut self, job: &str, entry: &Entry, made: &[&str]) {
        let told: BTreeSet<&str> =
            entry.answers.iter().filter_map(|answer| answer.says.connection()).collect();
        let codes: Vec<&str> = entry.answers.iter().filter_map(|answer| answer.says.code()).collect();
        let message_ids: BTreeSet<&str> =
            entry.answers.iter().map(|answer| answer.message_id.as_str()).collect();
        if told.len() > 1 || message_ids.len() > 1 {
            self.conflicting.push(job.to_owned());
        } else if !told.is_empty() && !codes.is_empty() {
            self.mixed.push(job.to_owned());
        } else if entry.answers.len() > 1 {
            self.repeated += 1;
        } else {
            self.answered_once += 1;
        }
        match codes.last() {
            Some(code) if told.is_empty() => *self.failed.entry((*code).to_owned()).or_default() += 1,
            _ => self.created += 1,
        }
        self.recovered += usize::from(entry.answers.iter().any(|answer| answer.says.is_recovered()));
        if told.iter().any(|connection| !made.contains(connection)) {
            self.misled.push(job.to_owned());
        }
        let certain = codes.last().is_some_and(|code| !UNDECIDED.contains(code));
        if told.is_empty() && certain && !made.is_empty() {
            self.denied.push(job.to_owned());
        }
    }
}

impl Says {
    fn connection(&self) -> Option<&str> {
        match self {
            Self::Created { connection, .. } => Some(connection),
            Self::Failed { .. } => None,
        }
    }

    fn code(&self) -> Option<&str> {
        match self {
            Self::Created { .. } => None,
            Self::Failed { code } => Some(code),
        }
    }

    fn is_recovered(&self) -> bool {
        matches!(self, Self::Created { recovered: true, .. })
    }
}
