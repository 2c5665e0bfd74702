//! What a worker says and does when it cannot start as it is configured, and what it makes of what it finds.

use std::time::Duration;

use lapin::types::{AMQPValue, FieldTable};
use tokio::net::TcpListener;

use crate::support::PATIENCE;
use crate::support::rig::{Replies, Rig};
use crate::support::worker::WorkerProcess;

/// In every URL here that has one of its own.
const PASSWORD: &str = "pa55-w0rd-canary";

const CONFIG: i32 = 78;

/// Waits until the worker ends by itself; gives its exit code and what it said.
async fn refused(mut worker: WorkerProcess) -> (Option<i32>, String) {
    let code = worker.wait(PATIENCE).await.code();
    let log = worker.logs();
    assert!(!log.contains(PASSWORD), "the password is logged: {log}");
    (code, log)
}

#[tokio::test]
async fn a_wrong_password_ends_the_start() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    let (code, log) = refused(rig.start_worker(&[("AMQP_URL", &rig.url_of("guest", PASSWORD))])).await;
    assert_eq!(code, Some(CONFIG), "{log}");
    assert!(log.contains("check user and password in AMQP_URL"), "{log}");
}

#[tokio::test]
async fn a_wrong_virtual_host_ends_the_start() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    let mut url = url::Url::parse(&rig.vhost.amqp_url()).unwrap();
    url.set_path("nowhere");
    let (code, log) = refused(rig.start_worker(&[("AMQP_URL", url.as_str())])).await;
    assert_eq!(code, Some(CONFIG), "{log}");
    assert!(log.contains("check the virtual host in AMQP_URL"), "{log}");
}

#[tokio::test]
async fn a_virtual_host_that_the_user_may_not_enter_ends_the_start() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    let other = rig.vhost.broker().vhost().await;
    let user = format!("{}-stranger", rig.vhost.name());
    rig.add_user(&user, PASSWORD, ".*", ".*", ".*").await;
    let url = rig
        .url_of(&user, PASSWORD)
        .replace(rig.vhost.name(), other.name())
        .replace(&format!("{}-stranger", other.name()), &user);
    let (code, log) = refused(rig.start_worker(&[("AMQP_URL", &url)])).await;
    assert_eq!(code, Some(CONFIG), "{log}");
    assert!(log.contains("the user's permissions for it"), "{log}");
}

/// Each right that the worker needs, and what it says when it has all but that.
#[tokio::test]
async fn a_missing_permission_ends_the_start() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    for (lacking, configure, write, read) in [
        ("create a queue", "^$", ".*", ".*"),
        ("consume a queue", ".*", ".*", "^$"),
        // Without this one, jobs would be done again and again, and none would ever be answered.
        ("publish a message", ".*", "^$", ".*"),
    ] {
        if lacking != "create a queue" {
            rig.declare_queues().await;
        }
        let user = format!("{}-{}", rig.vhost.name(), lacking.replace(' ', "-"));
        rig.add_user(&user, PASSWORD, configure, write, read).await;
        let (code, log) = refused(rig.start_worker(&[("AMQP_URL", &rig.url_of(&user, PASSWORD))])).await;
        assert_eq!(code, Some(CONFIG), "{lacking}: {log}");
        assert!(log.contains(&format!("could not {lacking}")), "{lacking}: {log}");
        assert!(log.contains("the user lacks permission for this"), "{lacking}: {log}");
    }
}

#[tokio::test]
async fn every_missing_queue_is_named() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    rig.vhost.declare_classic(&rig.undeliverable_queue()).await;
    // The worker's own names for its queues.
    let by_default = [("TOPOLOGY", "verify"), ("JOB_QUEUE", ""), ("REPLY_QUEUE", "")];
    let (code, log) = refused(rig.start_worker(&by_default)).await;
    assert_eq!(code, Some(CONFIG), "{log}");
    let retries = "connections.jobs.retry.10s, connections.jobs.retry.1m, connections.jobs.retry.10m, connections.jobs.retry.1h";
    let others = "connections.jobs.dead, connections.jobs.overflow, connections.jobs.held, connections.replies, connections.jobs";
    assert!(log.contains(&format!("missing queues: {retries}, {others}; create them")), "{log}");
    for queue in
        [rig.jobs_queue(), rig.overflow_queue(), rig.held_queue(), rig.reply_queue(), rig.dead_queue()]
    {
        assert!(!rig.vhost.exists(&queue).await, "{queue} was created");
    }
}

/// Somebody else's queues, of any kind and with any arguments, are taken as they are, even when missing ones may be
/// created.
#[tokio::test]
async fn existing_queues_are_used_as_they_are() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-priority".into(), AMQPValue::LongInt(5));
    arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(3_600_000));
    rig.vhost.declare(&rig.jobs_queue(), arguments).await;
    rig.vhost.declare_classic(&rig.reply_queue()).await;
    rig.vhost.declare_classic(&rig.dead_queue()).await;
    rig.load(0..1).await;
    let _worker = rig.worker(&[]).await;
    let mut replies = Replies::default();
    rig.wait_answered(0..1, &mut replies).await;
    rig.settled().await;
    replies.assert_all_created();
    assert!(rig.vhost.exists(&rig.undeliverable_queue()).await, "what was missing is created");

    let _second = rig.worker(&[("TOPOLOGY", "verify")]).await;
}

#[tokio::test]
async fn an_occupied_admin_port_ends_the_start() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    let occupied = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = occupied.local_addr().unwrap().to_string();
    let (code, log) = refused(rig.start_worker(&[("ADMIN_ADDR", &addr)])).await;
    assert_eq!(code, Some(CONFIG), "{log}");
    assert!(log.contains(&format!("cannot listen on {addr} (ADMIN_ADDR)")), "{log}");
    assert!(!rig.vhost.exists(&rig.jobs_queue()).await, "nothing was begun");
}

#[tokio::test]
async fn an_address_that_cannot_be_used_is_refused_before_anything_starts() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    for (url, why) in [
        (format!("amqp://guest:{PASSWORD}@[::1]:5672/"), "IPv6 literals are not supported"),
        (format!("http://guest:{PASSWORD}@localhost/"), "amqp://"),
        (format!("amqp://guest:{PASSWORD}@localhost:port/"), "not a URL"),
    ] {
        let (code, log) = refused(rig.start_worker(&[("AMQP_URL", &url)])).await;
        assert_eq!(code, Some(64), "{log}");
        assert!(log.contains("AMQP_URL") && log.contains(why), "{log}");
    }
}

/// The C libraries' clearing up at an exit aborts the process, now and then, if a thread is in a TLS handshake (SIGABRT
/// in place of 69, 3 times in 1,000 ends). The GNU loader tells whether it is done.
#[cfg(target_env = "gnu")]
#[tokio::test]
async fn libraries_do_not_clear_up_under_threads_that_go_on() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    let occupied = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = occupied.local_addr().unwrap().to_string();
    let (code, log) = refused(rig.start_worker(&[("ADMIN_ADDR", &addr), ("LD_DEBUG", "files")])).await;
    assert_eq!(code, Some(CONFIG), "{log}");
    assert!(log.contains("calling init"), "the loader tells: {log}");
    assert!(!log.contains("calling fini"), "{log}");
}
