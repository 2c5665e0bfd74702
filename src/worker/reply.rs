//! What the sender is told: from what came of a job to its reply.

use super::answer::now_to_the_millisecond;
use crate::checks::Verdict;
use crate::contract::Rejected;
use crate::contract::ids::JobId;
use crate::contract::job::Job;
use crate::contract::reply::{CreatedConnection, ErrorCode, Outcome, Reply, ReplyError, SCHEMA_VERSION};
use crate::flow::{Created, Failure};
use crate::organisations::NotAllowed;
use crate::retry::policy::Limit;

/// The answer to a job whose connection exists.
pub(super) fn created(
    job: Job,
    created: Created,
    recovered: bool,
    verdict: Option<Verdict>,
    attempts: u32,
) -> Reply {
    let verified = verdict.as_ref().map(|verdict| verdict.unverified.is_none());
    let unverified_reason = verdict.as_ref().and_then(|verdict| verdict.unverified);
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
                state: verdict.and_then(|verdict| verdict.state),
                verified,
                unverified_reason,
            },
        },
        attempts,
        completed_at: now_to_the_millisecond(),
    }
}

/// The answer to a job that failed; `in_doubt` if its connection may exist all the same.
pub(super) fn failure(
    job: &Job,
    failure: Failure,
    in_doubt: bool,
    limit: Option<Limit>,
    attempts: u32,
) -> Reply {
    failed(Some(&job.id), error_of(failure, in_doubt, limit), attempts)
}

/// The answer to a job whose time ran out.
pub(super) fn expired(job: &Job, failure: Option<Failure>, attempts: u32) -> Reply {
    failed(Some(&job.id), error_of_expired(job, failure), attempts)
}

/// The answer to a message that is no job.
pub(super) fn invalid(rejected: &Rejected) -> Reply {
    failed(rejected.job_id.as_ref(), ReplyError::new(ErrorCode::InvalidJob, rejected.to_string()), 0)
}

/// The answer to a job that the worker may not do; `in_doubt` if its connection may exist all the same.
pub(super) fn not_allowed(job: &Job, why: &NotAllowed, in_doubt: bool, attempts: u32) -> Reply {
    let mut message = why.to_string();
    if in_doubt {
        message
            .push_str("; an earlier attempt may have created the connection, so the job is parked as well");
    }
    failed(Some(&job.id), ReplyError::new(ErrorCode::NotAllowed, message), attempts)
}

/// The answer to a job that the worker failed on.
pub(super) fn internal(job_id: Option<&JobId>, message: &str, attempts: u32) -> Reply {
    failed(job_id, ReplyError::new(ErrorCode::Internal, message), attempts)
}

fn error_of(failure: Failure, in_doubt: bool, limit: Option<Limit>) -> ReplyError {
    let code = if in_doubt { ErrorCode::Ambiguous } else { failure.kind.code() };
    let message = match limit {
        Some(limit) => format!("{failure} ({})", limit.as_str()),
        None => failure.to_string(),
    };
    with_answer(ReplyError::new(code, message), failure)
}

fn error_of_expired(job: &Job, failure: Option<Failure>) -> ReplyError {
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
