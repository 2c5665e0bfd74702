//! The order of every job's end: its reply is in a queue before the broker may forget the job.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::PATIENCE;
use crate::support::broker::Counts;
use crate::support::rig::{CONSUME, PUBLISH, Replies, Rig};

/// As long as a reply cannot leave, the broker keeps the job.
#[tokio::test]
async fn the_job_is_acked_only_after_its_reply_is_confirmed() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    let mut worker = rig.worker(&[]).await;
    rig.proxy.freeze_named(PUBLISH);
    rig.load(0..1).await;
    rig.wait_created(1).await;
    // The way of the acks is open: a second job comes along it and gets as far as the first.
    rig.load(1..2).await;
    rig.wait_created(2).await;
    assert_eq!(rig.vhost.counts(&rig.jobs_queue()).await, Counts { ready: 0, unacked: 2 });
    assert_eq!(rig.vhost.depth(&rig.reply_queue()).await, 0);

    worker.signal(Signal::SIGKILL);
    worker.wait(PATIENCE).await;
    rig.wait_counts(2, 0).await;
}

/// A reply that is out and a job that is not acked: the job comes again, and the sender can drop the second reply.
#[tokio::test]
async fn a_job_that_could_not_be_acked_is_answered_again_under_the_same_message_id() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    let mut worker = rig.worker(&[]).await;
    // The job waits at the service while the way of its ack is closed behind it.
    rig.sim.fault(json!({ "fault": { "kind": "delay", "ms": 1_000 }, "count": 1 })).await;
    rig.load(0..1).await;
    rig.wait_called(1).await;
    rig.proxy.freeze_named(CONSUME);
    let mut replies = Replies::default();
    rig.wait_answered(0..1, &mut replies).await;
    assert_eq!(rig.vhost.counts(&rig.jobs_queue()).await, Counts { ready: 0, unacked: 1 });

    worker.signal(Signal::SIGKILL);
    worker.wait(PATIENCE).await;
    // What was under way in the network is lost with it.
    rig.proxy.cut();
    rig.wait_counts(1, 0).await;
    rig.proxy.restore();

    let worker = rig.worker(&[]).await;
    rig.settled().await;
    replies.add(rig.vhost.drain(&rig.reply_queue()).await);
    let [first, second] = replies.of(0) else { panic!("{replies:#?}") };
    assert!(first.properties.message_id().is_some());
    assert_eq!(first.properties.message_id(), second.properties.message_id());
    assert_eq!(first.properties.correlation_id(), second.properties.correlation_id());
    replies.assert_all_created();
    assert_eq!(worker.count(r#"connection_worker_jobs_received_total{redelivered="true"}"#).await, 1);
}
