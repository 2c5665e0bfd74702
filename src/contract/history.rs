//! What a job carries in its AMQP headers from one delivery to the next, and what a parked message carries.
//!
//! All names are without the `x-` that RabbitMQ keeps for itself: it neither counts nor keeps those of a message that a
//! client publishes again. The values are text, so that every client can read and write them.

use jiff::Timestamp;

/// Attempts made so far, in decimal. Its mere presence, also with `0`, says that somebody may have tried before.
pub const ATTEMPTS: &str = "job-attempts";

/// When the job was first tried (RFC 3339, UTC).
pub const FIRST_SEEN_AT: &str = "job-first-seen-at";

/// Not before this the first attempt began (RFC 3339, UTC); only on a job of which that is certain. A connection that an
/// attempt has created is not older.
pub const SINCE: &str = "job-since";

/// When every call of earlier attempts is over (RFC 3339, UTC): until then one may still take effect.
pub const SETTLED_AT: &str = "job-settled-at";

/// So many attempts certainly did nothing, in decimal. If that is all of them, the job need not be taken for one that may
/// be done.
pub const UNDONE: &str = "job-attempts-undone";

/// Present if look-ups have found nothing since the last attempt: they need not be begun anew.
pub const LOOKED: &str = "job-looked";

/// What went wrong last, for a person.
pub const LAST_ERROR: &str = "job-last-error";

/// How often the job ended a worker or its session, as far as the worker has noted it: see `worker::suspicion`.
pub const TRIALS: &str = "job-trials";

/// Why a message was parked: a [`DeadReason`].
pub const DEAD_REASON: &str = "dead-reason";

/// When it was parked (RFC 3339, UTC).
pub const DEAD_AT: &str = "dead-at";

/// Every header in which the worker notes something about a job.
pub const ALL: [&str; 10] =
    [ATTEMPTS, FIRST_SEEN_AT, SINCE, SETTLED_AT, UNDONE, LOOKED, LAST_ERROR, TRIALS, DEAD_REASON, DEAD_AT];

/// What earlier deliveries of a job have left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Attempts made; `None` for a job that nobody can have tried.
    pub attempts: Option<u32>,
    /// When the first of them began, as far as it was noted: the deadline counts from here.
    pub first_seen_at: Option<Timestamp>,
    /// No attempt began before this.
    pub since: Option<Timestamp>,
    /// When every call of theirs is over.
    pub settled_at: Option<Timestamp>,
    /// How many of them certainly did nothing.
    pub undone: Option<u32>,
    /// Whether look-ups have found nothing since the last of them.
    pub looked: bool,
    /// How often the job is known to have ended a session.
    pub trials: Option<u32>,
}

impl History {
    /// Reads headers, each given as text by its name. What cannot be read counts as what is safest: as tried before, and
    /// as seen for the first time.
    pub fn read(header: impl Fn(&str) -> Option<String>) -> Self {
        let number = |name| header(name).map(|text| text.trim().parse().unwrap_or_default());
        let instant = |name| header(name).and_then(|text| text.trim().parse().ok());
        Self {
            attempts: number(ATTEMPTS),
            first_seen_at: instant(FIRST_SEEN_AT),
            since: instant(SINCE),
            settled_at: instant(SETTLED_AT),
            undone: header(UNDONE).and_then(|text| text.trim().parse().ok()),
            looked: header(LOOKED).is_some(),
            trials: number(TRIALS),
        }
    }

    /// The headers that say so.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        let headers = [
            self.attempts.map(|attempts| (ATTEMPTS, attempts.to_string())),
            self.first_seen_at.map(|at| (FIRST_SEEN_AT, at.to_string())),
            self.since.map(|at| (SINCE, at.to_string())),
            self.settled_at.map(|at| (SETTLED_AT, at.to_string())),
            self.undone.map(|undone| (UNDONE, undone.to_string())),
            self.looked.then(|| (LOOKED, "nothing found".to_owned())),
            self.trials.map(|trials| (TRIALS, trials.to_string())),
        ];
        headers.into_iter().flatten()
    }
}

/// Why a message is in the dead-letter queue: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeadReason {
    /// It is no job and has no sender to answer.
    Malformed,
    /// All attempts or all time used up.
    Exhausted,
    /// It ended the worker, or its session, each time it was tried alone.
    CrashLoop,
    /// The worker failed on it (a panic).
    Internal,
    /// Parked by the broker: its AMQP `expiration`, or its queue's, passed before a worker took it.
    Expired,
    /// Parked by the broker: delivered too often, as happens to what the AMQP client cannot read.
    Undeliverable,
    /// Parked by the broker or by somebody else, for another reason.
    Other,
}

impl DeadReason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Malformed,
        Self::Exhausted,
        Self::CrashLoop,
        Self::Internal,
        Self::Expired,
        Self::Undeliverable,
        Self::Other,
    ];

    /// Those for which the worker itself parks a message.
    pub const OWN: [Self; 4] = [Self::Malformed, Self::Exhausted, Self::CrashLoop, Self::Internal];

    /// The reason in headers, metric labels and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Exhausted => "exhausted",
            Self::CrashLoop => "crash_loop",
            Self::Internal => "internal",
            Self::Expired => "expired",
            Self::Undeliverable => "undeliverable",
            Self::Other => "other",
        }
    }

    /// From our own header, else from the broker's word on the last time that it dead-lettered the message (RabbitMQ's
    /// page on dead lettering).
    pub fn read(ours: Option<&str>, brokers: Option<&str>) -> Self {
        if let Some(text) = ours {
            return Self::ALL.into_iter().find(|reason| reason.as_str() == text).unwrap_or(Self::Other);
        }
        match brokers {
            Some("expired") => Self::Expired,
            Some("delivery_limit") => Self::Undeliverable,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn in_headers(headers: impl IntoIterator<Item = (&'static str, String)>) -> History {
        let headers: BTreeMap<_, _> = headers.into_iter().collect();
        History::read(|name| headers.get(name).cloned())
    }

    #[test]
    fn a_history_survives_the_way_through_headers() {
        let history = History {
            attempts: Some(3),
            first_seen_at: Some("2030-01-31T12:00:00Z".parse().unwrap()),
            since: Some("2030-01-31T11:00:00Z".parse().unwrap()),
            settled_at: Some("2030-01-31T12:00:10Z".parse().unwrap()),
            undone: Some(2),
            looked: true,
            trials: Some(1),
        };
        assert_eq!(in_headers(history.headers()), history);
        assert_eq!(in_headers([]), History::default());
    }

    #[test]
    fn what_cannot_be_read_counts_as_tried_before() {
        let odd = [(ATTEMPTS, "many"), (FIRST_SEEN_AT, "yesterday"), (UNDONE, "all")];
        let odd = odd.map(|(name, text)| (name, text.to_owned()));
        assert_eq!(in_headers(odd), History { attempts: Some(0), ..History::default() });
    }

    #[test]
    fn a_reason_is_read_from_our_header_and_else_from_the_brokers() {
        for reason in DeadReason::ALL {
            assert_eq!(DeadReason::read(Some(reason.as_str()), Some("expired")), reason);
        }
        assert_eq!(DeadReason::read(None, Some("expired")), DeadReason::Expired);
        assert_eq!(DeadReason::read(None, Some("delivery_limit")), DeadReason::Undeliverable);
        assert_eq!(DeadReason::read(None, Some("maxlen")), DeadReason::Other);
        assert_eq!(DeadReason::read(None, None), DeadReason::Other);
    }
}
