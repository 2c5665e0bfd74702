//! What the worker needs from Flow Service, and how it can fail.
//!
//! The seam between deciding ([`crate::handler`]) and calling ([`client`]): nothing here names HTTP
//! machinery, so a scripted implementation can stand in where time is fake.

pub mod client;
pub mod failure;
mod forms;
#[cfg(fuzzing)]
pub mod fuzzing;
mod http;
mod lenient;
mod problem;
pub mod reach;
mod redact;
mod retry_after;
mod sent;
pub mod token;

#[cfg(test)]
mod scripted;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

pub use self::http::BuildError;
use crate::contract::ids::{ImsOrgId, JobId, SandboxName};
use crate::contract::reply::ErrorCode;
use crate::retry::verdict::Verdict;

/// One `POST /connections`, ready to be sent.
#[derive(Debug, Clone)]
pub struct CreateRequest {
    /// Sent as `x-gw-ims-org-id`; already known to be safe in a header.
    pub ims_org_id: String,
    /// Sent as `x-sandbox-name`; already known to be safe in a header.
    pub sandbox_name: String,
    /// The JSON body, sent as it is.
    pub body: CreateBody,
    /// How many attempts at the same job came before. Not sent: traces tell it.
    pub attempts_before: u32,
}

/// The body of a job's create. It carries credentials: no answer to any call for the job may give them away.
#[derive(Clone, Default)]
pub struct CreateBody(pub Bytes);

impl fmt::Debug for CreateBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "[{} bytes]", self.0.len())
    }
}

/// A look-up of the connection that a job may have created before.
#[derive(Debug, Clone)]
pub struct FindRequest {
    /// Sent as `x-gw-ims-org-id`; already known to be safe in a header.
    pub ims_org_id: String,
    /// Sent as `x-sandbox-name`; already known to be safe in a header.
    pub sandbox_name: String,
    /// The job whose mark the connection carries.
    pub job_id: JobId,
    /// The connection's whole description, mark included.
    pub description: String,
    /// The connection's name.
    pub name: String,
    /// The connection spec's id.
    pub connection_spec_id: String,
    /// The connection is not older than this, if that is known. Clocks differ: some minutes are allowed for.
    pub since: Option<Timestamp>,
    /// What the job's create sends. Not sent by this call, and hidden in what is told of it.
    pub body: CreateBody,
}

/// A question whether connections may be listed.
#[derive(Debug, Clone)]
pub struct ProbeRequest {
    /// Sent as `x-gw-ims-org-id`.
    pub ims_org_id: ImsOrgId,
    /// Sent as `x-sandbox-name`.
    pub sandbox_name: SandboxName,
}

/// What a look-up found: the oldest connection with the job's mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The connection.
    pub connection: Created,
    /// The ids of younger ones with the same mark, which should not exist.
    pub duplicates: Vec<String>,
}

/// A question about the connection spec of a source.
#[derive(Debug, Clone)]
pub struct SpecRequest {
    /// Sent as `x-gw-ims-org-id`.
    pub ims_org_id: ImsOrgId,
    /// Sent as `x-sandbox-name`.
    pub sandbox_name: SandboxName,
    /// The connection spec's id.
    pub connection_spec_id: String,
    /// What the job's create sends. Not sent by this call, and hidden in what is told of it.
    pub body: CreateBody,
}

/// One kind of authentication that a connection spec offers.
#[derive(Debug, Clone, PartialEq)]
pub struct AuthSpec {
    /// What `auth.specName` has to say.
    pub name: String,
    /// The JSON Schema of `auth.params`, as it came: anything can be in it.
    pub schema: Value,
}

/// A question about a connection that exists.
#[derive(Debug, Clone)]
pub struct ConnectionRequest {
    /// Sent as `x-gw-ims-org-id`.
    pub ims_org_id: ImsOrgId,
    /// Sent as `x-sandbox-name`.
    pub sandbox_name: SandboxName,
    /// The connection's id.
    pub connection_id: String,
    /// What the job's create sends. Not sent by this call, and hidden in what is told of it.
    pub body: CreateBody,
}

/// A connection as Flow Service tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// The id of the connection.
    pub id: String,
    /// The entity tag, its own double quotes included: the exact value for a later `If-Match`.
    pub etag: Option<String>,
}

/// The calls the worker makes.
pub trait FlowApi: Send + Sync + 'static {
    /// Creates a connection with a single call; never repeats it except once, with a fresh token, after an
    /// answer that says the token was bad.
    fn create(&self, request: &CreateRequest) -> impl Future<Output = Result<Created, Failure>> + Send;

    /// Looks for a connection. Changes nothing, so a failure says nothing but that nobody knows.
    fn find(&self, request: &FindRequest) -> impl Future<Output = Result<Option<Found>, Failure>> + Send;

    /// Whether a call could be made without asking IMS for a token first.
    fn has_token(&self, ims_org_id: &ImsOrgId) -> bool;

    /// Asks what kinds of authentication a connection spec offers.
    fn auth_specs(
        &self,
        request: &SpecRequest,
    ) -> impl Future<Output = Result<Vec<AuthSpec>, Failure>> + Send;

    /// Asks what state a connection is in. A short word such as `enabled`, with nothing in it that could hurt.
    fn state(&self, request: &ConnectionRequest) -> impl Future<Output = Result<String, Failure>> + Send;

    /// Has Flow Service try the connection's credentials; tells whether they work.
    fn test(&self, request: &ConnectionRequest) -> impl Future<Output = Result<bool, Failure>> + Send;
}

/// What kind of failure a call met. The kind decides the verdict and the reply's code; as a metric label it is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// DNS, connect or TLS failed: the request never left.
    NotSent,
    /// 429: refused before it was looked at.
    Throttled,
    /// The gateway could not pass the request on (its own 503 codes, 403 with code 503020).
    Unavailable,
    /// IMS could not issue an access token for now, so nothing was sent.
    TokenUnavailable,
    /// Sent, and no answer came in time.
    Timeout,
    /// Sent, and the connection broke before the whole answer was there.
    NoAnswer,
    /// The service itself failed (5xx, 408, 409): it may have done the work before.
    ServerError,
    /// A 2xx whose body does not tell the id of the connection.
    Unreadable,
    /// A 4xx of Flow Service or its gateway: refused for good.
    Refused,
    /// A 3xx or 4xx that is not recognisably theirs: of a proxy, a firewall, or another server at `FLOW_URL`. Most likely Flow
    /// Service has done nothing; but its answer may have been taken away.
    ForeignAnswer,
    /// The worker's permissions are refused: it may not do this, in this organisation or in this sandbox.
    Unauthorized,
    /// The worker's credentials are refused, by IMS or by the gateway: nothing can be done for the organisation until a
    /// person mends them.
    CredentialsRefused,
}

impl FailureKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::NotSent,
        Self::Throttled,
        Self::Unavailable,
        Self::TokenUnavailable,
        Self::Timeout,
        Self::NoAnswer,
        Self::ServerError,
        Self::Unreadable,
        Self::Refused,
        Self::ForeignAnswer,
        Self::Unauthorized,
        Self::CredentialsRefused,
    ];

    /// What to do about it.
    pub fn verdict(self) -> Verdict {
        match self {
            Self::NotSent
            | Self::Throttled
            | Self::Unavailable
            | Self::TokenUnavailable
            | Self::ForeignAnswer
            | Self::CredentialsRefused => Verdict::Retry,
            Self::Timeout | Self::NoAnswer | Self::ServerError | Self::Unreadable => Verdict::Reconcile,
            Self::Refused | Self::Unauthorized => Verdict::Fail,
        }
    }

    /// What the sender is told if this is the last word.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Throttled => ErrorCode::Throttled,
            Self::NotSent | Self::Unavailable | Self::TokenUnavailable | Self::ForeignAnswer => {
                ErrorCode::Unavailable
            }
            Self::Timeout | Self::NoAnswer | Self::ServerError | Self::Unreadable => ErrorCode::Ambiguous,
            Self::Refused => ErrorCode::Rejected,
            Self::Unauthorized | Self::CredentialsRefused => ErrorCode::Unauthorized,
        }
    }

    /// Whether it can come from Flow Service having too much to do.
    pub fn may_be_overload(self) -> bool {
        !matches!(self, Self::Unauthorized | Self::NotSent | Self::ForeignAnswer)
    }

    /// For a person: what has happened.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::NotSent => "DNS, connect or TLS failed: nothing was sent",
            Self::Throttled => "Flow Service asks to slow down",
            Self::Unavailable => "the gateway could not pass the call on",
            Self::TokenUnavailable => "IMS could not issue a token: nothing was sent",
            Self::Timeout => "no answer came in time",
            Self::NoAnswer => "the connection broke before the answer was there",
            Self::ServerError => "Flow Service failed: the connection may exist",
            Self::Unreadable => "a success that names no connection",
            Self::Refused => "Flow Service refused the connection",
            Self::ForeignAnswer => "something else than Flow Service answered",
            Self::Unauthorized => "the worker may not do this in this organisation or sandbox",
            Self::CredentialsRefused => "IMS or the gateway refuses the worker's credentials",
        }
    }

    /// The kind in logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::TokenUnavailable => "token_unavailable",
            Self::Timeout => "timeout",
            Self::NoAnswer => "no_answer",
            Self::ServerError => "server_error",
            Self::Unreadable => "unreadable",
            Self::Refused => "refused",
            Self::ForeignAnswer => "foreign_answer",
            Self::Unauthorized => "unauthorized",
            Self::CredentialsRefused => "credentials_refused",
        }
    }
}

/// A failed call: its kind, and what the other side said about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The kind, from which verdict and reply code follow.
    pub kind: FailureKind,
    /// An explanation for a person: bounded, and free of every secret that went out with the request.
    pub message: String,
    /// The HTTP status, if there was an answer: of Flow Service, or of IMS if that is where the call ended.
    pub http_status: Option<u16>,
    /// The error code of Flow Service (`1100-400`), its gateway (`429050`) or IMS (`invalid_client`).
    pub flow_code: Option<String>,
    /// Adobe's id of the call.
    pub request_id: Option<String>,
    /// How long the other side asked us to wait: a week at the most.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure without an answer from the other side.
    pub(crate) fn new(kind: FailureKind, message: String) -> Self {
        Self { kind, message, http_status: None, flow_code: None, request_id: None, retry_after: None }
    }
}
