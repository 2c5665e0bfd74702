//! What is to be done with a delivery, and how that is told.

use std::time::Duration;

use tracing::{debug, info, warn};

use crate::broker::intake::Source;
use crate::contract::Rejected;
use crate::contract::history::{DeadReason, History};
use crate::contract::reply::{Outcome, Reply};
use crate::fair_share::Tenant;
use crate::metrics::jobs::JobEnd;
use crate::retry::tier::Tier;
use crate::traces;

/// What is to be done with a delivery.
pub(super) enum Decision {
    /// Tell the sender, then acknowledge. With a reason, a copy is parked first, for whoever can mend it.
    Answer(Reply, Option<Parking>),
    /// Nobody can be told: park it, then acknowledge.
    Park(Rejected),
    /// Put it into a retry queue with what is known of it, then acknowledge.
    Defer(Deferral),
    /// Put it into another queue that the worker takes jobs from, with what is known of it, then acknowledge.
    Move(Moving),
    /// Give it back to the queue as it came.
    HandBack,
}

/// A copy for the dead-letter queue.
pub(super) struct Parking {
    pub(super) reason: DeadReason,
    pub(super) history: History,
}

/// A wait for a slot, or until calls can be made.
pub(super) struct Moving {
    pub(super) to: Source,
    /// Whose job it is, if it waits for a slot of theirs.
    pub(super) tenant: Option<Tenant>,
    pub(super) history: History,
    /// What it waits for.
    pub(super) why: String,
}

/// A wait in a retry queue.
pub(super) struct Deferral {
    pub(super) tier: Tier,
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
            Self::Defer(_) => JobEnd::Deferred,
            Self::Move(_) => JobEnd::Moved,
            Self::HandBack => JobEnd::HandedBack,
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
                wait = tier.as_str(),
                error = why.as_deref(),
                "the job waits to be tried again"
            ),
            Self::Move(Moving { to, history, why, .. }) => debug!(
                outcome,
                attempts = history.attempts,
                duration_seconds,
                queue = to.as_str(),
                reason = why,
                "the job waits in another queue"
            ),
            Self::HandBack => info!(outcome, duration_seconds, "job done"),
        }
    }
}
