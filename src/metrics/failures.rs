//! The jobs that failed last: not counted, but kept for whoever looks at the worker. Their ids and codes, and nothing that
//! a sender or Flow Service has written freely.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use crate::contract::reply::{Outcome, Reply};

/// So many are kept.
const KEPT: usize = 10;

/// A job that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedJob {
    /// When it was answered.
    pub at: Timestamp,
    /// Its id, if it had one.
    pub job_id: Option<String>,
    /// What its sender was told.
    pub code: &'static str,
    /// Flow Service's HTTP status, if it answered.
    pub http_status: Option<u16>,
    /// Attempts made.
    pub attempts: u32,
}

/// The last of them. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct LastFailures(Arc<Mutex<VecDeque<FailedJob>>>);

impl LastFailures {
    /// Keeps a reply in mind, if it says that its job failed.
    pub fn note(&self, reply: &Reply) {
        let Outcome::Failed { error } = &reply.outcome else { return };
        let failed = FailedJob {
            at: reply.completed_at,
            job_id: reply.job_id.clone(),
            code: error.code.as_str(),
            http_status: error.http_status,
            attempts: reply.attempts,
        };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.truncate(KEPT - 1);
        kept.push_front(failed);
    }

    /// The last ones, the latest first.
    pub fn latest(&self) -> Vec<FailedJob> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::reply::{ErrorCode, ReplyError};

    #[test]
    fn the_latest_are_kept() {
        let failures = LastFailures::default();
        for number in 0..KEPT + 3 {
            failures.note(&Reply {
                schema_version: 1,
                job_id: Some(format!("job-{number}")),
                outcome: Outcome::Failed {
                    error: ReplyError::new(ErrorCode::Rejected, "the name of somebody"),
                },
                attempts: 1,
                completed_at: Timestamp::UNIX_EPOCH,
            });
        }
        let latest = failures.latest();
        assert_eq!((latest.len(), latest[0].job_id.as_deref()), (KEPT, Some("job-12")));
        assert!(!serde_json::to_string(&latest).unwrap().contains("somebody"));
    }
}
