//! The report and the rest of the control API.

use serde_json::{Value, json};

use super::{Options, Sim};

#[tokio::test]
async fn the_report_names_duplicates_by_marker_and_by_name() {
    let sim = Sim::start(Options::default()).await;
    for (name, description) in [
        ("a", "x [job 1]"),
        ("a", "y [job 1]"),
        ("b", "x [job 1]"),
        ("a", "x [job 2]"),
        ("plain", "x"),
        ("plain", "y"),
        ("single", ""),
    ] {
        sim.create(name, description).await;
    }
    let report = sim.report().await;
    assert_eq!((&report["created"], &report["distinct"]), (&json!(7), &json!(4)));
    assert_eq!(report["distinctMarkers"], 2);
    assert_eq!(report["duplicates"], json!({ "extra": 3, "byMarker": { "1": 3 }, "byName": { "plain": 2 } }));
    assert_eq!((&report["requests"]["create"], &report["statuses"]), (&json!(7), &json!({ "201": 7 })));
    assert_eq!((&report["unanswered"], &report["maxCreatesInFlight"]), (&json!(0), &json!(1)));
}

#[tokio::test]
async fn a_deleted_duplicate_is_still_one() {
    let sim = Sim::start(Options::default()).await;
    let id = sim.create("a", "[job 1]").await;
    sim.flow("DELETE", &format!("/connections/{id}")).await;
    sim.create("a", "[job 1]").await;
    let report = sim.report().await;
    assert_eq!((&report["duplicates"]["byMarker"]["1"], &report["stored"]), (&json!(2), &json!(1)));
}

#[tokio::test]
async fn the_last_create_requests_are_shown_whole() {
    let sim = Sim::start(Options { max_requests: 2, ..Options::default() }).await;
    for name in ["a", "b", "c"] {
        sim.create(name, "").await;
    }
    sim.post(&[("x-twice", "1"), ("x-twice", "2")], b"not JSON").await.unwrap();
    let shown = sim.control("GET", "requests?limit=5", &Value::Null).await.json();
    let shown = shown["requests"].as_array().unwrap();
    assert_eq!(shown.len(), 2);
    assert!(shown[0]["body"].as_str().unwrap().contains(r#""accessToken":"s2""#));
    assert_eq!(shown[0]["headers"]["authorization"], "Bearer fixed");
    assert_eq!(shown[0]["version"], "HTTP/1.1");
    assert_eq!((&shown[1]["body"], &shown[1]["headers"]["x-twice"]), (&json!("not JSON"), &json!("1, 2")));
    let last = sim.control("GET", "requests?limit=1", &Value::Null).await.json();
    assert_eq!(last["requests"], json!([shown[1]]));
    assert_eq!(sim.control("GET", "requests?limit=x", &Value::Null).await.status, 400);
}

#[tokio::test]
async fn rules_are_listed_in_order_and_dropped() {
    let sim = Sim::start(Options::default()).await;
    sim.fault(json!({ "rate": 0.5, "fault": { "kind": "close" } })).await;
    sim.fault(json!([{ "fault": { "kind": "hang" } }, { "fault": { "kind": "huge", "bytes": 5 } }])).await;
    let kinds = |reply: Value| {
        let rules = reply["faults"].as_array().unwrap().clone();
        rules.iter().map(|rule| rule["fault"]["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let list = sim.control("GET", "faults", &Value::Null).await.json();
    assert_eq!(
        list["faults"][0],
        json!({ "id": 1, "acted": 0, "endpoint": "create", "rate": 0.5, "fault": { "kind": "close" } })
    );
    assert_eq!(kinds(list), ["close", "hang", "huge"]);
    assert_eq!(kinds(sim.control("DELETE", "faults/2", &Value::Null).await.json()), ["close", "huge"]);
    assert_eq!(sim.control("DELETE", "faults/2", &Value::Null).await.status, 404);
    assert!(kinds(sim.control("DELETE", "faults", &Value::Null).await.json()).is_empty());
}

#[tokio::test]
async fn nonsense_is_refused_with_a_reason() {
    let sim = Sim::start(Options::default()).await;
    for (method, path, body) in [
        ("POST", "faults", json!({ "fault": { "kind": "explode" } })),
        ("POST", "faults", json!({ "fault": { "kind": "close" }, "rate": -1 })),
        ("POST", "faults", json!([{ "fault": { "kind": "close" } }, {}])),
        ("POST", "secrets", json!(null)),
        ("PUT", "settings", json!({ "latency": { "kind": "fixed" } })),
    ] {
        let reply = sim.control(method, path, &body).await;
        assert_eq!(reply.status, 400, "{path} {body}");
        assert!(reply.json()["error"].is_string());
    }
    assert_eq!(sim.control("GET", "faults", &Value::Null).await.json(), json!({ "faults": [] }));
    assert_eq!(sim.control("GET", "nothing", &Value::Null).await.status, 404);
}

#[tokio::test]
async fn a_reset_goes_back_to_the_start() {
    let at_start = r#"{"name":"never","fault":{"kind":"close"}}"#;
    let sim = Sim::start(Options { faults: vec![at_start.parse().unwrap()], ..Options::default() }).await;
    sim.create("a", "").await;
    sim.fault(json!({ "fault": { "kind": "throttle" } })).await;
    sim.control("PUT", "settings", &json!({ "latency": { "kind": "fixed", "ms": 1 } })).await;
    assert_eq!(sim.control("POST", "reset", &Value::Null).await.status, 200);
    let report = sim.report().await;
    assert_eq!(
        (&report["created"], &report["stored"], &report["requests"]["create"]),
        (&json!(0), &json!(0), &json!(0))
    );
    assert_eq!(sim.control("GET", "requests", &Value::Null).await.json(), json!({ "requests": [] }));
    let settings = sim.control("GET", "settings", &Value::Null).await.json();
    assert_eq!(settings, json!({ "latency": { "kind": "none" }, "findLagMs": 0, "enableAfterMs": 0 }));
    assert_eq!(sim.names("").await, Vec::<String>::new());
    sim.create("a", "").await;
    assert!(sim.try_create("never", "").await.is_none());
}
