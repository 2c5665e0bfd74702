//! A message that the AMQP client itself cannot read.

use serde_json::json;

use crate::support::broker::Broker;
use crate::support::scene::{Scene, job};

/// The worker never sees such a message: its arrival breaks the connection. It must not take its neighbours along, and the
/// broker must park it in the end.
#[tokio::test]
async fn a_message_that_is_not_utf8_hurts_only_itself() {
    let broker = Broker::shared().await;
    if !broker.is_ours() {
        return; // it takes the broker's own shell to publish such a message
    }
    let scene = Scene::start(&[("CONCURRENCY", "4")]).await;
    scene.submit(&job("before")).await;
    // The only property that is wrong; the lists are what `rabbit_basic:publish` takes in RabbitMQ 3.
    let published = broker
        .eval(&format!(
            "rabbit_basic:publish(rabbit_misc:r(<<\"{}\">>, exchange, <<>>), <<\"{}\">>, \
             [{{correlation_id, <<255,254>>}}, {{delivery_mode, 2}}], <<\"{{}}\">>).",
            scene.vhost.name(),
            scene.jobs_queue()
        ))
        .await;
    assert!(published.contains("ok"), "{published}");
    scene.submit_all((1..=20).map(|n| job(&format!("after-{n}")))).await;

    let mut answered: Vec<String> = Vec::new();
    while answered.len() < 21 {
        let reply = scene.reply().await.json();
        let id = reply["jobId"].as_str().expect("a job id").to_owned();
        assert_eq!(reply["status"], json!("created"), "{reply}");
        if !answered.contains(&id) {
            answered.push(id);
        }
    }
    scene.settled().await;
    assert_eq!(scene.vhost.depth(&scene.dead_queue()).await, 1, "the broker has parked the message");
}
