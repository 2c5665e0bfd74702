//! What `submit` shows: results on standard output, progress and the sum on standard error.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::ProgressBar;
use tokio::time::Instant;

use super::input::Message;
use crate::cli::terminal;
use crate::contract::reply::{Outcome, Reply};

/// Widths of the table's columns; a job id longer than its column pushes the others to the right.
const JOB_WIDTH: usize = 36;
const RESULT_WIDTH: usize = 13;

/// Counts and prints results as they come.
#[derive(Debug)]
pub(super) struct Report {
    expected: u64,
    created: u64,
    failed: u64,
    sent: u64,
    wait: bool,
    table: bool,
    started: Instant,
    progress: ProgressBar,
}

impl Report {
    /// A report on `expected` jobs.
    pub(super) fn new(expected: u64, wait: bool) -> Self {
        Self {
            expected,
            created: 0,
            failed: 0,
            sent: 0,
            wait,
            table: io::stdout().is_terminal(),
            started: Instant::now(),
            progress: terminal::progress(expected),
        }
    }

    /// A job is on the queue.
    pub(super) fn sent(&mut self, _message: &Message) {
        self.sent += 1;
        self.progress.inc(1);
    }

    /// A reply came; tells whether it says `created`.
    pub(super) fn reply(&mut self, id: &str, body: &[u8], reply: Option<&Reply>) -> io::Result<bool> {
        let created = matches!(reply, Some(Reply { outcome: Outcome::Created { .. }, .. }));
        if created {
            self.created += 1;
        } else {
            self.failed += 1;
        }
        self.progress.inc(1);
        let table = self.table;
        let first = self.created + self.failed == 1;
        self.progress.suspend(|| {
            let mut out = io::stdout().lock();
            if !table {
                out.write_all(body)?;
                return writeln!(out);
            }
            if first {
                writeln!(out, "{}", row("JOB", "RESULT", "DETAIL"))?;
            }
            let (result, detail) = reply.map_or(("unreadable", String::new()), summary);
            writeln!(out, "{}", row(id, result, &detail))
        })?;
        Ok(created)
    }

    /// Replies that have not come.
    pub(super) fn missing(&self) -> u64 {
        self.expected.saturating_sub(self.created + self.failed)
    }

    /// Prints the sum.
    pub(super) fn finish(&self) -> io::Result<()> {
        self.progress.finish_and_clear();
        let took = self.started.elapsed().max(Duration::from_millis(1)).as_secs_f64();
        let mut err = io::stderr().lock();
        if self.wait {
            let Self { expected, created, failed, .. } = self;
            #[expect(clippy::cast_precision_loss, reason = "a rate for a person to read")]
            let rate = (created + failed) as f64 / took;
            let missing = self.missing();
            writeln!(
                err,
                "{expected} jobs: {created} created, {failed} failed, {missing} without a reply; {took:.1} s, {rate:.0} jobs/s"
            )
        } else {
            writeln!(err, "{} jobs on the queue, confirmed; {took:.1} s", self.sent)
        }
    }
}

/// One line of the table.
fn row(job: &str, result: &str, detail: &str) -> String {
    terminal::plain(&format!("{job:JOB_WIDTH$}  {result:RESULT_WIDTH$}  {detail}"))
}

/// A reply in two columns.
fn summary(reply: &Reply) -> (&'static str, String) {
    match &reply.outcome {
        Outcome::Created { connection } => {
            let etag = connection.etag.as_deref().unwrap_or("none");
            let unverified =
                connection.unverified_reason.map(|reason| format!(", not verified: {}", reason.as_str()));
            ("created", format!("connection {} etag {etag}{}", connection.id, unverified.unwrap_or_default()))
        }
        Outcome::Failed { error } => {
            let status = error.http_status.map(|status| format!(" (HTTP {status})")).unwrap_or_default();
            (error.code.as_str(), format!("{}{status}", error.message))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(id: &str, reply: serde_json::Value) -> String {
        let (result, detail) = summary(&serde_json::from_value(reply).unwrap());
        row(id, result, &detail)
    }

    #[test]
    fn a_terminal_gets_a_table() {
        let created = json!({ "schemaVersion": 1, "jobId": "a", "status": "created", "attempts": 1,
            "completedAt": "2026-12-01T00:00:00Z",
            "connection": { "id": "c-1", "etag": "\"e-1\"", "name": "n", "connectionSpecId": "s",
                            "imsOrgId": "o", "sandboxName": "b", "recovered": false } });
        let failed = json!({ "schemaVersion": 1, "jobId": "b", "status": "failed", "attempts": 1,
            "completedAt": "2026-12-01T00:00:00Z",
            "error": { "code": "rejected", "message": "no\u{1b}[2J\nway", "retryable": false, "httpStatus": 400 } });
        let id = "0d3b8b1c-6f8d-4a5e-9a33-7b8d0d0f3b1c";
        assert_eq!(
            [row("JOB", "RESULT", "DETAIL"), line(id, created), line("b", failed)],
            [
                "JOB                                   RESULT         DETAIL",
                "0d3b8b1c-6f8d-4a5e-9a33-7b8d0d0f3b1c  created        connection c-1 etag \"e-1\"",
                "b                                     rejected       no [2J way (HTTP 400)",
            ]
        );
    }
}
