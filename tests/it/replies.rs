//! Where replies go, and what becomes of those that cannot be delivered.

use std::collections::BTreeSet;
use std::time::Duration;

use connection_worker::contract::reply::reply_id;
use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Consumer};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::PATIENCE;
use crate::support::broker::{Message, Vhost};
use crate::support::corner::{BUSY_BROKER, job};
use crate::support::eventually::eventually;
use crate::support::scene::Scene;

/// For thousands of jobs, on a loaded machine.
const LOAD_PATIENCE: Duration = Duration::from_secs(60);

/// What a requester writes for "to me, directly".
const DIRECT: &str = "amq.rabbitmq.reply-to";

/// What a sender may write.
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn job_id(message: &Message) -> String {
    message.json()["jobId"].as_str().unwrap().to_owned()
}

fn job_ids(messages: &[Message]) -> BTreeSet<String> {
    messages.iter().map(job_id).collect()
}

#[tokio::test]
async fn a_reply_goes_where_the_sender_asks_if_that_is_allowed() {
    let scene = Scene::start(&[("REPLY_TO_ALLOW", "crm.*,connections.jobs*")]).await;
    let (asked, forbidden) = (scene.vhost.queue("crm.replies"), scene.vhost.queue("billing.replies"));
    if !scene.vhost.broker().is_ours() {
        return; // the pattern knows nothing of prefixes
    }
    scene.vhost.declare_quorum(&asked).await;
    scene.vhost.declare_quorum(&forbidden).await;
    scene.submit_for(&asked, &job("asked")).await;
    scene.submit_for(&forbidden, &job("forbidden")).await;
    scene.submit_for("", &job("empty")).await;
    scene.submit(&job("none")).await;
    for own in [scene.jobs_queue(), scene.dead_queue(), scene.undeliverable_queue()] {
        scene.submit_for(&own, &job(&format!("own:{own}"))).await;
    }
    assert_eq!(job_ids(&scene.vhost.take(&asked, 1, PATIENCE).await), BTreeSet::from(["asked".to_owned()]));
    let others = [
        "forbidden",
        "empty",
        "none",
        "own:connections.jobs",
        "own:connections.jobs.dead",
        "own:connections.jobs.undeliverable",
    ];
    assert_eq!(job_ids(&scene.replies(6).await), others.map(str::to_owned).into());
    scene.settled().await;
    for quiet in [&forbidden, &scene.dead_queue(), &scene.undeliverable_queue(), &scene.reply_queue()] {
        assert_eq!(scene.vhost.depth(quiet).await, 0, "{quiet}");
    }
    assert_eq!(scene.sim.report().await["requests"]["create"], 7);
}

/// A requester that waits for direct replies.
async fn requester(vhost: &Vhost) -> (Channel, Consumer) {
    let channel = vhost.channel().await;
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let consumer =
        channel.basic_consume(DIRECT.into(), "".into(), options, FieldTable::default()).await.unwrap();
    (channel, consumer)
}

async fn send(channel: &Channel, queue: &str, body: &[u8]) {
    let properties = BasicProperties::default().with_reply_to(DIRECT.into());
    channel
        .basic_publish("".into(), queue.into(), BasicPublishOptions::default(), body, properties)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_direct_reply_reaches_the_requester() {
    let scene = Scene::start(&[]).await;
    let (channel, mut replies) = requester(&scene.vhost).await;
    send(&channel, &scene.jobs_queue(), job("direct").to_string().as_bytes()).await;
    let reply = timeout(PATIENCE, replies.next()).await.unwrap().unwrap().unwrap();
    let body: serde_json::Value = serde_json::from_slice(&reply.data).unwrap();
    assert_eq!((&body["jobId"], &body["status"]), (&"direct".into(), &"created".into()));
    scene.settled().await;
    assert_eq!(scene.vhost.depth(&scene.undeliverable_queue()).await, 0);
}

/// The address of a requester that waits no more.
async fn address_of_a_requester_that_has_gone(vhost: &Vhost) -> String {
    let queue = vhost.queue("peek");
    vhost.declare_classic(&queue).await;
    let (channel, consumer) = requester(vhost).await;
    send(&channel, &queue, b"where am I?").await;
    let seen = vhost.take(&queue, 1, PATIENCE).await.remove(0);
    drop(consumer);
    channel.close(200, "OK".into()).await.unwrap();
    let address = seen.properties.reply_to().as_ref().map(ShortString::to_string).unwrap();
    assert!(address.starts_with("amq.rabbitmq.reply-to."), "{address}");
    address
}

/// A queue that refuses what it has no room for.
async fn declare_with_room(vhost: &Vhost, queue: &str, room: u32) {
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongUInt(room));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    vhost.declare(queue, arguments).await;
}

async fn a_full_queue(vhost: &Vhost) -> String {
    let queue = vhost.queue("full");
    declare_with_room(vhost, &queue, 1).await;
    vhost.publish(&queue, BasicProperties::default(), b"no room for more").await;
    queue
}

#[tokio::test]
async fn a_reply_that_no_queue_takes_is_parked_and_its_job_done() {
    let scene = Scene::start(&[]).await;
    let cases = [
        ("missing", scene.vhost.queue("nowhere"), "there is no queue"),
        ("as-long-as-can-be", "q".repeat(255), "there is no queue"),
        ("full", a_full_queue(&scene.vhost).await, "the broker refused the message"),
        ("gone", address_of_a_requester_that_has_gone(&scene.vhost).await, "there is no queue"),
        ("garbage", "amq.rabbitmq.reply-to.garbage".to_owned(), "there is no queue"),
        ("nonsense", "amq.rabbitmq.reply-to.g1h2AA5yZXBseUA=.".to_owned(), "there is no queue"),
        ("bare", "amq.rabbitmq.reply-to.".to_owned(), "there is no queue"),
    ];
    for (id, queue, why) in cases {
        let mut headers = FieldTable::default();
        headers.insert("traceparent".into(), AMQPValue::LongString(TRACEPARENT.into()));
        let properties = BasicProperties::default()
            .with_reply_to(queue.as_str().into())
            .with_correlation_id("request".into())
            .with_headers(headers);
        scene.submit_raw(properties, job(id).to_string().as_bytes()).await;
        let parked = scene.vhost.take(&scene.undeliverable_queue(), 1, PATIENCE).await.remove(0);
        assert_eq!(job_id(&parked), id);
        assert_eq!(parked.json()["status"], "created", "{id}");
        assert_eq!(parked.header("undeliverable-queue").as_deref(), Some(queue.as_str()), "{id}");
        let reason = parked.header("undeliverable-reason").unwrap();
        assert!(reason.starts_with(why), "{id}: {reason}");
        assert_eq!(parked.header("traceparent").as_deref(), Some(TRACEPARENT), "{id}");
        let text = |value: &Option<ShortString>| value.as_ref().map(ShortString::to_string);
        assert_eq!(text(parked.properties.correlation_id()).as_deref(), Some("request"), "{id}");
        assert_eq!(text(parked.properties.message_id()), Some(reply_id(id).to_string()), "{id}");
        assert_eq!(text(parked.properties.kind()).as_deref(), Some("connection.created"), "{id}");
        scene.settled().await;
    }
    assert_eq!(scene.sim.report().await["requests"]["create"], 7);
    assert_eq!(scene.count("amqp_sessions_total").await, 1, "no reply costs a session");
    assert_eq!(scene.vhost.depth(&scene.reply_queue()).await, 0);
}

#[tokio::test]
async fn of_a_thousand_replies_at_once_none_is_misjudged() {
    const JOBS: usize = 1_000;
    let scene = Scene::start(&[BUSY_BROKER]).await;
    let (there, missing) = (scene.vhost.queue("there"), scene.vhost.queue("missing"));
    scene.vhost.declare_classic(&there).await;
    let id = |n: usize| format!("{}-{n}", if n.is_multiple_of(2) { "there" } else { "missing" });
    let jobs = (0..JOBS).map(|n| {
        let queue = if n.is_multiple_of(2) { &there } else { &missing };
        let properties = BasicProperties::default().with_reply_to(queue.as_str().into());
        (properties, job(&id(n)).to_string().into_bytes())
    });
    scene.vhost.publish_all(&scene.jobs_queue(), jobs).await;
    let expected = |parity: usize| (0..JOBS).filter(|n| n % 2 == parity).map(id).collect::<BTreeSet<_>>();
    let delivered = scene.vhost.take(&there, JOBS / 2, PATIENCE).await;
    let parked = scene.vhost.take(&scene.undeliverable_queue(), JOBS / 2, PATIENCE).await;
    assert_eq!(job_ids(&delivered), expected(0));
    assert_eq!(job_ids(&parked), expected(1));
    scene.settled().await;
    for queue in [&there, &scene.undeliverable_queue(), &scene.reply_queue()] {
        assert_eq!(scene.vhost.depth(queue).await, 0, "{queue} has a reply too many");
    }
    assert_eq!(scene.count("replies_undeliverable_total{reason=\"returned\"}").await, 500);
    assert_eq!(scene.count("messages_published_total{kind=\"reply\",result=\"unconfirmed\"}").await, 0);
    assert_eq!(scene.sim.report().await["duplicates"]["extra"], 0);
}

/// Many replies to one queue are under way on one channel, where the AMQP client does not tell which of them came back.
/// The queue comes into being meanwhile. (One that goes away takes replies along that the broker has confirmed.)
#[tokio::test]
async fn of_many_replies_to_a_queue_that_comes_late_each_is_delivered_or_parked() {
    const JOBS: usize = 1500;
    let scene = Scene::start(&[BUSY_BROKER]).await;
    let mut in_time = 0;
    for round in 0..5 {
        let queue = scene.vhost.queue(&format!("late-{round}"));
        let id = |n: usize| format!("{round}-{n}");
        let jobs = (0..JOBS).map(|n| {
            let properties = BasicProperties::default().with_reply_to(queue.as_str().into());
            (properties, job(&id(n)).to_string().into_bytes())
        });
        scene.vhost.publish_all(&scene.jobs_queue(), jobs).await;
        let undeliverable = scene.undeliverable_queue();
        eventually("some replies are parked", PATIENCE, async || {
            scene.vhost.depth(&undeliverable).await > 50
        })
        .await;
        scene.vhost.declare_classic(&queue).await;
        scene.vhost.settled(&scene.jobs_queue(), LOAD_PATIENCE).await;
        let (delivered, parked) = (scene.vhost.drain(&queue).await, scene.vhost.drain(&undeliverable).await);
        in_time += delivered.len();
        let all = delivered.iter().chain(&parked).map(job_id).collect::<BTreeSet<_>>();
        assert_eq!(all, (0..JOBS).map(id).collect());
        assert_eq!(delivered.len() + parked.len(), JOBS, "none is told twice");
    }
    assert_ne!(in_time, 0, "the queue came too late each time");
}

/// The same for a queue that takes only so many, and refuses the others.
#[tokio::test]
async fn of_many_replies_to_a_queue_that_is_full_each_is_delivered_or_parked() {
    const JOBS: usize = 200;
    const ROOM: u32 = 50;
    let scene = Scene::start(&[]).await;
    let queue = scene.vhost.queue("small");
    declare_with_room(&scene.vhost, &queue, ROOM).await;
    let jobs = (0..JOBS).map(|n| {
        let properties = BasicProperties::default().with_reply_to(queue.as_str().into());
        (properties, job(&format!("job-{n}")).to_string().into_bytes())
    });
    scene.vhost.publish_all(&scene.jobs_queue(), jobs).await;
    scene.settled().await;
    let delivered = scene.vhost.drain(&queue).await;
    let parked = scene.vhost.drain(&scene.undeliverable_queue()).await;
    let mut answered = job_ids(&delivered);
    answered.extend(job_ids(&parked));
    assert_eq!((answered.len(), delivered.len() + parked.len()), (JOBS, JOBS));
    assert!(delivered.len() >= ROOM as usize, "{} were delivered", delivered.len());
}

/// The same for one that is full and has room again all the time, so that of messages side by side one is refused and one
/// is taken: whoever is told the word of another would lose a reply, or give it twice.
#[tokio::test]
async fn of_many_replies_to_a_crowded_queue_each_is_told_its_own_fate() {
    const JOBS: usize = 3_000;
    const ROOM: u32 = 20;
    let scene = Scene::start(&[("CONCURRENCY", "200"), BUSY_BROKER]).await;
    let queue = scene.vhost.queue("crowded");
    declare_with_room(&scene.vhost, &queue, ROOM).await;
    let jobs = (0..JOBS).map(|n| {
        let properties = BasicProperties::default().with_reply_to(queue.as_str().into());
        (properties, job(&format!("job-{n}")).to_string().into_bytes())
    });
    scene.vhost.publish_all(&scene.jobs_queue(), jobs).await;
    let (mut delivered, done) = (Vec::new(), CancellationToken::new());
    let settle = async {
        scene.vhost.settled(&scene.jobs_queue(), LOAD_PATIENCE).await;
        done.cancel();
    };
    let make_room = async {
        while !done.is_cancelled() {
            delivered.extend(scene.vhost.drain(&queue).await);
        }
    };
    tokio::join!(settle, make_room);
    delivered.extend(scene.vhost.drain(&queue).await);
    let parked = scene.vhost.drain(&scene.undeliverable_queue()).await;
    let mut answered = job_ids(&delivered);
    answered.extend(job_ids(&parked));
    assert_eq!((answered.len(), delivered.len() + parked.len()), (JOBS, JOBS));
    assert!(!parked.is_empty(), "the queue was never full for long");
}
