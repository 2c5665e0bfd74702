//! What a stop signal does: drain, within the grace period, whatever the worker is doing.

use std::collections::BTreeSet;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use tokio::time::Instant;

use crate::support::PATIENCE;
use crate::support::rig::{Replies, Rig};
use crate::support::worker::WorkerProcess;

const CONCURRENCY: (&str, &str) = ("CONCURRENCY", "20");

/// Calls that never end, so that a drain lasts as long as it may.
async fn with_hanging_jobs(jobs: usize, env: &[(&str, &str)]) -> Option<(Rig, WorkerProcess)> {
    let rig = Rig::start(Duration::ZERO).await?;
    rig.sim.fault(json!({ "fault": { "kind": "hang" } })).await;
    let worker = rig.worker(&[env, &[("FLOW_TIMEOUT", "90s")]].concat()).await;
    rig.load(0..jobs).await;
    worker.wait_count("connection_worker_jobs_in_flight", u64::try_from(jobs).unwrap(), PATIENCE).await;
    Some((rig, worker))
}

/// Under load, every job is either done, once, or as it was.
#[tokio::test]
async fn sigterm_drains() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let Some(rig) = Rig::start(Duration::from_millis(100)).await else { return };
        let mut worker = rig.worker(&[CONCURRENCY]).await;
        rig.load(0..200).await;
        rig.wait_created(40).await;
        worker.signal(signal);
        assert_eq!(worker.wait(PATIENCE).await.code(), Some(0), "{signal}");
        assert!(worker.stderr().lines().last().unwrap().contains("stopped"));

        let counts = rig.vhost.counts(&rig.jobs_queue()).await;
        assert_eq!(counts.unacked, 0, "{signal}");
        let mut replies = Replies::default();
        replies.add(rig.vhost.drain(&rig.reply_queue()).await);
        replies.assert_all_created();
        for (job, messages) in &replies.0 {
            assert_eq!(messages.len(), 1, "{signal}: {job} is answered once");
        }
        let mut left = BTreeSet::new();
        for queue in [rig.jobs_queue(), rig.overflow_queue(), rig.held_queue()] {
            let messages = rig.vhost.drain(&queue).await;
            left.extend(messages.iter().map(|message| message.json()["jobId"].to_string()));
        }
        assert_eq!(replies.0.len() + left.len(), 200, "{signal}: no job is lost or doubled");
        assert!(!left.is_empty(), "{signal}: the load was over before the drain");
        assert_eq!(rig.created().await, u64::try_from(replies.0.len()).unwrap(), "{signal}");
    }
}

/// A worker that waits to try again has nothing to finish: what it holds goes on waiting in a retry queue, with its
/// attempts, and what has not begun goes back.
#[tokio::test]
async fn jobs_that_wait_for_another_try_wait_on_in_the_broker() {
    // Slow enough for six calls to be under way: the first `Retry-After` holds up those that are not.
    let Some(rig) = Rig::start(Duration::from_secs(1)).await else { return };
    rig.declare_short_retries("quorum", Duration::from_secs(1)).await;
    rig.sim.fault(json!({ "fault": { "kind": "throttle", "retryAfter": "60" } })).await;
    // Fewer slots than jobs, so that some have not begun; one of them is kept for other organisations.
    let env = [("CONCURRENCY", "7"), ("DRAIN_GRACE", "10m"), ("RETRY_HOLD", "2m")];
    let mut worker = rig.worker(&env).await;
    rig.load(0..10).await;
    let waiting = r#"connection_worker_retries_scheduled_total{kind="throttled",wait="held"}"#;
    worker.wait_count(waiting, 6, PATIENCE).await;
    let asked = Instant::now();
    worker.signal(Signal::SIGTERM);
    assert_eq!(worker.wait(PATIENCE).await.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(30), "nobody waits for Retry-After");
    let mut waiting = 0;
    for queue in [rig.jobs_queue(), rig.overflow_queue(), rig.held_queue()] {
        waiting += rig.vhost.depth(&queue).await;
    }
    assert!(waiting > 0, "what has not begun waits in one of the queues");
    assert_eq!(rig.vhost.depth(&rig.reply_queue()).await, 0);

    rig.sim.clear_faults().await;
    let _worker = rig.worker(&[]).await;
    let mut replies = Replies::default();
    rig.wait_answered(0..10, &mut replies).await;
    rig.settled().await;
    replies.assert_all_created();
    let attempts = |number| replies.of(number)[0].json()["attempts"].as_u64().unwrap();
    let attempts: Vec<u64> = (0..10).map(attempts).collect();
    assert_eq!(attempts.iter().filter(|attempts| **attempts == 2).count(), 6, "{attempts:?}");
    assert_eq!(attempts.iter().filter(|attempts| **attempts == 1).count(), 4, "{attempts:?}");
    assert_eq!(rig.created().await, 10);
}

#[tokio::test]
async fn the_grace_period_is_the_longest_that_jobs_are_waited_for() {
    let Some((rig, mut worker)) = with_hanging_jobs(3, &[("DRAIN_GRACE", "1s")]).await else { return };
    worker.signal(Signal::SIGTERM);
    assert_eq!(worker.wait(PATIENCE).await.code(), Some(1), "incomplete");
    let log = worker.logs();
    assert!(log.contains("the worker stops before all jobs were done"), "{log}");
    assert!(log.contains(r#""unfinished":3"#), "{log}");
    rig.wait_counts(3, 0).await;
    assert_eq!(rig.vhost.depth(&rig.reply_queue()).await, 0);
}

/// While it drains, a worker is alive, and no longer one to count on.
#[tokio::test]
async fn a_second_signal_ends_the_drain_at_once() {
    for (first, second, code) in
        [(Signal::SIGTERM, Signal::SIGTERM, 143), (Signal::SIGTERM, Signal::SIGINT, 130)]
    {
        let Some((rig, mut worker)) = with_hanging_jobs(2, &[("DRAIN_GRACE", "10m")]).await else { return };
        worker.signal(first);
        worker.wait_log("draining", PATIENCE).await;
        worker.wait_unready().await;
        rig.load(2..3).await;
        rig.wait_counts(1, 2).await;
        worker.signal(second);
        assert_eq!(worker.wait(PATIENCE).await.code(), Some(code));
        rig.wait_counts(3, 0).await;
    }
}

#[tokio::test]
async fn a_worker_without_a_broker_stops_at_once() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    let mut worker = rig.worker(&[]).await;
    rig.proxy.cut();
    worker.wait_unready().await;
    worker.wait_log("no broker session, trying again", PATIENCE).await;
    worker.signal(Signal::SIGTERM);
    assert_eq!(worker.wait(PATIENCE).await.code(), Some(0));
}

/// A network that swallows everything is no reason to stay: neither the jobs nor the goodbye get through.
#[tokio::test]
async fn a_worker_with_a_frozen_broker_stops_after_the_grace_period() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    let mut worker =
        rig.start_worker(&[("DRAIN_GRACE", "1s"), ("AMQP_HEARTBEAT", "5m"), ("AMQP_TIMEOUT", "5m")]);
    worker.wait_ready().await;
    rig.proxy.freeze();
    worker.signal(Signal::SIGTERM);
    assert_eq!(worker.wait(PATIENCE).await.code(), Some(0), "there was no job to wait for");
}
