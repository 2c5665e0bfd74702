//! What a job carries in its AMQP headers from one delivery to the next, and what a parked message carries.
//!
//! All names are without the `x-` that RabbitMQ keeps for itself: it neither counts nor keeps those of a message that a
//! client publishes again. The values are text, so that every client can read and write them.

use jiff::Timestamp;

/// Attempts made so far, in decimal. Its mere presence, also with `0`, says that somebody may have tried before.
pub const ATTEMPTS: &str = "job-attempts";

/// When the job was first tried (RFC 3339, UTC).
pub const FIRST_SEEN_AT: &str = "job-first-seen-at";

/// What went wrong last, for a person.
pub const LAST_ERROR: &str = "job-last-error";

/// How often the job ended a worker or its session, as far as the worker has noted it: see `worker::suspicion`.
pub const TRIALS: &str = "job-trials";

/// Why a message was parked: a [`DeadReason`].
pub const DEAD_REASON: &str = "dead-reason";

/// When it was parked (RFC 3339, UTC).
pub const DEAD_AT: &str = "dead-at";

/// Every header in which the worker notes something about a job.
pub const ALL: [&str; 6] = [ATTEMPTS, FIRST_SEEN_AT, LAST_ERROR, TRIALS, DEAD_REASON, DEAD_AT];

/// What earlier deliveries of a job have left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Attempts made; `None` for a job that nobody can have tried.
    pub attempts: Option<u32>,
    /// When the first of them began.
    pub first_seen_at: Option<Timestamp>,
    /// How often the job is known to have ended a session.
    pub trials: Option<u32>,
}

impl History {
    /// Reads headers, each given as text by its name. What cannot be read counts as what is safest: as tried before, and
    /// as seen for the first time.
    pub fn read(header: impl Fn(&str) -> Option<String>) -> Self {
        let number = |name| header(name).map(|text| text.trim().parse().unwrap_or_default());
        Self {
            attempts: number(ATTEMPTS),
            first_seen_at: header(FIRST_SEEN_AT).and_then(|text| text.trim().parse().ok()),
            trials: number(TRIALS),
        }
    }

    /// The headers that say so.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        let headers = [
            self.attempts.map(|attempts| (ATTEMPTS, attempts.to_string())),
            self.first_seen_at.map(|at| (FIRST_SEEN_AT, at.to_string())),
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

    /// Reads a parked message's headers: our own, else those of the broker (RabbitMQ's page on dead lettering).
    pub fn read(header: impl Fn(&str) -> Option<String>) -> Self {
        if let Some(text) = header(DEAD_REASON) {
            return Self::ALL.into_iter().find(|reason| reason.as_str() == text).unwrap_or(Self::Other);
        }
        match header("x-first-death-reason").as_deref() {
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
            trials: Some(1),
        };
        assert_eq!(in_headers(history.headers()), history);
        assert_eq!(in_headers([]), History::default());
    }

    #[test]
    fn what_cannot_be_read_counts_as_tried_before() {
        let odd = [(ATTEMPTS, "many".to_owned()), (FIRST_SEEN_AT, "yesterday".to_owned())];
        assert_eq!(in_headers(odd), History { attempts: Some(0), ..History::default() });
    }

    #[test]
    fn a_reason_is_read_from_our_header_and_else_from_the_brokers() {
        let read = |name: &'static str, value: &'static str| {
            DeadReason::read(|asked| (asked == name).then(|| value.to_owned()))
        };
        for reason in DeadReason::ALL {
            assert_eq!(read(DEAD_REASON, reason.as_str()), reason);
        }
        assert_eq!(read("x-first-death-reason", "expired"), DeadReason::Expired);
        assert_eq!(read("x-first-death-reason", "delivery_limit"), DeadReason::Undeliverable);
        assert_eq!(read("x-first-death-reason", "maxlen"), DeadReason::Other);
        assert_eq!(read("none", ""), DeadReason::Other);
    }
}
