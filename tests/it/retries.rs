//! Long waits: spent in the broker, with nothing in the worker's hands.

use std::time::Duration;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::broker::{Broker, Counts, Message};
use crate::support::corner::{BOLD, Corner, SOON, job};
use crate::support::eventually::eventually;

/// As long as a job waits in the retry queues of these tests, whatever their names say.
const SHORT: Duration = Duration::from_millis(300);

/// A corner of a node that can be looked into, with short retry queues.
async fn corner(queue_type: &str) -> Option<Corner> {
    if !Broker::shared().await.is_ours() {
        return None;
    }
    let corner = Corner::new().await;
    corner.declare_short_retries(queue_type, SHORT).await;
    Some(corner)
}

fn throttled(count: u64, retry_after: &str) -> Value {
    json!({ "count": count, "fault": { "kind": "throttle", "retryAfter": retry_after } })
}

/// A job that carries what a sender may put on it, and what RabbitMQ puts on a message that was dead-lettered.
fn laden() -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in [("tenant", "acme"), ("x-death", "old")] {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    BasicProperties::default()
        .with_message_id("message-1".into())
        .with_correlation_id("correlation-1".into())
        .with_reply_to("elsewhere".into())
        .with_timestamp(1_900_000_000)
        .with_headers(headers)
}

/// The wait decides the queue: the shortest that is not shorter than what Flow Service asked for.
#[tokio::test]
async fn a_long_wait_is_spent_in_the_queue_that_fits() {
    let Some(corner) = corner("quorum").await else { return };
    // These keep what they get.
    for tier in ["10s", "1m", "10m", "1h"] {
        corner.vhost.delete_queue(&corner.retry_queue(tier)).await;
        corner.vhost.declare_quorum(&corner.retry_queue(tier)).await;
    }
    let worker = corner.worker(&[SOON.as_slice(), &BOLD].concat()).await;
    for (asked, tier) in [("6", "10s"), ("11", "1m"), ("300", "10m"), ("86400", "1h")] {
        corner.sim.fault(throttled(1, asked)).await;
        let id = format!("asked-{asked}");
        corner.submit_raw(laden(), job(&id).to_string().as_bytes()).await;
        let waiting = corner.vhost.take(&corner.retry_queue(tier), 1, PATIENCE).await.remove(0);
        assert_eq!(waiting.json(), job(&id), "as it came");
        assert_waits(&waiting);
    }
    // Nothing is in hand, and nothing was said.
    corner.settled().await;
    assert_eq!(corner.vhost.depth(&corner.reply_queue()).await, 0);
    eventually("every job is counted", PATIENCE, async || {
        worker.count(r#"connection_worker_jobs_postponed_total{outcome="deferred"}"#).await == 4
    })
    .await;
    corner.end(worker).await;
}

fn assert_waits(message: &Message) {
    assert_eq!(message.header("job-attempts").as_deref(), Some("1"));
    let first_seen = message.header("job-first-seen-at").unwrap();
    assert!(first_seen.parse::<jiff::Timestamp>().is_ok(), "{first_seen}");
    let error = message.header("job-last-error").unwrap();
    assert!(error.contains("HTTP 429"), "{error}");
    assert_eq!(message.header("tenant").as_deref(), Some("acme"));
    assert_eq!(message.header("x-death"), None);
    let properties = &message.properties;
    let text = |value: &Option<lapin::types::ShortString>| value.as_ref().map(ToString::to_string);
    assert_eq!(text(properties.message_id()).as_deref(), Some("message-1"));
    assert_eq!(text(properties.correlation_id()).as_deref(), Some("correlation-1"));
    assert_eq!(text(properties.reply_to()).as_deref(), Some("elsewhere"));
    assert_eq!((properties.timestamp(), properties.delivery_mode()), (&Some(1_900_000_000), &Some(2)));
}

/// Round and round, until the service is well; the attempts add up, and so do those of other workers.
#[tokio::test]
async fn a_waiting_job_comes_back_with_its_attempts_and_is_done() {
    for queue_type in ["quorum", "classic"] {
        let Some(corner) = corner(queue_type).await else { return };
        corner.sim.fault(throttled(6, "60")).await;
        let workers = [
            corner.worker(&[SOON.as_slice(), &BOLD].concat()).await,
            corner.worker(&[SOON.as_slice(), &BOLD].concat()).await,
        ];
        let reply = corner.ask(&job("patient")).await;
        assert_eq!((&reply["status"], &reply["attempts"]), (&json!("created"), &json!(7)), "{reply}");
        assert_eq!(reply["connection"]["recovered"], false);
        corner.settled().await;
        assert_eq!(corner.sim.report().await["created"], 1);
        for worker in workers {
            drop(worker);
        }
    }
}

#[tokio::test]
async fn a_job_that_uses_up_its_attempts_is_answered_and_parked() {
    let Some(corner) = corner("quorum").await else { return };
    corner.sim.fault(json!({ "fault": { "kind": "throttle", "retryAfter": "60" } })).await;
    let worker = corner.worker(&[&SOON[..], &BOLD, &[("RETRY_ATTEMPTS", "3")]].concat()).await;
    let reply = corner.ask(&job("hopeless")).await;
    let error = &reply["error"];
    assert_eq!((&error["code"], &error["retryable"]), (&json!("throttled"), &json!(true)), "{reply}");
    assert_eq!(reply["attempts"], 3);
    assert!(error["message"].as_str().unwrap().ends_with("(all attempts used)"), "{reply}");
    let parked = corner.vhost.take(&corner.dead_queue(), 1, PATIENCE).await.remove(0);
    assert_eq!(parked.json(), job("hopeless"));
    assert_eq!(parked.header("dead-reason").as_deref(), Some("exhausted"));
    assert_eq!(parked.header("job-attempts").as_deref(), Some("3"));
    assert!(parked.header("job-first-seen-at").is_some());
    assert!(parked.header("dead-at").unwrap().parse::<jiff::Timestamp>().is_ok());
    corner.settled().await;
    corner.end(worker).await;
}

/// A worker that is killed takes no waiting job with it.
#[tokio::test]
async fn a_waiting_job_survives_every_worker() {
    let Some(corner) = corner("quorum").await else { return };
    corner.sim.fault(throttled(1, "60")).await;
    let worker = corner.worker(&[SOON.as_slice(), &BOLD].concat()).await;
    corner.submit(&job("orphan")).await;
    worker.wait_count(r#"connection_worker_jobs_postponed_total{outcome="deferred"}"#, 1, PATIENCE).await;
    drop(worker);
    eventually("the job is back in its queue", PATIENCE, async || {
        corner.vhost.counts(&corner.jobs_queue()).await == Counts { ready: 1, unacked: 0 }
    })
    .await;
    let worker = corner.worker(&[SOON.as_slice(), &BOLD].concat()).await;
    let reply = corner.reply().await.json();
    assert_eq!((&reply["status"], &reply["attempts"]), (&json!("created"), &json!(2)), "{reply}");
    corner.end(worker).await;
}

/// A sender that is not sure whether its job arrived sends it again, and says so with a header.
#[tokio::test]
async fn a_sender_can_ask_for_a_look_up_first() {
    let Some(corner) = corner("quorum").await else { return };
    let first = corner.worker(&[SOON.as_slice(), &BOLD].concat()).await;
    let before = corner.ask(&job("twice")).await;
    // Another process, which remembers nothing.
    drop(first);
    let worker = corner.worker(&[SOON.as_slice(), &BOLD].concat()).await;
    let mut headers = FieldTable::default();
    headers.insert("job-attempts".into(), AMQPValue::LongInt(0));
    let again = BasicProperties::default().with_headers(headers);
    corner.submit_raw(again, job("twice").to_string().as_bytes()).await;
    let after = corner.reply().await.json();
    assert_eq!(after["connection"]["id"], before["connection"]["id"]);
    assert_eq!(after["connection"]["recovered"], true);
    assert_eq!(corner.sim.report().await["created"], 1);
    corner.end(worker).await;
}

/// It comes back with a history, is looked for all the same, and the look fails: still nothing was created.
#[tokio::test]
async fn a_job_whose_attempts_certainly_did_nothing_is_not_ambiguous() {
    let Some(corner) = corner("quorum").await else { return };
    let worker = corner.worker(&[&SOON[..], &BOLD, &[("RETRY_ATTEMPTS", "2")]].concat()).await;
    let refused = json!({ "kind": "status", "status": 401, "form": "gateway" });
    corner.sim.fault(json!([throttled(1, "30"), { "endpoint": "find", "fault": refused }])).await;
    let reply = corner.ask(&job("refused")).await;
    assert_eq!((&reply["error"]["code"], &reply["attempts"]), (&"unauthorized".into(), &2.into()), "{reply}");
    assert_eq!(corner.sim.report().await["requests"]["create"], 1);
    corner.end(worker).await;
}
