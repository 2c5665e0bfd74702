//! What `doctor` says about queues: missing ones, odd ones, and those in which jobs wait.

use std::time::Duration;

use lapin::BasicProperties;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use nix::sys::signal::Signal;

use super::doctor;
use crate::support::PATIENCE;
use crate::support::corner::{Corner, RETRY_TIERS, job};

#[tokio::test]
async fn every_missing_queue_is_found_and_none_is_created() {
    let corner = Corner::new().await;
    corner.vhost.declare_quorum(&corner.reply_queue()).await;
    let report = doctor(&corner, &[("TOPOLOGY", "verify")]).await;
    assert_eq!((report.code, report.ended("failed").len()), (Some(1), 9), "{:#?}", report.checks);
    assert_eq!(report.queue(&corner.reply_queue())["status"], "ok");
    let missing = report.queue(&corner.retry_queue("1h"));
    assert_eq!(missing["remedy"], "create it, or start with TOPOLOGY=create");
    assert!(!corner.vhost.exists(&corner.retry_queue("1h")).await);
}

/// Those that wait for a slot are a matter of course; those whose calls are held back, somebody should look at.
#[tokio::test]
async fn jobs_that_wait_are_counted_with_what_they_wait_for() {
    let corner = Corner::new().await;
    let mut worker = corner.worker(&[]).await;
    worker.signal(Signal::SIGTERM);
    worker.wait(PATIENCE).await;
    for (queue, jobs) in [(corner.overflow_queue(), 2), (corner.held_queue(), 3)] {
        for number in 0..jobs {
            let body = job(&format!("job-{number}")).to_string();
            corner.vhost.publish(&queue, BasicProperties::default(), body.as_bytes()).await;
        }
    }
    let report = doctor(&corner, &[]).await;
    assert_eq!((report.code, report.ended("warning")), (Some(0), vec!["queue".to_owned()]));
    let overflow = report.queue(&corner.overflow_queue());
    assert_eq!(overflow["status"], "ok", "{overflow}");
    let said = overflow["message"].as_str().unwrap();
    assert!(said.starts_with("2 ready (these jobs wait for a slot"), "{overflow}");
    let held = report.queue(&corner.held_queue());
    assert_eq!(held["status"], "warning", "{held}");
    let said = held["message"].as_str().unwrap();
    assert!(said.starts_with("3 ready (calls for these jobs are held back, or scarce"), "{held}");
    assert!(held["remedy"].as_str().unwrap().contains("status page"), "{held}");
    corner.remove().await;
}

#[tokio::test]
async fn a_queue_with_other_arguments_is_told_apart() {
    let corner = Corner::new().await;
    corner.declare_short_retries("quorum", Duration::from_millis(50)).await;
    // By name: a server from 4.0 on names the type that it gives to queues of none, earlier ones do not.
    let mut classic = FieldTable::default();
    classic.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
    corner.vhost.declare(&corner.jobs_queue(), classic.clone()).await;
    corner.vhost.declare(&corner.dead_queue(), classic).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-priority".into(), AMQPValue::LongInt(5));
    corner.vhost.declare(&corner.reply_queue(), arguments).await;
    let report = doctor(&corner, &[]).await;
    // All of them work: a worker would use them as they are.
    assert_eq!(report.code, Some(0), "{:#?}", report.checks);
    for (queue, differences) in [
        (corner.retry_queue("10s"), &["x-message-ttl is 50, not 10000"][..]),
        (
            corner.jobs_queue(),
            &[
                "x-queue-type is classic, not quorum",
                "x-dead-letter-exchange is absent, not \"\"",
                "x-dead-letter-routing-key is absent",
                "x-overflow is absent, not reject-publish",
            ],
        ),
        (corner.reply_queue(), &["x-max-priority is 5, not absent"]),
        (corner.dead_queue(), &["x-queue-type is classic, not quorum"]),
    ] {
        let said = report.queue(&queue);
        assert_eq!(said["status"], "warning", "{said}");
        for difference in differences {
            assert!(said["message"].as_str().unwrap().contains(difference), "no {difference} in {said}");
        }
    }
}

#[tokio::test]
async fn a_queue_from_which_no_job_would_come_back_is_found() {
    let corner = Corner::new().await;
    corner.declare_short_retries("classic", Duration::from_millis(50)).await;
    let astray = corner.retry_queue(RETRY_TIERS[3]);
    corner.vhost.delete_queue(&astray).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(3_600_000));
    arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString("".into()));
    arguments.insert("x-dead-letter-routing-key".into(), AMQPValue::LongString("elsewhere".into()));
    corner.vhost.declare(&astray, arguments).await;
    let report = doctor(&corner, &[]).await;
    assert_eq!((report.code, report.ended("failed").len()), (Some(1), 1), "{:#?}", report.checks);
    let said = report.queue(&astray);
    assert!(
        said["message"].as_str().unwrap().contains("x-dead-letter-routing-key is elsewhere, not"),
        "{said}"
    );
    assert!(said["remedy"].as_str().unwrap().contains("never come back"), "{said}");

    let transient = corner.vhost.queue("transient");
    let options = QueueDeclareOptions::default();
    corner
        .vhost
        .channel()
        .await
        .queue_declare(transient.as_str().into(), options, FieldTable::default())
        .await
        .unwrap();
    let report = doctor(&corner, &[("REPLY_QUEUE", &transient)]).await;
    let said = report.queue(&transient);
    assert_eq!(said["status"], "failed", "{said}");
    assert!(said["message"].as_str().unwrap().contains("durable is false, not true"), "{said}");
}
