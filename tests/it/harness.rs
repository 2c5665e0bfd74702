//! The harness itself: what the other tests take for granted about the broker.

use std::time::Duration;

use lapin::options::{BasicConsumeOptions, BasicGetOptions};
use lapin::tcp::OwnedTLSConfig;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, ErrorKind};
use serde_json::json;

use crate::support::PATIENCE;
use crate::support::broker::{self, Broker, Counts, Vhost};
use crate::support::eventually::eventually;
use crate::support::proxy::Proxy;

/// A virtual host on a node of our own, or nothing if the tests run against a foreign broker: there, the tests that
/// need more than queues have nothing to say.
async fn own_vhost() -> Option<Vhost> {
    let broker = Broker::shared().await;
    if broker.is_ours() { Some(broker.vhost().await) } else { None }
}

#[tokio::test]
async fn a_message_comes_back_as_it_was_published() {
    let vhost = Broker::shared().await.vhost().await;
    let queue = vhost.queue("jobs");
    vhost.declare_classic(&queue).await;
    let mut headers = FieldTable::default();
    headers.insert("job-attempts".into(), AMQPValue::LongInt(3));
    let properties = BasicProperties::default().with_message_id("m1".into()).with_headers(headers);
    vhost.publish(&queue, properties, br#"{"jobId":"j1"}"#).await;
    assert_eq!(vhost.depth(&queue).await, 1);

    let taken = vhost.take(&queue, 1, PATIENCE).await;
    assert_eq!(taken[0].json(), json!({"jobId": "j1"}));
    assert_eq!(taken[0].properties.message_id().as_ref().map(ShortString::as_str), Some("m1"));
    assert_eq!(taken[0].header("job-attempts").as_deref(), Some("3"));
    assert!(!taken[0].redelivered);
    vhost.settled(&queue, PATIENCE).await;

    vhost.delete_queue(&queue).await;
    assert!(!vhost.exists(&queue).await);
}

#[tokio::test]
async fn many_messages_keep_their_order() {
    let vhost = Broker::shared().await.vhost().await;
    let queue = vhost.queue("jobs");
    vhost.declare_quorum(&queue).await;
    let bodies: Vec<Vec<u8>> = (0..300).map(|n| format!("{n}").into_bytes()).collect();
    vhost.publish_all(&queue, bodies.iter().map(|body| (BasicProperties::default(), body.clone()))).await;
    let mut taken = vhost.take(&queue, 100, PATIENCE).await;
    taken.extend(vhost.drain(&queue).await);
    assert_eq!(taken.into_iter().map(|message| message.body).collect::<Vec<_>>(), bodies);
    vhost.delete_queue(&queue).await;
}

#[tokio::test]
#[should_panic(expected = "does not take messages")]
async fn a_message_for_a_queue_that_is_not_there_fails_the_test() {
    let vhost = Broker::shared().await.vhost().await;
    vhost.publish(&vhost.queue("nowhere"), BasicProperties::default(), b"lost").await;
}

#[tokio::test]
async fn virtual_hosts_do_not_see_each_other() {
    let (Some(one), Some(other)) = (own_vhost().await, own_vhost().await) else { return };
    for (vhost, text) in [(&one, "one"), (&other, "other")] {
        vhost.declare_classic("jobs").await;
        vhost.publish("jobs", BasicProperties::default(), text.as_bytes()).await;
    }
    one.declare_classic("only-here").await;
    assert!(!other.exists("only-here").await);
    for (vhost, text) in [(&one, "one"), (&other, "other")] {
        let taken = vhost.drain("jobs").await;
        assert_eq!(
            taken.iter().map(|message| message.body.as_slice()).collect::<Vec<_>>(),
            [text.as_bytes()]
        );
    }
}

#[tokio::test]
async fn counts_are_right_at_once_for_both_kinds_of_queue() {
    let Some(vhost) = own_vhost().await else { return };
    vhost.declare_classic("classic").await;
    vhost.declare_quorum("quorum").await;
    for queue in ["classic", "quorum"] {
        for _ in 0..3 {
            vhost.publish(queue, BasicProperties::default(), b"job").await;
        }
        let channel = vhost.channel().await;
        let held = channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap();
        assert!(held.is_some());
        assert_eq!(vhost.counts(queue).await, Counts { ready: 2, unacked: 1 }, "{queue}");
        assert_eq!(vhost.drain(queue).await.len(), 2);
        assert_eq!(vhost.counts(queue).await, Counts { ready: 0, unacked: 1 }, "{queue}");

        channel.close(200, "OK".into()).await.unwrap();
        assert!(vhost.take(queue, 1, PATIENCE).await[0].redelivered, "{queue}");
        vhost.settled(queue, PATIENCE).await;
    }
}

#[tokio::test]
async fn consumers_are_counted() {
    let vhost = Broker::shared().await.vhost().await;
    let queue = vhost.queue("jobs");
    vhost.declare_classic(&queue).await;
    assert_eq!(vhost.consumers(&queue).await, 0);
    let channel = vhost.channel().await;
    let consumer = channel
        .basic_consume(
            queue.as_str().into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await
        .unwrap();
    assert_eq!(vhost.consumers(&queue).await, 1);
    drop(consumer);
    vhost.delete_queue(&queue).await;
}

#[tokio::test]
async fn rabbitmqctl_speaks_to_our_node() {
    let Some(vhost) = own_vhost().await else { return };
    vhost.declare_classic("jobs").await;
    let listed = vhost.broker().ctl(&["list_queues", "-p", vhost.name(), "--no-table-headers", "name"]).await;
    assert_eq!(listed.trim(), "jobs");
}

#[tokio::test]
async fn clients_connect_with_tls() {
    let Some(vhost) = own_vhost().await else { return };
    let tls = vhost.broker().certificates().trust();
    let connection = broker::connect(&vhost.amqps_url(), tls).await.unwrap();
    let _channel = connection.create_channel().await.unwrap();
    connection.close(200, "OK".into()).await.unwrap();
}

#[tokio::test]
async fn an_unknown_authority_is_not_trusted() {
    let Some(vhost) = own_vhost().await else { return };
    let error = broker::connect(&vhost.amqps_url(), OwnedTLSConfig::default()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::IOError(_)), "{error:?}");
}

#[tokio::test]
async fn a_client_certificate_logs_in() {
    let Some(vhost) = own_vhost().await else { return };
    let certificates = vhost.broker().certificates();
    let connection = broker::connect(&vhost.amqps_external_url(), certificates.login()).await.unwrap();
    let _channel = connection.create_channel().await.unwrap();
    connection.close(200, "OK".into()).await.unwrap();

    let error = broker::connect(&vhost.amqps_external_url(), certificates.trust()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ProtocolError(_)), "without a certificate: {error:?}");
    for file in [&vhost.broker().client_files().certificate, &vhost.broker().client_files().key] {
        assert!(file.exists(), "{}", file.display());
    }
}

#[tokio::test]
async fn a_cut_ends_the_connection_and_a_new_one_works_once_restored() {
    let vhost = Broker::shared().await.vhost().await;
    let proxy = Proxy::start(vhost.broker().addr().await).await.unwrap();
    let url = vhost.amqp_url_at(proxy.addr());
    let connection = broker::connect(&url, OwnedTLSConfig::default()).await.unwrap();
    assert_eq!(proxy.connections(), 1);

    proxy.cut();
    eventually("the client notices", PATIENCE, async || !connection.status().connected()).await;
    broker::connect(&url, OwnedTLSConfig::default()).await.unwrap_err();

    proxy.restore();
    broker::connect(&url, OwnedTLSConfig::default()).await.unwrap();
}

#[tokio::test]
async fn a_frozen_connection_misses_its_heartbeats() {
    let vhost = Broker::shared().await.vhost().await;
    let proxy = Proxy::start(vhost.broker().addr().await).await.unwrap();
    let url = format!("{}?heartbeat=1", vhost.amqp_url_at(proxy.addr()));
    let connection = broker::connect(&url, OwnedTLSConfig::default()).await.unwrap();
    proxy.freeze();
    assert!(connection.status().connected(), "nobody told the client");
    eventually("the client misses heartbeats", PATIENCE, async || !connection.status().connected()).await;

    proxy.restore();
    broker::connect(&url, OwnedTLSConfig::default()).await.unwrap();
}

#[tokio::test]
async fn a_frozen_answer_arrives_after_restore() {
    let vhost = Broker::shared().await.vhost().await;
    let proxy = Proxy::start(vhost.broker().addr().await).await.unwrap();
    let connection =
        broker::connect(&vhost.amqp_url_at(proxy.addr()), OwnedTLSConfig::default()).await.unwrap();
    proxy.freeze();
    let opened = connection.create_channel();
    tokio::pin!(opened);
    tokio::time::timeout(Duration::from_millis(300), &mut opened).await.unwrap_err();
    proxy.restore();
    tokio::time::timeout(PATIENCE, opened).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_node_of_ones_own_comes_back_after_a_kill_and_leaves_nothing() {
    if !Broker::shared().await.is_ours() {
        return;
    }
    let broker = Broker::start().await;
    let vhost = broker.vhost().await;
    vhost.declare_quorum("jobs").await;
    vhost.publish("jobs", BasicProperties::default().with_delivery_mode(2), b"kept").await;
    broker.kill().await;
    broker::connect(&vhost.amqp_url(), OwnedTLSConfig::default()).await.unwrap_err();
    broker.restart().await;
    let vhost = vhost.reconnect().await;
    // A request to a queue that has no leader yet is not answered.
    eventually("the queue is back", PATIENCE, async || vhost.depth("jobs").await == 1).await;
    assert_eq!(vhost.take("jobs", 1, PATIENCE).await[0].body, b"kept");

    let (process, dir) = (broker.process(), broker.dir().to_owned());
    assert!(broker::is_alive(process) && dir.exists());
    drop((broker, vhost));
    eventually("the node is gone", PATIENCE, async || !broker::is_alive(process) && !dir.exists()).await;
}

#[tokio::test]
#[should_panic(expected = "the answer: not within 30ms; last seen: 41")]
async fn a_wait_in_vain_tells_what_it_saw_last() {
    eventually("the answer", Duration::from_millis(30), async || Err::<(), _>(41)).await;
}

#[tokio::test]
#[should_panic(expected = "the answer: not within 30ms; the last look did not return")]
async fn a_look_that_hangs_does_not_hang_the_test() {
    eventually("the answer", Duration::from_millis(30), async || std::future::pending::<bool>().await).await;
}
