//! Many jobs whose creates come to an uncertain end, and one connection for each.

use std::collections::BTreeMap;
use std::time::Duration;

use connection_worker::simulator::Options;
use connection_worker::simulator::latency::Latency;
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::time::timeout;

use crate::support::broker::Message;
use crate::support::command::run;
use crate::support::corner::{BOLD, BUSY_BROKER, Corner, ORG, SANDBOX, SOON, job};
use crate::support::eventually::eventually;
use crate::support::rig::Replies;
use crate::support::worker::WorkerProcess;
use crate::support::{PATIENCE, env};

/// What the simulator lets the test in with, to see every connection.
const AUDITOR: &str = "the-auditors-token";

/// New connections take a while to be listed.
const FIND_LAG: Duration = Duration::from_millis(50);

/// For a service that is done with every call after 30 ms, and lists it after [`FIND_LAG`].
const QUICK_LOOKS: [(&str, &str); 2] = [("LOOKUP_PAUSE", "100ms"), ("LOOKUP_SETTLE", "1s")];

/// How long jobs wait in the retry queues: not shorter than `LOOKUP_SETTLE`.
const SETTLED: Duration = Duration::from_secs(1);

async fn corner(latency: Latency) -> Corner {
    let access_token = Some(AUDITOR.to_owned());
    Corner::with(Options { latency, find_lag: FIND_LAG, access_token, ..Options::default() }).await
}

fn id(number: usize) -> String {
    format!("job-{number}")
}

/// Takes replies until every job has one.
async fn answered(corner: &Corner, jobs: usize) -> Replies {
    let mut replies = Replies::default();
    eventually("every job is answered", 2 * PATIENCE, async || {
        replies.add(corner.vhost.drain(&corner.reply_queue()).await);
        if replies.0.len() == jobs { Ok(()) } else { Err(replies.0.len()) }
    })
    .await;
    replies
}

/// Fails the test unless each job has one connection, and every reply to it names that one.
async fn assert_each_created_once(corner: &Corner, jobs: usize, replies: &Replies) {
    replies.assert_all_created();
    corner.sim.hurry().await;
    let mut made: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for connection in corner.sim.connections(ORG, SANDBOX, AUDITOR).await {
        let text = |key: &str| connection[key].as_str().unwrap().to_owned();
        made.entry(text("name")).or_default().push(text("id"));
    }
    let extra: Vec<_> = made.iter().filter(|(_, ids)| ids.len() > 1).collect();
    assert!(extra.is_empty(), "{} jobs were created more than once: {extra:?}", extra.len());
    assert_eq!(made.len(), jobs);
    for (job, messages) in &replies.0 {
        let ids = &made[&format!("connection {job}")];
        assert!(messages.iter().all(|message| told(message) == ids[0]), "{job}: {ids:?}, {messages:?}");
    }
}

async fn created(corner: &Corner) -> u64 {
    corner.sim.report().await["created"].as_u64().unwrap()
}

fn told(message: &Message) -> String {
    message.json()["connection"]["id"].as_str().unwrap().to_owned()
}

/// A thousand creates that take effect and are not answered.
#[tokio::test]
async fn a_job_creates_at_most_one_connection() {
    const JOBS: usize = 1_000;
    let corner = corner(Latency::None).await;
    corner.sim.fault(json!({ "when": "after", "fault": { "kind": "close" } })).await;
    let worker = corner.worker(&[&SOON[..], &QUICK_LOOKS, &BOLD].concat()).await;
    corner.submit_all((0..JOBS).map(|number| job(&id(number)))).await;
    let replies = answered(&corner, JOBS).await;
    corner.settled().await;
    assert_each_created_once(&corner, JOBS, &replies).await;
    corner.end(worker).await;
}

/// Killed twenty times, each time with jobs in every state.
#[tokio::test]
async fn a_worker_that_is_killed_again_and_again_creates_each_connection_once() {
    const JOBS: usize = 2_000;
    const KILLS: usize = 20;
    let corner = corner(Latency::Fixed { ms: 30 }).await;
    corner.declare_short_retries("quorum", SETTLED).await;
    let settings = [&SOON[..], &QUICK_LOOKS, &BOLD, &[("CONCURRENCY", "16")]].concat();
    let mut worker = corner.worker(&settings).await;
    corner.submit_all((0..JOBS).map(|number| job(&id(number)))).await;
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..KILLS {
        let goal = created(&corner).await + random.u64(30..80);
        // Asked without a pause: the load has to last for all kills.
        let reached = async { while created(&corner).await < goal {} };
        timeout(PATIENCE, reached).await.expect("some more are created");
        worker.signal(Signal::SIGKILL);
        worker.wait(PATIENCE).await;
        worker = corner.start_worker(&settings);
    }
    let replies = answered(&corner, JOBS).await;
    corner.settled().await;
    assert_each_created_once(&corner, JOBS, &replies).await;
    corner.end(worker).await;
}

/// Parked in doubt, half of them with a connection; put back by a command that is killed half-way and repeated. As many as
/// `REPLAY_JOBS` of the test run's environment says.
#[tokio::test]
async fn replayed_jobs_are_created_once_even_if_the_replay_is_killed_and_repeated() {
    let jobs = env("REPLAY_JOBS").map_or(1_000, |jobs| jobs.parse().expect("a number"));
    let corner = corner(Latency::None).await;
    let close = |when: &str, rate: f64| json!({ "when": when, "rate": rate, "fault": { "kind": "close" } });
    let blind = json!({ "endpoint": "find", "fault": { "kind": "status", "status": 500 } });
    corner.sim.fault(json!([close("after", 0.5), close("before", 1.0), blind])).await;
    let settings = [&SOON[..], &QUICK_LOOKS, &BOLD, &[BUSY_BROKER]].concat();
    let hasty = corner.worker(&[&settings[..], &[("RETRY_ATTEMPTS", "1")]].concat()).await;
    corner.submit_all((0..jobs).map(|number| job(&id(number)))).await;
    corner.vhost.take(&corner.reply_queue(), jobs, 2 * PATIENCE).await;
    corner.settled().await;
    drop(hasty);
    let parked = usize::try_from(corner.vhost.depth(&corner.dead_queue()).await).unwrap();
    let made = usize::try_from(created(&corner).await).unwrap();
    assert!(parked == jobs && made > jobs / 4 && made < jobs * 3 / 4, "{parked} parked, {made} made");

    corner.sim.clear_faults().await;
    let worker = corner.worker(&settings).await;
    let queues = [("AMQP_URL", corner.amqp_url.as_str()), ("JOB_QUEUE", &corner.jobs_queue())];
    let mut replay = WorkerProcess::spawn(&["dead-letters", "replay", "--all"], &queues);
    let done = r#"connection_worker_jobs_received_total{redelivered="false"}"#;
    worker.wait_count(done, 100, PATIENCE).await;
    replay.signal(Signal::SIGKILL);
    replay.wait(PATIENCE).await;
    eventually("what the killed replay held is back", PATIENCE, async || {
        corner.vhost.depth(&corner.dead_queue()).await > 0
    })
    .await;
    let ran = run(&["dead-letters", "replay", "--all"], &queues).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let replies = answered(&corner, jobs).await;
    corner.settled().await;
    assert_eq!(corner.vhost.depth(&corner.dead_queue()).await, 0);
    assert_each_created_once(&corner, jobs, &replies).await;
    corner.end(worker).await;
}
