//! A message that the AMQP client itself cannot read.

use serde_json::json;

use crate::support::broker::{Broker, Message};
use crate::support::corner::job;
use crate::support::scene::Scene;

/// The worker never sees such a message: its arrival breaks the connection. It must not take its neighbours along, and the
/// broker must park it in the end.
#[tokio::test]
async fn a_message_that_is_not_utf8_hurts_only_itself() {
    if !Broker::shared().await.is_ours() {
        return; // it takes the broker's own shell to publish such a message
    }
    let scene = Scene::start(&[("CONCURRENCY", "4")]).await;
    scene.submit(&job("before")).await;
    scene.vhost.publish_improper(&scene.jobs_queue(), "{correlation_id, <<255,254>>}").await;
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

/// The client's parser calls itself for each level, on a thread whose stack is not ours to size.
#[tokio::test]
async fn deeply_nested_headers_do_not_end_the_process() {
    if !Broker::shared().await.is_ours() {
        return;
    }
    let scene = Scene::start(&[]).await;
    let nested = "lists:foldl(fun(_, T) -> [{<<\"a\">>, table, T}] end, [], lists:seq(1, 16000))";
    let properties = format!("{{message_id, <<\"nested\">>}}, {{headers, {nested}}}");
    scene.vhost.publish_improper(&scene.jobs_queue(), &properties).await;
    scene.submit(&job("after")).await;
    let replies = scene.replies(2).await;
    let code = |id: &str| {
        let reply = replies.iter().map(Message::json).find(|reply| reply["jobId"] == id).expect("a reply");
        (reply["status"].clone(), reply["error"]["code"].clone())
    };
    assert_eq!(code("nested"), (json!("failed"), json!("invalid_job")));
    assert_eq!(code("after"), (json!("created"), json!(null)));
    scene.settled().await;
    assert_eq!(scene.count("amqp_session_failures_total").await, 0);
}
