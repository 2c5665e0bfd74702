//! Each kind of fault, and which requests a rule strikes.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use super::{FLOW, HEADERS, Options, Reply, Sim, hubspot};
use crate::simulator::capacity::Capacity;
use crate::simulator::latency::Latency;

/// The answer to a create that this fault strikes, and how many connections there are then.
async fn struck(rule: Value) -> (Option<Reply>, Value) {
    let sim = Sim::start(Options::default()).await;
    sim.fault(rule).await;
    let reply = sim.try_create("a", "").await;
    let report = sim.report().await;
    assert_eq!(report["faults"].as_object().unwrap().values().collect::<Vec<_>>(), [&json!(1)]);
    (reply, report["created"].clone())
}

#[tokio::test]
async fn close_closes_before_or_after_creating() {
    for (when, created) in [("before", 0), ("after", 1)] {
        let (reply, count) = struck(json!({ "when": when, "fault": { "kind": "close" } })).await;
        assert!(reply.is_none());
        assert_eq!(count, created, "{when}");
    }
}

#[tokio::test]
async fn status_answers_with_an_error_before_or_after_creating() {
    for (when, created) in [("before", 0), ("after", 1)] {
        let (reply, count) =
            struck(json!({ "when": when, "fault": { "kind": "status", "status": 503 } })).await;
        let reply = reply.unwrap();
        assert_eq!((reply.status, reply.code().as_str()), (503, "FLOW-1103-503"));
        assert_eq!(count, created, "{when}");
    }
}

#[tokio::test]
async fn status_takes_every_shape() {
    for (fault, code) in [
        (json!({ "kind": "status", "status": 400, "code": "1100-400", "message": "m" }), "FLOW-1100-400"),
        (json!({ "kind": "status", "status": 403, "form": "gateway", "code": "503020" }), "503020"),
        (json!({ "kind": "status", "status": 401, "form": "gateway" }), "401013"),
        (
            json!({ "kind": "status", "status": 401, "form": "ims", "code": "invalid_client" }),
            "invalid_client",
        ),
    ] {
        let (reply, _) = struck(json!({ "fault": fault })).await;
        let reply = reply.unwrap();
        assert_eq!((json!(reply.status), reply.code().as_str()), (fault["status"].clone(), code));
    }
    let raw = json!({ "kind": "status", "status": 502, "form": "raw", "body": "<html>", "retryAfter": "-1" });
    let reply = struck(json!({ "fault": raw })).await.0.unwrap();
    assert_eq!((reply.status, reply.body.as_slice()), (502, b"<html>".as_slice()));
    assert_eq!((reply.header("content-type"), reply.header("retry-after")), (Some("text/html"), Some("-1")));
}

#[tokio::test]
async fn throttle_answers_as_the_gateway_does() {
    let absurd = "Fri, 31 Dec 9999 23:59:59 GMT";
    let reply = struck(json!({ "fault": { "kind": "throttle", "retryAfter": absurd } })).await.0.unwrap();
    assert_eq!((reply.status, reply.code().as_str()), (429, "429050"));
    assert_eq!(reply.header("retry-after"), Some(absurd));
    let reply = struck(json!({ "fault": { "kind": "throttle" } })).await.0.unwrap();
    assert_eq!((reply.code().as_str(), reply.header("retry-after")), ("429001", None));
}

#[tokio::test]
async fn truncate_sends_half_of_the_body_of_a_created_connection() {
    let (reply, created) = struck(json!({ "fault": { "kind": "truncate" } })).await;
    let reply = reply.unwrap();
    let promised: usize = reply.header("content-length").unwrap().parse().unwrap();
    assert_eq!((reply.status, reply.body.len()), (201, promised / 2));
    assert!(reply.body.starts_with(b"{\"id\":\""));
    assert_eq!(created, 1);
}

#[tokio::test]
async fn invalid_json_hides_a_created_connection() {
    let (reply, created) = struck(json!({ "fault": { "kind": "invalid_json" } })).await;
    let reply = reply.unwrap();
    assert_eq!(reply.status, 201);
    assert!(serde_json::from_slice::<Value>(&reply.body).is_err());
    assert_eq!(created, 1);
}

#[tokio::test]
async fn huge_sends_so_many_bytes() {
    let (reply, created) = struck(json!({ "fault": { "kind": "huge", "bytes": 3_000_001 } })).await;
    let reply = reply.unwrap();
    assert_eq!((reply.status, reply.body.len(), created), (201, 3_000_001, json!(1)));
    let unread = json!({ "fault": { "kind": "huge", "bytes": u64::MAX }, "count": 1 });
    let sim = Sim::start(Options::default()).await;
    sim.fault(unread).await;
    let mut stream = sim.send("POST", &format!("{FLOW}/connections"), &HEADERS, b"").await;
    stream.read_exact(&mut vec![0; 1_000_000]).await.unwrap();
    drop(stream);
    assert_eq!(sim.try_create("a", "").await.unwrap().status, 201);
}

#[tokio::test]
async fn redirect_sends_the_client_elsewhere() {
    let location = "http://127.0.0.1:1/";
    let (reply, created) = struck(json!({ "fault": { "kind": "redirect", "location": location } })).await;
    let reply = reply.unwrap();
    assert_eq!((reply.status, reply.header("location"), created), (307, Some(location), json!(0)));
}

#[tokio::test]
async fn echo_repeats_every_secret() {
    let reply = struck(json!({ "fault": { "kind": "echo" } })).await.0.unwrap();
    let message = reply.json()["errorMessage"].as_str().unwrap().to_owned();
    assert_eq!(reply.status, 400);
    assert!(message.contains("Bearer fixed") && message.contains(r#""accessToken":"s2""#), "{message}");
}

#[tokio::test]
async fn hang_never_answers_and_counts_as_unanswered_once_the_client_leaves() {
    for (when, created) in [("before", 0), ("after", 1)] {
        let sim = Sim::start(Options::default()).await;
        sim.fault(json!({ "when": when, "fault": { "kind": "hang" } })).await;
        let body = hubspot("a", "").to_string();
        let stream = sim.send("POST", &format!("{FLOW}/connections"), &HEADERS, body.as_bytes()).await;
        while sim.report().await["faults"]["hang"] != 1 {}
        assert_eq!(sim.report().await["unanswered"], 0);
        drop(stream);
        while sim.report().await["unanswered"] != 1 {}
        assert_eq!(sim.report().await["created"], created, "{when}");
    }
}

#[tokio::test]
async fn a_delayed_create_happens_although_the_client_has_left() {
    let sim = Sim::start(Options::default()).await;
    sim.fault(json!({ "fault": { "kind": "delay", "ms": 50 } })).await;
    let body = hubspot("a", "").to_string();
    let stream = sim.send("POST", &format!("{FLOW}/connections"), &HEADERS, body.as_bytes()).await;
    while sim.report().await["faults"]["delay"] != 1 {}
    drop(stream);
    while sim.report().await["unanswered"] != 1 {}
    while sim.report().await["created"] != 1 {}
}

#[tokio::test]
async fn a_late_answer_comes_after_the_connection_exists() {
    let sim = Sim::start(Options::default()).await;
    sim.fault(json!({ "when": "after", "fault": { "kind": "delay", "ms": 3_600_000 } })).await;
    let body = hubspot("a", "").to_string();
    let _stream = sim.send("POST", &format!("{FLOW}/connections"), &HEADERS, body.as_bytes()).await;
    while sim.report().await["created"] != 1 {}
    assert_eq!(sim.report().await["statuses"], json!({}));
}

#[tokio::test]
async fn latency_delays_every_answer() {
    let sim = Sim::start(Options { latency: Latency::Fixed { ms: 40 }, ..Options::default() }).await;
    let begin = tokio::time::Instant::now();
    sim.create("a", "").await;
    assert!(begin.elapsed() >= Duration::from_millis(40));
}

#[tokio::test]
async fn a_rule_strikes_so_often_and_is_gone() {
    let sim = Sim::start(Options::default()).await;
    sim.fault(json!({ "count": 2, "fault": { "kind": "throttle" } })).await;
    for status in [429, 429, 201] {
        assert_eq!(sim.try_create("a", "").await.unwrap().status, status);
    }
    assert_eq!(sim.control("GET", "faults", &Value::Null).await.json(), json!({ "faults": [] }));
}

#[tokio::test]
async fn a_rule_strikes_only_the_name_and_endpoint_it_names() {
    let sim = Sim::start(Options::default()).await;
    sim.fault(json!([
        { "name": "a", "fault": { "kind": "status", "status": 500 } },
        { "endpoint": "find", "fault": { "kind": "status", "status": 504 } },
        { "endpoint": "token", "fault": { "kind": "status", "status": 400, "form": "ims" } },
    ]))
    .await;
    assert_eq!(sim.try_create("a", "").await.unwrap().status, 500);
    assert_eq!(sim.try_create("ab", "").await.unwrap().status, 201);
    assert_eq!(sim.flow("GET", "/connections").await.status, 504);
    assert_eq!(sim.flow("GET", "/connections/x").await.status, 404);
    assert_eq!(sim.token("").await.code(), "invalid_request");
    sim.fault(json!({ "endpoint": "any", "fault": { "kind": "status", "status": 502 } })).await;
    assert_eq!(sim.flow("GET", "/connections/x").await.status, 502);
    assert_eq!(sim.try_create("a", "").await.unwrap().status, 500, "the first rule in the list acts");
}

#[tokio::test]
async fn a_rate_strikes_its_share() {
    let sim = Sim::start(Options { seed: Some(7), ..Options::default() }).await;
    sim.fault(json!({ "rate": 0.3, "fault": { "kind": "throttle" } })).await;
    sim.fault(json!({ "rate": 0.0, "fault": { "kind": "close" } })).await;
    for _ in 0..200 {
        sim.try_create("a", "").await.unwrap();
    }
    let throttled = sim.report().await["statuses"]["429"].as_u64().unwrap();
    assert!((40..=80).contains(&throttled), "{throttled}");
}

#[tokio::test]
async fn calls_beyond_the_capacity_are_answered_429_and_ims_bears_any_number() {
    for tells_when in [false, true] {
        let capacity = Some(Capacity { per_second: 1, tells_when });
        let sim = Sim::start(Options { capacity, ..Options::default() }).await;
        assert_eq!(sim.try_create("a", "").await.unwrap().status, 201);
        let refused = sim.try_create("b", "").await.unwrap();
        assert_eq!((refused.status, refused.header("retry-after")), (429, tells_when.then_some("1")));
        let report = sim.report().await;
        assert_eq!((&report["created"], &report["statuses"]["429"]), (&json!(1), &json!(1)));
    }
}

#[tokio::test]
async fn a_rule_can_strike_one_organisation_alone() {
    let sim = Sim::start(Options::default()).await;
    sim.fault(json!({ "org": "2@AdobeOrg", "fault": { "kind": "status", "status": 503 } })).await;
    assert_eq!(sim.try_create("a", "").await.unwrap().status, 201);
    sim.fault(json!({ "org": "1@AdobeOrg", "fault": { "kind": "status", "status": 503 } })).await;
    assert_eq!(sim.try_create("b", "").await.unwrap().status, 503);
}
