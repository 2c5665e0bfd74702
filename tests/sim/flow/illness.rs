//! Which part of the service is ill, how, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use connection_worker::flow::{Failure, FailureKind};

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Calls {
    Creates,
    Reads,
    /// Looks at a connection or at its test, and at connection specs.
    Checks,
    Tokens,
    All,
}

/// How a part is ill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The gateway cannot pass the call on.
    Unavailable,
    /// The service fails; the work may be done.
    ServerError {
        done: bool,
    },
    /// The request never leaves.
    NotSent,
    /// No answer comes; the work may be done.
    Hangs {
        done: bool,
    },
    /// The connection is cut; the work may be done.
    Cut {
        done: bool,
    },
    /// Something else answers in place of Flow Service.
    Foreign,
    CredentialsRefused,
    Unauthorized,
    /// Too many calls: to come again after so many seconds.
    TooMany {
        after: u8,
    },
    /// IMS does not answer.
    TokenHangs,
}

impl Kind {
    /// Whether a create has its effect.
    pub(crate) fn is_done(self) -> bool {
        matches!(self, Self::ServerError { done } | Self::Hangs { done } | Self::Cut { done } if done)
    }

    /// The time that it takes, if not as long as a good call.
    pub(crate) fn takes(self) -> Option<Duration> {
        match self {
            Self::Hangs { .. } => Some(Duration::from_secs(30)),
            Self::TokenHangs => Some(Duration::from_secs(5)),
            Self::NotSent => Some(Duration::from_millis(1)),
            _ => None,
        }
    }

    pub(crate) fn failure(self) -> Failure {
        let (kind, status) = match self {
            Self::Unavailable => (FailureKind::Unavailable, Some(503)),
            Self::ServerError { .. } => (FailureKind::ServerError, Some(500)),
            Self::NotSent => (FailureKind::NotSent, None),
            Self::Hangs { .. } => (FailureKind::Timeout, None),
            Self::Cut { .. } => (FailureKind::NoAnswer, None),
            Self::Foreign => (FailureKind::ForeignAnswer, Some(403)),
            Self::CredentialsRefused => (FailureKind::CredentialsRefused, Some(401)),
            Self::Unauthorized => (FailureKind::Unauthorized, Some(403)),
            Self::TooMany { .. } => (FailureKind::Throttled, Some(429)),
            Self::TokenHangs => (FailureKind::TokenUnavailable, None),
        };
        let after = match self {
            Self::TooMany { after } => Some(Duration::from_secs(after.into())),
            _ => None,
        };
        failure(kind, status, after)
    }
}

pub(crate) fn failure(kind: FailureKind, status: Option<u16>, retry_after: Option<Duration>) -> Failure {
    let message = format!("simulated: {}", kind.as_str());
    Failure { kind, message, http_status: status, flow_code: None, request_id: None, retry_after }
}

/// An illness: `None` stands for all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Illness {
    pub(crate) org: Option<usize>,
    pub(crate) sandbox: Option<usize>,
    pub(crate) spec: Option<usize>,
    pub(crate) calls: Calls,
    pub(crate) kind: Kind,
    /// From when to when, from the start.
    pub(crate) from: Duration,
    pub(crate) until: Duration,
    /// The share of calls that meet it.
    pub(crate) share: f64,
    /// Only the first call about each job meets it.
    pub(crate) first_only: bool,
}

impl Illness {
    /// Of everything, for ever, at every call.
    pub(crate) fn new(calls: Calls, kind: Kind) -> Self {
        Self {
            org: None,
            sandbox: None,
            spec: None,
            calls,
            kind,
            from: Duration::ZERO,
            until: Duration::MAX,
            share: 1.0,
            first_only: false,
        }
    }

    pub(crate) fn of(self, org: usize) -> Self {
        Self { org: Some(org), ..self }
    }

    pub(crate) fn during(self, from: Duration, until: Duration) -> Self {
        Self { from, until, ..self }
    }

    /// Whether a call meets it, but for its share.
    pub(crate) fn meets(&self, call: &Call, now: Duration) -> bool {
        let fits = |wanted: Option<usize>, is: usize| wanted.is_none_or(|wanted| wanted == is);
        (self.from..self.until).contains(&now)
            && (self.calls == Calls::All || self.calls == call.calls)
            && fits(self.org, call.org)
            // A token is not for one sandbox.
            && (self.sandbox.is_none() || (call.calls != Calls::Tokens && fits(self.sandbox, call.sandbox)))
            && (self.spec.is_none() || (call.calls == Calls::Creates && fits(self.spec, call.spec)))
            && (!self.first_only || call.is_first)
    }
}

/// A call, as far as it matters who is ill.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) calls: Calls,
    pub(crate) org: usize,
    pub(crate) sandbox: usize,
    pub(crate) spec: usize,
    pub(crate) job: u32,
    /// Whether no call of this kind was made about the job before.
    pub(crate) is_first: bool,
}

/// How the service behaves in a history.
#[derive(Debug, Clone)]
pub(crate) struct Weather {
    pub(crate) illnesses: Vec<Illness>,
    /// How long a call takes, from and to, in milliseconds; for some organisations it is another time.
    pub(crate) latency: (u64, u64),
    pub(crate) latencies: BTreeMap<usize, (u64, u64)>,
    /// Calls that an organisation may make in a second; more are answered with 429.
    pub(crate) capacity: BTreeMap<usize, u32>,
    /// A connection shows in lists only so long after it was made.
    pub(crate) list_lag: Duration,
    /// A create whose answer is lost takes effect within this time.
    pub(crate) late_effect: Duration,
    /// All organisations have one credential.
    pub(crate) one_credential: bool,
    /// Organisations with a token that needs no IMS.
    pub(crate) fixed_tokens: Vec<usize>,
    /// Jobs whose creates fail always, whatever becomes of others.
    pub(crate) hopeless: BTreeSet<u32>,
}

impl Default for Weather {
    fn default() -> Self {
        Self {
            illnesses: Vec::new(),
            latency: (50, 200),
            latencies: BTreeMap::new(),
            capacity: BTreeMap::new(),
            list_lag: Duration::ZERO,
            late_effect: Duration::ZERO,
            one_credential: false,
            fixed_tokens: Vec::new(),
            hopeless: BTreeSet::new(),
        }
    }
}
