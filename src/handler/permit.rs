//! Asking for permission to make a call, and what becomes of a job that gets none.

use std::time::Duration;

use tracing::info;

use super::Handled;
use super::attempt::{Attempting, Setback};
use crate::admission::{Operation, Permit, Rejected};
use crate::flow::{Failure, FailureKind, FlowApi};
use crate::retry::policy::{HELD_MAX, Limit};

/// Longest wait for the first call of a job: it has a slot meanwhile, and has nothing to lose.
const FIRST_CALL: Duration = Duration::from_secs(30);

impl Setback {
    /// For a log line.
    pub(super) fn why(&self) -> String {
        match self {
            Self::Failure(failure) => failure.to_string(),
            Self::Rejected(rejected) => rejected.to_string(),
            Self::Stopped | Self::Unsettled(_) | Self::Expired => "there was no time for it".to_owned(),
        }
    }
}

impl<F: FlowApi> Attempting<'_, F> {
    /// Waits until a call may be made, if that is soon.
    pub(super) async fn permit(&mut self, operation: Operation<'_>) -> Result<Permit, Setback> {
        let call = self.handler.call(self.job, operation, self.number, self.begun);
        let left = HELD_MAX.saturating_sub(self.started.elapsed());
        let patience = if self.begun { left } else { left.min(FIRST_CALL) };
        let admitted = self.stop.run_until_cancelled(self.handler.admission.admit(call, patience)).await;
        let permit = admitted.ok_or(Setback::Stopped)?.map_err(Setback::Rejected)?;
        self.begun = true;
        Ok(permit)
    }

    /// The job waits where it holds no slot, and no attempt is used up.
    pub(super) fn not_admitted(&self, rejected: Rejected, attempts: u32) -> Handled {
        let failure = || Failure::new(FailureKind::Unavailable, rejected.to_string());
        let in_doubt = self.doubt.is_serious();
        if !in_doubt && self.time_left().is_some_and(|left| left.is_zero()) {
            return Handled::Expired { failure: Some(failure()), attempts };
        }
        let age = self.age_before.saturating_add(self.started.elapsed());
        if age > self.handler.rules.policy.deadline {
            return Handled::Failed { failure: failure(), in_doubt, limit: Some(Limit::Deadline), attempts };
        }
        if self.begun {
            // The job goes on saying what its last call met.
            info!(reason = rejected.reason.as_str(), "no further call is made for now");
        }
        Handled::NotAdmitted { rejected, attempts, learned: self.learned() }
    }
}
