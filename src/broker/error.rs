//! How the broker can fail us, and which of that a person must mend.

use std::path::PathBuf;
use std::time::Duration;

use lapin::ErrorKind;

use crate::secret::SecretError;

/// Reply codes (AMQP 0-9-1, section 1.1 of its reference) that mean a fault of configuration.
const ACCESS_REFUSED: u16 = 403;
pub(super) const NOT_FOUND: u16 = 404;
pub(super) const PRECONDITION_FAILED: u16 = 406;
const NOT_ALLOWED: u16 = 530;

/// The reply code for a frame that is malformed or too large; lapin uses it for what it receives, too.
const FRAME_ERROR: u16 = 501;

/// A step with the broker that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer in time.
    #[error("could not {step}: no answer within {after:?}")]
    Timeout {
        /// What was tried.
        step: &'static str,
        /// How long.
        after: Duration,
    },
    /// The broker answered with an error.
    #[error("could not {step}: the broker answered {code} {text}{}", remedy(*.code, step))]
    Refused {
        /// What was tried.
        step: &'static str,
        /// The AMQP reply code.
        code: u16,
        /// The broker's words.
        text: String,
    },
    /// The connection or channel failed.
    #[error("could not {step}")]
    Lost {
        /// What was tried.
        step: &'static str,
        /// What lapin says.
        source: lapin::Error,
    },
    /// The client cannot read what the broker sends: a message with a property that is not UTF-8, or with headers that
    /// fill a whole frame, to which the broker added its own.
    #[error("could not {step}: a message cannot be read by the AMQP client")]
    Unreadable {
        /// What was tried.
        step: &'static str,
        /// What lapin says.
        source: lapin::Error,
    },
    /// The broker ended the consumer: the queue was deleted, or its node went away.
    #[error("the broker cancelled the consumer of {queue} (was the queue deleted?)")]
    Cancelled {
        /// The queue.
        queue: String,
    },
    /// The consumer gets nothing although the queue holds messages for it.
    #[error("the consumer of {queue} gets nothing although jobs are ready")]
    Starved {
        /// The queue.
        queue: String,
    },
    /// A task that held a delivery failed; only the end of the session gives such a delivery back.
    #[error("a job's task failed and left its delivery unsettled")]
    TaskFailed,
    /// A message shared its channel with one that failed.
    #[error("could not publish a message: its channel failed over another one")]
    Spoilt,
    /// A connection was closed while nothing was going on.
    #[error("the {role} connection was closed")]
    Closed {
        /// `consume` or `publish`.
        role: &'static str,
    },
    /// Queues are missing, and the worker was told to create none.
    #[error(
        "missing queues: {}; create them, or start with TOPOLOGY=create",
        .0.join(", ")
    )]
    MissingQueues(Vec<String>),
    /// A tool was told to look into a queue that does not exist.
    #[error("there is no queue {queue}; is JOB_QUEUE the worker's own?")]
    NoQueue {
        /// The queue.
        queue: String,
    },
    /// The broker's address cannot be read.
    #[error("AMQP_URL: {0}")]
    Url(#[from] super::connection::UrlError),
    /// The secret that holds the broker's address cannot be read.
    #[error("AMQP_URL")]
    Secret(#[from] SecretError),
    /// A certificate or key file cannot be read.
    #[error("cannot read {}", path.display())]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A name is longer than AMQP allows.
    #[error("{what} is longer than 255 bytes")]
    TooLong {
        /// What.
        what: &'static str,
    },
}

/// What to do about a reply code, as far as it can be told.
fn remedy(code: u16, step: &str) -> &'static str {
    match (code, step) {
        (ACCESS_REFUSED, super::connection::CONNECT) => "; check user and password in AMQP_URL",
        (ACCESS_REFUSED, _) => "; the user lacks permission for this",
        (NOT_FOUND, _) => "; create it, or start with TOPOLOGY=create",
        (PRECONDITION_FAILED, super::topology::CREATE) => {
            "; it exists with other arguments: delete it or use it as it is"
        }
        (NOT_ALLOWED, _) => "; check the virtual host in AMQP_URL and the user's permissions for it",
        _ => "",
    }
}

impl Error {
    /// Every [`Error::reason`].
    pub const REASONS: [&'static str; 8] =
        ["cancelled", "config", "lost", "refused", "starved", "task_failed", "timeout", "unreadable"];

    /// What it is, in metric labels: one of [`Error::REASONS`].
    pub fn reason(&self) -> &'static str {
        match self {
            _ if self.is_config_fault() => "config",
            Self::Timeout { .. } => "timeout",
            Self::Unreadable { .. } => "unreadable",
            Self::Cancelled { .. } => "cancelled",
            Self::Starved { .. } => "starved",
            Self::TaskFailed => "task_failed",
            Self::Refused { .. } => "refused",
            _ => "lost",
        }
    }

    /// An error of lapin, during `step`.
    pub(super) fn lapin(step: &'static str, error: lapin::Error) -> Self {
        match error.kind() {
            ErrorKind::ProtocolError(protocol) if protocol.get_id() == FRAME_ERROR => {
                Self::Unreadable { step, source: error }
            }
            ErrorKind::ProtocolError(protocol) => {
                Self::Refused { step, code: protocol.get_id(), text: protocol.get_message().to_string() }
            }
            ErrorKind::ParsingError(_) => Self::Unreadable { step, source: error },
            _ => Self::Lost { step, source: error },
        }
    }

    /// Whether a person must mend something: trying again will not help.
    pub fn is_config_fault(&self) -> bool {
        match self {
            Self::Refused { code, .. } => {
                matches!(*code, ACCESS_REFUSED | NOT_FOUND | PRECONDITION_FAILED | NOT_ALLOWED)
            }
            Self::MissingQueues(_)
            | Self::NoQueue { .. }
            | Self::Url(_)
            | Self::Secret(_)
            | Self::TlsFile { .. }
            | Self::TooLong { .. } => true,
            Self::Timeout { .. }
            | Self::Lost { .. }
            | Self::Unreadable { .. }
            | Self::Cancelled { .. }
            | Self::Starved { .. }
            | Self::TaskFailed
            | Self::Spoilt
            | Self::Closed { .. } => false,
        }
    }
}
