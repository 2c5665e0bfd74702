//! Whatever happens to the broker, its network or the worker: no job is lost, and the worker heals by itself.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use crate::support::broker::Broker;
use crate::support::corner::job;
use crate::support::eventually::eventually;
use crate::support::load::{CONCURRENCY, FAILURES, HEARTBEAT, LATENCY, Load};
use crate::support::rig::{CONSUME, PUBLISH, Replies, Rig};
use crate::support::{PATIENCE, env, tell};

/// Cut, then frozen, then killed: one story with the same queue.
#[tokio::test]
async fn no_job_is_lost() {
    let Some(mut load) = Load::start().await else { return };

    load.begin().await;
    let failures = load.failures().await;
    load.rig.proxy.cut();
    load.survives(failures, |rig| rig.proxy.restore()).await;

    load.begin().await;
    let failures = load.failures().await;
    load.rig.proxy.freeze();
    load.survives(failures, |rig| rig.proxy.restore()).await;

    for _ in 0..3 {
        load.begin().await;
        load.worker.signal(Signal::SIGKILL);
        load.worker.wait(PATIENCE).await;
        load.worker = load.rig.start_worker(&[CONCURRENCY, HEARTBEAT]);
    }
    load.recovers().await;
}

/// One connection without the other is no session.
#[tokio::test]
async fn no_job_is_lost_when_one_of_the_two_connections_fails() {
    let Some(mut load) = Load::start().await else { return };
    for connection in [CONSUME, PUBLISH] {
        load.begin().await;
        let failures = load.failures().await;
        load.rig.proxy.cut_named(connection);
        load.survives(failures, |rig| rig.proxy.restore()).await;

        load.begin().await;
        let failures = load.failures().await;
        load.rig.proxy.freeze_named(connection);
        load.survives(failures, |rig| rig.proxy.restore()).await;
    }
}

#[tokio::test]
async fn no_job_is_lost_when_the_broker_closes_the_connections() {
    let Some(mut load) = Load::start().await else { return };
    for connection in [CONSUME, PUBLISH] {
        load.begin().await;
        let failures = load.failures().await;
        load.rig.close_connection(connection).await;
        load.worker.wait_count(FAILURES, failures + 1, PATIENCE).await;
        load.recovers().await;
    }
    assert!(load.worker.logs().contains("closed by the test"), "the log has the broker's words");
}

/// Their calls go on for longer than the test: what is unsettled must not wait for them.
#[tokio::test]
async fn the_jobs_of_a_lost_session_come_again_at_once() {
    let broker = Broker::shared().await;
    if !broker.is_ours() {
        return;
    }
    let rig = Rig::on(&broker, PATIENCE * 2).await;
    let worker = rig.worker(&[]).await;
    rig.submit_all(["one", "two"].map(job)).await;
    rig.wait_counts(0, 2).await;
    rig.close_connection(PUBLISH).await;
    let again = "connection_worker_jobs_received_total{redelivered=\"true\"}";
    worker.wait_count(again, 2, PATIENCE).await;
}

/// What was in the queue is gone by the operator's own hand; what was under way is answered, and new jobs are done.
#[tokio::test]
async fn a_deleted_job_queue_is_created_again() {
    let Some(mut load) = Load::start().await else { return };
    load.begin().await;
    let failures = load.failures().await;
    let created = load.rig.created().await;
    load.rig.vhost.delete_queue(&load.rig.jobs_queue()).await;
    load.worker.wait_count(FAILURES, failures + 1, PATIENCE).await;
    load.worker.wait_ready().await;
    eventually("jobs under way are answered", PATIENCE, async || {
        load.replies.add(load.rig.vhost.drain(&load.rig.reply_queue()).await);
        let answered = u64::try_from(load.replies.0.len()).unwrap();
        if answered >= created { Ok(()) } else { Err(answered) }
    })
    .await;

    // The queue that the worker made is one that dead-letters, as ever.
    let next = load.submitted..load.submitted + 10;
    load.rig.load(next.clone()).await;
    load.rig.wait_answered(next, &mut load.replies).await;
    load.rig.settled().await;
    load.replies.assert_all_created();
}

#[tokio::test]
async fn no_job_is_lost_when_the_broker_restarts() {
    if !Broker::shared().await.is_ours() {
        return;
    }
    let broker = Broker::start().await;
    let mut load = Load::on(Rig::on(&broker, LATENCY).await).await;
    load.begin().await;
    broker.ctl(&["stop_app"]).await;
    load.worker.wait_unready().await;
    broker.ctl(&["start_app"]).await;
    load.rig.corner.vhost = load.rig.corner.vhost.reconnect().await;
    load.recovers().await;
    assert_ne!(load.failures().await, 0);
}

/// Killed under load, and away for `OUTAGE_SECONDS` of the test run's environment, or just until it is started again. How
/// long the worker then takes is told, not judged.
#[tokio::test]
async fn a_worker_is_back_when_the_broker_is() {
    if !Broker::shared().await.is_ours() {
        return;
    }
    let broker = Broker::start().await;
    let mut load = Load::on(Rig::on(&broker, LATENCY).await).await;
    load.begin().await;
    broker.kill().await;
    load.worker.wait_unready().await;
    let away: u64 = env("OUTAGE_SECONDS").map_or(0, |seconds| seconds.parse().expect("whole seconds"));
    sleep(Duration::from_secs(away)).await;

    let addr = broker.addr().await;
    let listening = async {
        while TcpStream::connect(addr).await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
        Instant::now()
    };
    let consuming = async {
        load.worker.wait_ready().await;
        Instant::now()
    };
    let ((), listening, consuming) = tokio::join!(broker.restart(), listening, consuming);
    let took = consuming.saturating_duration_since(listening);
    tell(&format!("{away} s away; consuming {took:?} after the broker listened again"));
    load.rig.corner.vhost = load.rig.corner.vhost.reconnect().await;
    load.recovers().await;
}

/// Short of memory or disk, the broker takes nothing more, and says so only to who publishes. Jobs that it delivers are
/// answered when it is well again, by the same session.
#[tokio::test]
async fn a_broker_that_takes_nothing_is_waited_for() {
    if !Broker::shared().await.is_ours() {
        return;
    }
    let broker = Broker::start().await;
    let rig = Rig::on(&broker, Duration::ZERO).await;
    rig.declare_queues().await;
    rig.load(0..3).await;
    broker.eval("rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []}).").await;
    let worker = rig.worker(&[("AMQP_TIMEOUT", "1s")]).await;
    worker.wait_count(r#"connection_worker_amqp_connection_blocked{role="publish"}"#, 1, PATIENCE).await;
    rig.wait_counts(0, 3).await;
    assert_eq!(rig.created().await, 0, "no job is begun whose reply could not be published");

    broker.eval("rabbit_alarm:clear_alarm({resource_limit, memory, node()}).").await;
    let mut replies = Replies::default();
    rig.wait_answered(0..3, &mut replies).await;
    rig.settled().await;
    replies.assert_all_created();
    assert_eq!(worker.count(FAILURES).await, 0);
    assert_eq!(rig.created().await, 3);
}

/// Not ready, but alive; and not for ever, because a restart may mend what the worker cannot see.
#[tokio::test]
async fn a_broker_that_is_never_there_is_given_up() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    rig.proxy.cut();
    let mut worker = rig.start_worker(&[("BROKER_GIVE_UP", "5s")]);
    worker.wait_unready().await;
    assert_eq!(worker.wait(PATIENCE).await.code(), Some(69), "unavailable");
    let log = worker.logs();
    let last = log.lines().last().unwrap();
    assert!(last.contains("no working broker session for 5s (BROKER_GIVE_UP)"), "{last}");
    assert!(last.contains("could not connect to the broker"), "{last}");
    assert!(log.contains("no broker session, trying again"), "{log}");
}

/// A load balancer without a broker behind it looks like this.
#[tokio::test]
async fn a_broker_that_never_speaks_is_not_waited_for() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = rig.vhost.amqp_url_at(silent.local_addr().unwrap());
    let mut worker =
        rig.start_worker(&[("AMQP_URL", &url), ("AMQP_TIMEOUT", "300ms"), ("BROKER_GIVE_UP", "5s")]);
    worker.wait_log("could not connect to the broker: no answer within 300ms", PATIENCE).await;
    worker.wait_unready().await;
    assert_eq!(worker.wait(PATIENCE).await.code(), Some(69), "unavailable");
}
