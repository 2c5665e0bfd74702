//! Why calls are held back, and by which breaker: in words, and in labels.

use tokio::time::Instant;

/// Why a call may not be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Nothing comes back from the host of Flow Service.
    Host,
    /// IMS issues no token for the organisation.
    Token,
    /// The organisation's credentials are refused.
    Credentials,
    /// Creates of this connection spec fail in this sandbox.
    Creates,
    /// Look-ups fail in this sandbox.
    Reads,
    /// The organisation has as many calls in flight, or in a second, as it may have.
    Busy,
    /// Too many repeated calls have failed lately.
    Budget,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 7] =
        [Self::Host, Self::Token, Self::Credentials, Self::Creates, Self::Reads, Self::Busy, Self::Budget];

    /// The reason in logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host_down",
            Self::Token => "token_unavailable",
            Self::Credentials => "credentials_refused",
            Self::Creates => "creates_fail",
            Self::Reads => "reads_fail",
            Self::Busy => "organisation_busy",
            Self::Budget => "retry_budget",
        }
    }

    /// For a person.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Host => "Flow Service cannot be reached",
            Self::Token => "IMS issues no access token for the organisation",
            Self::Credentials => "the organisation's credentials are refused",
            Self::Creates => "creates of this connection spec fail in this sandbox",
            Self::Reads => "look-ups fail in this sandbox",
            Self::Busy => "the organisation has as many calls in flight as it may have",
            Self::Budget => "too many repeated calls have failed lately",
        }
    }
}

/// What a breaker stands before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BreakerScope {
    /// The way to Flow Service.
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
