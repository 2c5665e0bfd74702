//! An API that fails now and then, before and after it has created: what becomes of the speed, and that nothing else
//! becomes of the jobs.

use std::collections::HashSet;

use serde_json::Value;

use super::drain::Backlog;
use super::{Metric, Options, Place, Queues, Section, Stand, report};
use crate::program::Program;
use crate::stand::Http;

const JOBS: usize = 20_000;
const CONCURRENCY: u16 = 200;
const ROUNDS: usize = 3;
const CASE: &str = "200";

/// Jobs in doubt wait for long: it is measured up to so many replies.
const MEASURED: usize = JOBS / 10 * 9;

const REFUSED: &str = r#"{"rate":0.05,"fault":{"kind":"status","status":503}}"#;
const CLOSED: &str = r#"{"rate":0.02,"when":"after","fault":{"kind":"close"}}"#;

pub(super) async fn run(stand: &Stand, options: &Options) -> Section {
    let title =
        format!("{JOBS} jobs at {CONCURRENCY}, API 20 ms, 5 % are answered 503, 2 % closed after the create");
    let mut section = Section::new("faults", title, options.compared());
    let place = Place::new(stand, Queues::Quorum).await;
    let worker = Program::Worker;
    for _ in 0..options.rounds(ROUNDS) {
        let simulator = stand.simulator_with("20ms", Http::Plain, &["--fault", REFUSED, "--fault", CLOSED]);
        let task = place.task(&simulator, CONCURRENCY);
        let backlog = Backlog { to: MEASURED, ..Backlog::of(JOBS) };
        let drained = backlog.run(stand, &place, &simulator, &worker, &[task]).await;
        assert_answered_once(&place).await;
        let report = simulator.report().await;
        assert_eq!(report["duplicates"]["extra"], 0, "no connection is created twice: {report}");
        section.add(CASE, worker.as_str(), Metric::JobsPerSecond, drained.jobs_per_second);
        section.add(CASE, worker.as_str(), Metric::CallsPerJob, calls(&report) as f64 / JOBS as f64);
        report::progress(&section, CASE, worker.as_str());
    }
    section
}

/// Reads the replies: one for each job, and each tells of a connection.
async fn assert_answered_once(place: &Place) {
    let mut replies = place.consume_replies().await;
    let mut jobs = HashSet::new();
    for _ in 0..JOBS {
        let reply = replies.next().await;
        let kind = reply.properties.kind().as_ref().map(ToString::to_string);
        assert_eq!(kind.as_deref(), Some("connection.created"), "every job succeeds in the end");
        let job = reply.properties.correlation_id().clone().expect("the job's id");
        assert!(jobs.insert(job.to_string()), "{job} is answered twice");
    }
    replies.close().await;
}

/// Calls to Flow Service: creates and look-ups.
pub(super) fn calls(report: &Value) -> u64 {
    let requests = report["requests"].as_object().expect("requests by endpoint");
    let calls = requests.iter().filter(|(endpoint, _)| *endpoint != "token");
    calls.map(|(_, count)| count.as_u64().expect("a number")).sum()
}
