//! Jobs that are not begun: messages that are none, and those that the worker may not do.

use super::decision::{Decision, Parking};
use super::past::{noted, unknown};
use super::{Worker, name_job, reply};
use crate::broker::delivery::Delivery;
use crate::clock;
use crate::contract::Rejected;
use crate::contract::history::DeadReason;
use crate::contract::job::Job;
use crate::flow::FlowApi;
use crate::handler::Past;
use crate::organisations::NotAllowed;
use crate::retry::doubt::Doubt;

impl<F: FlowApi> Worker<F> {
    /// What to do about a message that is no job: answer it if there is anything to answer to.
    pub(super) fn reject(&self, rejected: Rejected, delivery: &Delivery) -> Decision {
        let properties = &delivery.properties;
        let known = rejected.job_id.is_some()
            || properties.correlation_id().is_some()
            || properties.message_id().is_some()
            || properties.reply_to().is_some_and(|queue| self.routes.allows(queue));
        if let Some(id) = &rejected.job_id {
            name_job(id);
        }
        if !known {
            return Decision::Park(rejected);
        }
        Decision::Answer(reply::invalid(&rejected), None)
    }

    /// What to do about a job that is not allowed. One that may have been done before is parked besides: its connection may
    /// exist, and the worker may not even look. When the organisation is back, a replay does.
    pub(super) fn refuse(&self, job: &Job, why: &NotAllowed, past: &Past, delivery: &Delivery) -> Decision {
        let in_doubt = past.doubt != Doubt::None;
        let parking = in_doubt.then(|| Parking {
            reason: DeadReason::Exhausted,
            history: noted(delivery, clock::now(), past.attempts, unknown(self.handler.settle())),
        });
        Decision::Answer(reply::not_allowed(job, why, in_doubt, past.attempts), parking)
    }
}
