//! The reply: what the sender of a job gets back.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The version of the contract that this crate speaks.
pub const SCHEMA_VERSION: u32 = 1;

/// Namespace of reply ids (a random UUID, fixed for good): the same job always gives the same id.
const REPLY_ID_NAMESPACE: Uuid = Uuid::from_u128(0x8c1f_3f0e_6d5b_4e0a_9a77_52d1_c0b4_e6f3);

/// The answer to one job.
///
/// A job may be answered more than once (delivery is at least once); every answer to a job has the same AMQP
/// `message_id`, so a receiver can drop repeats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// Version of this contract: 1.
    pub schema_version: u32,
    /// The id of the job that this answers. Absent when the job had none that could be read; the AMQP
    /// `correlation_id` then tells what is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// What came of the job.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How many attempts were made to create the connection, by all workers together, those included that did not get as
    /// far as Flow Service; 0 when none was made, when it was still in a worker's memory, or when a fault of the worker
    /// ended the job (`internal`).
    pub attempts: u32,
    /// When the worker was done with the job (RFC 3339, UTC).
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub completed_at: Timestamp,
}

/// What came of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Outcome {
    /// The connection exists.
    Created {
        /// The connection.
        connection: CreatedConnection,
    },
    /// There is no connection, or nobody can tell (`ambiguous`, `internal`).
    Failed {
        /// Why.
        error: ReplyError,
    },
}

/// A connection that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedConnection {
    /// The connection's id.
    pub id: String,
    /// The connection's entity tag with its own double quotes: the exact `If-Match` value for a later change.
    /// `null` if Flow Service sent none.
    pub etag: Option<String>,
    /// The connection's name, as in the job.
    pub name: String,
    /// The connection spec's id, as in the job.
    pub connection_spec_id: String,
    /// The organisation that the connection was created in.
    pub ims_org_id: String,
    /// The sandbox that the connection was created in.
    pub sandbox_name: String,
    /// True if the connection was found, made by an earlier attempt, rather than created by this one.
    pub recovered: bool,
    /// The state that the connection was last seen in, such as `enabled`. Absent if the worker does not look (`VERIFY`), or
    /// could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Whether the connection was seen to work, as far as the worker looks: it is enabled, or its test passed, or both.
    /// Absent if the worker does not look. A connection that is not verified exists all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
    /// Why the connection is not verified; there if and only if `verified` is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unverified_reason: Option<UnverifiedReason>,
}

/// Why a connection is not verified: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnverifiedReason {
    /// It is disabled, or was not enabled in time; `state` tells.
    NotEnabled,
    /// Flow Service tried it, and it does not work: most likely its credentials are wrong.
    TestFailed,
    /// Nobody knows: Flow Service did not say in time, or the worker was stopping.
    Unavailable,
}

impl UnverifiedReason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::NotEnabled, Self::TestFailed, Self::Unavailable];

    /// The reason as it stands on the wire, in logs and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotEnabled => "not_enabled",
            Self::TestFailed => "test_failed",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplyError {
    /// The kind of failure, from a closed set.
    pub code: ErrorCode,
    /// An explanation for a person. Holds no credential.
    pub message: String,
    /// Whether sending the same job again later, unchanged and with nobody mending anything, can help.
    pub retryable: bool,
    /// Flow Service's HTTP status, if it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// Flow Service's, the gateway's or IMS's own error code, if there was one, such as `1100-400`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_code: Option<String>,
    /// Adobe's id of the failed call, for a support case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// Why a job failed: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The job breaks the contract; `message` names each field.
    InvalidJob,
    /// The worker does not work for the organisation, or not in the sandbox. The job's connection exists only if an earlier
    /// attempt created it; `message` says if there was one.
    NotAllowed,
    /// Flow Service refused the connection.
    Rejected,
    /// Flow Service or IMS refused the worker's own credentials or permissions.
    Unauthorized,
    /// Flow Service asked to slow down until all attempts were used.
    Throttled,
    /// Flow Service or IMS could not be reached, or said that it was not ready. Nothing was created.
    Unavailable,
    /// A call was sent, its outcome is unknown, and look-ups could not tell: the connection may exist.
    Ambiguous,
    /// The job's `expiresAt` had passed before Flow Service was called, or no time was left to try again.
    Expired,
    /// A fault of the worker itself; the connection may exist.
    Internal,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 9] = [
        Self::InvalidJob,
        Self::NotAllowed,
        Self::Rejected,
        Self::Unauthorized,
        Self::Throttled,
        Self::Unavailable,
        Self::Ambiguous,
        Self::Expired,
        Self::Internal,
    ];

    /// The code as it stands on the wire, in logs and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJob => "invalid_job",
            Self::NotAllowed => "not_allowed",
            Self::Rejected => "rejected",
            Self::Unauthorized => "unauthorized",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Ambiguous => "ambiguous",
            Self::Expired => "expired",
            Self::Internal => "internal",
        }
    }

    /// Whether sending the same job again, unchanged, can help.
    ///
    /// Not after `ambiguous` and `internal`: the connection may exist, and a repeat could make a second one.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Throttled | Self::Unavailable)
    }
}

impl ReplyError {
    /// An error that Flow Service has not said anything about.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retryable: code.is_retryable(),
            http_status: None,
            flow_code: None,
            request_id: None,
        }
    }
}

impl Reply {
    /// The reply as JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

/// The AMQP `message_id` of every reply to one job: a UUID version 5 (RFC 9562) of the job's id.
pub fn reply_id(job_id: &str) -> Uuid {
    Uuid::new_v5(&REPLY_ID_NAMESPACE, job_id.as_bytes())
}
