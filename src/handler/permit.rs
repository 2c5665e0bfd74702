//! Asking for permission to make a call, and what becomes of a job that gets none.

use std::time::Duration;

use tracing::info;

use super::Handled;
use super::attempt::{Attempting, Setback};
use crate::flow::{Failure, FailureKind, FlowApi};
use crate::guard::{Call, Denied, Gate, Pass, Patience, Purpose, Reason};
use crate::retry::policy::{HELD_MAX, Limit};
use crate::retry::tier::Tier;

impl Setback {
    /// For a log line.
    pub(super) fn why(&self) -> String {
        match self {
            Self::Failure(failure) => failure.to_string(),
            Self::Denied(denied) => denied.to_string(),
            Self::Stopped | Self::Unsettled(_) | Self::Expired => "there was no time for it".to_owned(),
        }
    }
}

impl<F: FlowApi> Attempting<'_, F> {
    /// Waits in hand until a call may be made, if that is soon.
    pub(super) async fn permit(&mut self, purpose: Purpose) -> Result<Pass, Setback> {
        let call = Call {
            ims_org_id: &self.job.ims_org_id,
            sandbox_name: &self.job.sandbox_name,
            needs_token: !self.handler.flow.has_token(&self.job.ims_org_id),
            purpose,
        };
        let alone = HELD_MAX.saturating_sub(self.started.elapsed());
        let patience = Patience { in_company: self.handler.rules.policy.hold.min(alone), alone };
        let admitted = self.stop.run_until_cancelled(self.handler.guard.admit(call, patience)).await;
        let pass = admitted.ok_or(Setback::Stopped)?.map_err(Setback::Denied)?;
        self.called = true;
        Ok(pass)
    }

    /// The job waits where it holds no slot, and no attempt is burnt.
    pub(super) fn denied(&self, denied: Denied, attempts: u32) -> Handled {
        let tier = Tier::at_least(denied.wait);
        let shut = *self.handler.guard.gate().borrow() != Gate::Open;
        // What the budget holds back would only come round again at once.
        let to_queue =
            !self.called && denied.reason != Reason::Budget && (shut || denied.reason == Reason::Service);
        let wait = if to_queue { Duration::ZERO } else { tier.delay() };
        let failure = || Failure::new(FailureKind::Unavailable, denied.to_string());
        if !self.doubt.is_serious() && self.time_left().is_some_and(|left| left <= wait) {
            return Handled::Expired { failure: Some(failure()), attempts };
        }
        let age = self.age_before.saturating_add(self.started.elapsed());
        if !to_queue && age.saturating_add(wait) > self.handler.rules.policy.deadline {
            let in_doubt = self.doubt.is_serious();
            return Handled::Failed { failure: failure(), in_doubt, limit: Some(Limit::Deadline), attempts };
        }
        if self.called {
            // The job goes on saying what its last call met.
            info!(reason = denied.reason.as_str(), "no further call is made for now");
            self.later(tier, attempts, None)
        } else {
            Handled::Unbegun { tier: (!to_queue).then_some(tier), why: denied }
        }
    }
}
