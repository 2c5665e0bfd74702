//! Why calls are held back, and by which breaker: in words, and in labels.

use tokio::time::Instant;

/// What a breaker stands before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BreakerScope {
    /// The way to Flow Service. It is told like a breaker, and holds nobody back by itself.
    Host,
    /// IMS, for one organisation's tokens.
    Token,
    /// One organisation's credentials.
    Credentials,
    /// Creates of one connection spec in one sandbox.
    Create,
    /// Look-ups in one sandbox.
    LookUp,
    /// Optional checks in one sandbox.
    Check,
}

impl BreakerScope {
    /// Every scope.
    pub const ALL: [Self; 6] =
        [Self::Host, Self::Token, Self::Credentials, Self::Create, Self::LookUp, Self::Check];

    /// The scope in logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Token => "token",
            Self::Credentials => "credentials",
            Self::Create => "create",
            Self::LookUp => "look_up",
            Self::Check => "check",
        }
    }

    /// For a person.
    fn explanation(self) -> &'static str {
        match self {
            Self::Host => "Flow Service cannot be reached",
            Self::Token => "IMS issues no access token for the organisation",
            Self::Credentials => "the organisation's credentials are refused",
            Self::Create => "creates of this connection spec fail in this sandbox",
            Self::LookUp => "look-ups fail in this sandbox",
            Self::Check => "optional checks fail in this sandbox",
        }
    }
}

/// Why a call may not be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A breaker that is not closed holds it back.
    Breaker(BreakerScope),
    /// Flow Service fails for others, and one call finds out whether it does so for this part.
    Probing,
    /// The organisation has as many calls in flight, or in a second, as it may have.
    Busy,
    /// Too many repeated calls have failed lately.
    Budget,
}

impl Reason {
    /// Every reason.
    pub fn all() -> impl Iterator<Item = Self> {
        BreakerScope::ALL.into_iter().map(Self::Breaker).chain([Self::Probing, Self::Busy, Self::Budget])
    }

    /// The reason in logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Breaker(scope) => scope.as_str(),
            Self::Probing => "probing",
            Self::Busy => "busy",
            Self::Budget => "retry_budget",
        }
    }

    /// For a person.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Breaker(scope) => scope.explanation(),
            Self::Probing => "Flow Service fails, and one call finds out whether it does so here",
            Self::Busy => "the organisation has as many calls in flight as it may have",
            Self::Budget => "too many repeated calls have failed lately",
        }
    }
}

/// A call may not be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", reason.explanation())]
pub struct Rejected {
    /// Why.
    pub reason: Reason,
    /// When it is worth asking again.
    pub retry_at: Instant,
}
