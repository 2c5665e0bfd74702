//! What a broker does to its clients while it runs: it closes channels, raises alarms, takes deliveries back, changes
//! passwords. The worker goes on by itself, and every job is answered.
//!
//! Outages of the broker or its network are next door, in `broker_outage`.

use std::collections::HashSet;
use std::fs;

use serde_json::Value;
use tempfile::NamedTempFile;

use crate::support::PATIENCE;
use crate::support::broker::Broker;
use crate::support::eventually::eventually;
use crate::support::load::{CONCURRENCY, HEARTBEAT, LATENCY, Load};
use crate::support::rig::{CONSUME, PUBLISH, Rig};

const BLOCKED: &str = r#"connection_worker_amqp_connection_blocked{role="publish"}"#;

/// Every job is created once and answered, each with replies that are one and the same, and nothing of lost sessions is
/// left.
async fn recovers(load: &mut Load) {
    load.recovers().await;
    assert_created_once(load).await;
    for (job, replies) in &load.replies.0 {
        let ids: HashSet<_> = replies.iter().map(|reply| reply.properties.message_id()).collect();
        assert!(ids.len() == 1 && !ids.contains(&None), "{job} is answered as {ids:?}");
    }
    eventually("the worker has its two connections", PATIENCE, async || {
        let connections = load.rig.proxy.connections();
        if connections == 2 { Ok(()) } else { Err(connections) }
    })
    .await;
}

/// No job has made a second connection, whatever was delivered again.
async fn assert_created_once(load: &Load) {
    let report = load.rig.sim.report().await;
    let jobs = Value::from(load.submitted);
    assert_eq!((&report["created"], &report["duplicates"]["extra"]), (&jobs, &0.into()), "{report}");
    for (job, replies) in &load.replies.0 {
        let ids: HashSet<_> =
            replies.iter().map(|reply| reply.json()["connection"]["id"].to_string()).collect();
        assert_eq!(ids.len(), 1, "{job} is answered with {ids:?}");
    }
}

#[tokio::test]
async fn no_job_is_lost_when_the_broker_closes_the_consuming_channel() {
    let Some(mut load) = Load::start().await else { return };
    load.begin().await;
    load.rig.close_consuming_channel().await;
    load.wait_failures(1).await;
    recovers(&mut load).await;
    assert!(load.worker.logs().contains("unknown delivery tag 1000000"), "the log has the broker's words");
}

/// What happens first, the new password on the broker or in the file, is a matter of luck.
#[tokio::test]
async fn no_job_is_lost_when_the_password_changes() {
    let Some(rig) = Rig::start(LATENCY).await else { return };
    let user = format!("{}-worker", rig.vhost.name());
    rig.add_user(&user, "first", ".*", ".*", ".*").await;
    let file = NamedTempFile::new().unwrap();
    let rewrite = |rig: &Rig, password| fs::write(file.path(), rig.url_of(&user, password)).unwrap();
    rewrite(&rig, "first");
    let path = file.path().to_str().unwrap();
    let env = [CONCURRENCY, HEARTBEAT, ("AMQP_URL", ""), ("AMQP_URL_FILE", path)];
    let mut load = Load::with(rig, &env).await;

    load.begin().await;
    rewrite(&load.rig, "second");
    change_password(&load.rig, &user, "second").await;
    close_connections(&load.rig).await;
    load.wait_failures(1).await;
    recovers(&mut load).await;

    load.begin().await;
    change_password(&load.rig, &user, "third").await;
    close_connections(&load.rig).await;
    load.worker.wait_log("check user and password in AMQP_URL", PATIENCE).await;
    rewrite(&load.rig, "third");
    recovers(&mut load).await;
}

async fn change_password(rig: &Rig, user: &str, password: &str) {
    let change = format!(
        r#"rabbit_auth_backend_internal:change_password(<<"{user}">>, <<"{password}">>, <<"tests">>)."#
    );
    rig.vhost.broker().eval(&change).await;
}

async fn close_connections(rig: &Rig) {
    for connection in [CONSUME, PUBLISH] {
        rig.close_connection(connection).await;
    }
}

/// Two alarms, and a worker that holds deliveries for longer than the broker allows, on one node.
#[tokio::test]
async fn no_job_is_lost_to_alarms_or_the_consumer_timeout() {
    if !Broker::shared().await.is_ours() {
        return;
    }
    let broker = Broker::start().await;
    // The jobs are not to be done before the alarm is there.
    let mut load = Load::on(Rig::on(&broker, LATENCY * 5).await).await;
    for (alarm, end) in [
        (
            "vm_memory_monitor:set_vm_memory_high_watermark(0.0).",
            "vm_memory_monitor:set_vm_memory_high_watermark(0.4).",
        ),
        (
            "rabbit_disk_monitor:set_disk_free_limit(1000000000000000).",
            "rabbit_disk_monitor:set_disk_free_limit(50000000).",
        ),
    ] {
        load.begin().await;
        broker.eval(alarm).await;
        load.worker.wait_count(BLOCKED, 1, PATIENCE).await;
        broker.eval(end).await;
        recovers(&mut load).await;
        eventually("publishing goes on", PATIENCE, async || load.worker.count(BLOCKED).await == 0).await;
    }
    assert_eq!(load.failures().await, 0, "the session was well all the time");

    // Both hold for channels that are opened from now on.
    broker
        .eval(
            "ok = application:set_env(rabbit, channel_tick_interval, 200),
             ok = application:set_env(rabbit, consumer_timeout, 50).",
        )
        .await;
    let mut load = Load::on(Rig::on(&broker, LATENCY).await).await;
    load.submit().await;
    load.wait_failures(2).await;
    broker.eval("application:set_env(rabbit, consumer_timeout, 1800000).").await;
    recovers(&mut load).await;
    assert!(load.worker.logs().contains("delivery acknowledgement on channel"), "it is the timeout");
}
