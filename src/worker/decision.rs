//! What is to be done with a delivery, and how that is told.

use std::time::Duration;

use tracing::{info, warn};

use crate::contract::Rejected;
use crate::contract::history::{DeadReason, History};
use crate::contract::reply::{Outcome, Reply};
use crate::metrics::jobs::JobEnd;
use crate::retry::tier::Tier;
use crate::traces;

/// What is to be done with a delivery.
pub(super) enum Decision {
    /// Tell the sender, then acknowledge. With a reason, a copy is parked first, for whoever can mend it.
    Answer(Reply, Option<Parking>),
    /// Nobody can be told: park it, then acknowledge.
    Park(Rejected),
    /// Put it into a retry queue, or anew into its own, with what is known of it, then acknowledge.
    Defer(Deferral),
    /// Give it back to the queue as it came.
    HandBack,
}

/// A copy for the dead-letter queue.
pub(super) struct Parking {
    pub(super) reason: DeadReason,
    pub(super) history: History,
}

/// A wait in a queue.
pub(super) struct Deferral {
    /// In which retry queue; `None` for the job queue, behind all that is in it.
    pub(super) tier: Option<Tier>,
    pub(super) history: History,
    /// What went wrong, if it was this time.
    pub(super) why: Option<String>,
}

impl Decision {
    /// How the delivery is counted.
    pub(super) fn end(&self) -> JobEnd {
        match self {
            Self::Answer(Reply { outcome: Outcome::Created { .. }, .. }, _) => JobEnd::Created,
            Self::Answer(Reply { outcome: Outcome::Failed { error }, .. }, _) => JobEnd::Failed(error.code),
            Self::Park(_) => JobEnd::Parked,
            Self::Defer(Deferral { tier: Some(_), .. }) => JobEnd::Deferred,
            Self::Defer(Deferral { tier: None, .. }) | Self::HandBack => JobEnd::HandedBack,
        }
    }

    /// One line for each delivery, and the end of its span. `end` is how it really ended: not as decided, if the session was lost.
    pub(super) fn log(&self, end: JobEnd, took: Duration) {
        let outcome = end.as_str();
        let error = matches!(end, JobEnd::Failed(_) | JobEnd::Parked | JobEnd::Abandoned);
        traces::job_ended(outcome, error);
        let duration_seconds = took.as_secs_f64();
        match self {
            Self::Answer(Reply { outcome: Outcome::Created { connection }, attempts, .. }, _) => info!(
                outcome,
                attempts,
                duration_seconds,
                connection_id = connection.id,
                recovered = connection.recovered,
                verified = connection.verified,
                "job done"
            ),
            Self::Answer(Reply { outcome: Outcome::Failed { error }, attempts, .. }, parked) => info!(
                outcome,
                attempts,
                duration_seconds,
                code = error.code.as_str(),
                http_status = error.http_status,
                flow_code = error.flow_code,
                request_id = error.request_id,
                parked = parked.as_ref().map(|parking| parking.reason.as_str()),
                error = error.message,
                "job done"
            ),
            Self::Park(rejected) => warn!(outcome, duration_seconds, error = %rejected, "job done"),
            Self::Defer(Deferral { tier, history, why }) => info!(
                outcome,
                attempts = history.attempts,
                trials = history.trials,
                duration_seconds,
                wait = tier.map_or("queue", Tier::as_str),
                error = why.as_deref(),
                "the job waits to be tried again"
            ),
            Self::HandBack => info!(outcome, duration_seconds, "job done"),
        }
    }
}
