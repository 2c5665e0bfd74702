//! What the sender is told: from what came of a job to its reply.

use super::answer::now_to_the_millisecond;
use super::decision::Decision;
use crate::contract::Rejected;
use crate::contract::history::DeadReason;
use crate::contract::ids::JobId;
use crate::contract::job::Job;
use crate::contract::reply::{CreatedConnection, ErrorCode, Outcome, Reply, ReplyError, SCHEMA_VERSION};
use crate::flow::{Created, Failure};
use crate::handler::Handled;
use crate::retry::policy::Limit;

/// The answer to a job that was handled to its end. One that a limit ended is parked too: an operator can replay it when
/// whatever was away is back.
pub(super) fn answer(job: Job, handled: Handled) -> Decision {
    match handled {
        Handled::Created { created, recovered, attempts } => {
            Decision::Answer(made(job, created, recovered, attempts), None)
        }
        Handled::Failed { failure, in_doubt, limit, attempts } => {
            let park = (limit.is_some() || in_doubt).then_some(DeadReason::Exhausted);
            let error = error_of(failure, in_doubt, limit);
            Decision::Answer(failed(Some(&job.id), error, attempts), park)
        }
        Handled::Expired { failure, attempts } => {
            Decision::Answer(failed(Some(&job.id), expired(&job, failure), attempts), None)
        }
        Handled::Later { .. } | Handled::HandedBack => Decision::HandBack,
    }
}

/// The answer to a message that is no job.
pub(super) fn invalid(rejected: &Rejected) -> Reply {
    failed(rejected.job_id.as_ref(), ReplyError::new(ErrorCode::InvalidJob, rejected.to_string()), 0)
}

/// The answer to a job that the worker failed on.
pub(super) fn internal(job_id: Option<&JobId>, message: &str) -> Reply {
    failed(job_id, ReplyError::new(ErrorCode::Internal, message), 0)
}

fn made(job: Job, created: Created, recovered: bool, attempts: u32) -> Reply {
    Reply {
        schema_version: SCHEMA_VERSION,
        job_id: Some(job.id.as_str().to_owned()),
        outcome: Outcome::Created {
            connection: CreatedConnection {
                id: created.id,
                etag: created.etag,
                name: job.name,
                connection_spec_id: job.connection_spec_id,
                ims_org_id: job.ims_org_id.as_str().to_owned(),
                sandbox_name: job.sandbox_name.as_str().to_owned(),
                recovered,
            },
        },
        attempts,
        completed_at: now_to_the_millisecond(),
    }
}

fn error_of(failure: Failure, in_doubt: bool, limit: Option<Limit>) -> ReplyError {
    let code = if in_doubt { ErrorCode::Ambiguous } else { failure.kind.code() };
    let message = match limit {
        Some(limit) => format!("{failure} ({})", limit.as_str()),
        None => failure.to_string(),
    };
    with_answer(ReplyError::new(code, message), failure)
}

fn expired(job: &Job, failure: Option<Failure>) -> ReplyError {
    if let Some(failure) = failure {
        let message = format!("the job expires before it can be tried again; the last failure: {failure}");
        return with_answer(ReplyError::new(ErrorCode::Expired, message), failure);
    }
    let when = job.expires_at.map(|at| format!(" at {at}")).unwrap_or_default();
    let message = format!("the job expired{when}, before its connection could be created");
    ReplyError::new(ErrorCode::Expired, message)
}

fn failed(job_id: Option<&JobId>, error: ReplyError, attempts: u32) -> Reply {
    Reply {
        schema_version: SCHEMA_VERSION,
        job_id: job_id.map(|id| id.as_str().to_owned()),
        outcome: Outcome::Failed { error },
        attempts,
        completed_at: now_to_the_millisecond(),
    }
}

fn with_answer(error: ReplyError, failure: Failure) -> ReplyError {
    ReplyError {
        http_status: failure.http_status,
        flow_code: failure.flow_code,
        request_id: failure.request_id,
        ..error
    }
}
