//! What is looked at after the create: whether the connection is enabled, and whether it works.

use std::time::Duration;

use connection_worker::simulator::Options;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::corner::{Corner, SOON, job};
use crate::support::eventually::eventually;
use crate::support::scene::Scene;

/// What a reply says of it.
fn told(reply: &Value) -> [Value; 3] {
    assert_eq!(reply["status"], "created", "{reply}");
    ["state", "verified", "unverifiedReason"].map(|key| reply["connection"][key].clone())
}

/// The calls for one connection: created, looked at, tested, deleted.
async fn calls(corner: &Corner) -> [Value; 4] {
    let report = corner.sim.report().await;
    ["create", "get", "test", "delete"].map(|endpoint| report["requests"][endpoint].clone())
}

fn state(state: &str, count: Option<u32>) -> Value {
    json!({ "endpoint": "get", "count": count, "fault": { "kind": "state", "state": state } })
}

#[tokio::test]
async fn a_connection_is_waited_for_until_it_is_enabled() {
    let scene = Scene::start(&[("VERIFY", "enabled")]).await;
    scene
        .sim
        .fault(json!([
            { "endpoint": "get", "count": 1, "fault": { "kind": "status", "status": 404 } },
            state("initializing", Some(1)),
            { "endpoint": "get", "count": 1, "fault": { "kind": "status", "status": 503 } },
        ]))
        .await;
    assert_eq!(told(&scene.ask(&job("j-1")).await), [json!("enabled"), json!(true), Value::Null]);
    assert_eq!(calls(&scene).await, [1, 4, 0, 0]);
    assert_eq!(scene.count(r#"verifications_total{result="verified"}"#).await, 1);
}

#[tokio::test]
async fn a_connection_that_takes_its_time_is_verified_in_the_end() {
    let options = Options { enable_after: Duration::from_millis(600), ..Options::default() };
    let scene = Scene::with(options, &[("VERIFY", "both")]).await;
    assert_eq!(told(&scene.ask(&job("j-1")).await), [json!("enabled"), json!(true), Value::Null]);
    let [created, looks, tests, _] = calls(&scene).await;
    assert!(created == 1 && looks.as_u64().unwrap() > 1 && tests == 1);
}

#[tokio::test]
async fn a_test_that_fails_is_told_and_the_connection_stays() {
    for (mode, seen, looks) in [("test", Value::Null, 0), ("both", json!("enabled"), 1)] {
        let scene = Scene::start(&[("VERIFY", mode)]).await;
        let mut bad = job("bad");
        // What the simulator takes for wrong credentials.
        bad["connection"]["auth"]["params"]["refreshToken"] = json!("invalid");
        assert_eq!(told(&scene.ask(&bad).await), [seen, json!(false), json!("test_failed")]);
        assert_eq!(calls(&scene).await, [1, looks, 1, 0]);
        assert_eq!(told(&scene.ask(&job("good")).await)[1], true);
        assert_eq!(scene.count(r#"verifications_total{result="test_failed"}"#).await, 1);
        scene.worker.wait_log("the connection exists and is not verified", PATIENCE).await;
    }
}

#[tokio::test]
async fn what_is_disabled_or_late_is_not_verified() {
    for shown in ["disabled", "initializing"] {
        let scene = Scene::start(&[("VERIFY", "both"), ("VERIFY_TIMEOUT", "500ms")]).await;
        scene.sim.fault(state(shown, None)).await;
        assert_eq!(told(&scene.ask(&job("j-1")).await), [json!(shown), json!(false), json!("not_enabled")]);
        let [created, _, tests, deleted] = calls(&scene).await;
        assert_eq!((created, tests, deleted), (json!(1), json!(0), json!(0)), "{shown}");
    }
}

#[tokio::test]
async fn what_cannot_be_found_out_makes_no_difference_to_the_connection() {
    for (mode, endpoint, fault) in [
        ("enabled", "get", json!({ "kind": "status", "status": 503 })),
        ("enabled", "get", json!({ "kind": "status", "status": 403 })),
        ("enabled", "get", json!({ "kind": "hang" })),
        ("test", "test", json!({ "kind": "close" })),
        ("test", "test", json!({ "kind": "throttle", "retryAfter": "3600" })),
        ("test", "test", json!({ "kind": "invalid_json" })),
    ] {
        let scene = Scene::start(&[("VERIFY", mode), ("VERIFY_TIMEOUT", "500ms")]).await;
        scene.sim.fault(json!({ "endpoint": endpoint, "fault": fault })).await;
        let reply = scene.ask(&job("j-1")).await;
        assert_eq!(told(&reply), [Value::Null, json!(false), json!("unavailable")], "{fault}");
        assert_eq!(calls(&scene).await[0], 1, "{fault}");
        assert_eq!(scene.count(r#"verifications_total{result="unavailable"}"#).await, 1, "{fault}");
        scene.settled().await;
        assert_eq!(scene.vhost.depth(&scene.dead_queue()).await, 0, "{fault}");
    }
}

#[tokio::test]
async fn unless_asked_for_nothing_is_looked_at() {
    let scene = Scene::start(&[]).await;
    let reply = scene.ask(&job("j-1")).await;
    assert_eq!(told(&reply), [const { Value::Null }; 3]);
    assert!(!reply.to_string().to_lowercase().contains("verified"), "{reply}");
    assert_eq!(calls(&scene).await, [1, 0, 0, 0]);
}

/// The worker dies while it looks; the next finds the connection, and looks again.
#[tokio::test]
async fn a_redelivered_job_is_verified_and_not_created_again() {
    let corner = Corner::new().await;
    let env = [&[("VERIFY", "both")], &SOON[..]].concat();
    corner.sim.fault(json!({ "endpoint": "get", "count": 1, "fault": { "kind": "hang" } })).await;
    let mut worker = corner.worker(&env).await;
    corner.submit(&job("j-1")).await;
    eventually("it looks", PATIENCE, async || corner.sim.report().await["requests"]["get"] == 1).await;
    worker.signal(Signal::SIGKILL);
    worker.wait(PATIENCE).await;

    let worker = corner.worker(&env).await;
    let reply = corner.reply().await.json();
    assert_eq!(told(&reply), [json!("enabled"), json!(true), Value::Null]);
    assert_eq!(reply["connection"]["recovered"], true, "{reply}");
    // And once more, from memory.
    let reply = corner.ask(&job("j-1")).await;
    assert_eq!(told(&reply), [json!("enabled"), json!(true), Value::Null]);
    assert_eq!(calls(&corner).await, [1, 3, 2, 0]);
    corner.end(worker).await;
}

#[tokio::test]
async fn a_worker_that_stops_answers_what_it_has_created() {
    let corner = Corner::new().await;
    corner.sim.fault(json!({ "endpoint": "test", "fault": { "kind": "hang" } })).await;
    let mut worker =
        corner.worker(&[("VERIFY", "both"), ("VERIFY_TIMEOUT", "45s"), ("DRAIN_GRACE", "20s")]).await;
    corner.submit(&job("j-1")).await;
    eventually("it looks", PATIENCE, async || corner.sim.report().await["requests"]["test"] == 1).await;
    worker.signal(Signal::SIGTERM);
    assert_eq!(worker.wait(PATIENCE).await.code(), Some(0));
    let reply = corner.reply().await.json();
    assert_eq!(told(&reply), [json!("enabled"), json!(false), json!("unavailable")]);
    assert_eq!(corner.vhost.depth(&corner.jobs_queue()).await, 0);
    corner.end(worker).await;
}

/// Flow Service knows the connection: it can quote it in its answer to any call, and ask for any wait.
#[tokio::test]
async fn neither_quotes_nor_endless_waits_in_other_calls_do_harm() {
    const SECRETS: [&str; 3] = ["hub-client-secret", "hub-access-token", "hub-refresh-token"];
    let env = [
        ("VERIFY", "both"),
        ("SPEC_VALIDATION", "remote"),
        ("RETRY_ATTEMPTS", "2"),
        ("RETRY_AFTER_MAX", "0s"),
    ];
    let scene = Scene::start(&[&env[..], &SOON[..]].concat()).await;
    let body = json!({ "message": format!("the connection has {SECRETS:?}") }).to_string();
    let rule = |endpoint: &str, status: u16| {
        let quoting = json!({
            "kind": "status", "status": status, "form": "raw", "contentType": "application/json", "body": body,
            "retryAfter": "9999999999999999999",
        });
        json!({ "endpoint": endpoint, "fault": quoting })
    };
    let lost = json!({ "endpoint": "create", "name": "connection lost", "fault": { "kind": "close" } });
    scene.sim.fault(json!([rule("specs", 400), rule("get", 503), rule("find", 503), lost])).await;
    let created = scene.ask(&job("j-1")).await;
    assert_eq!(told(&created)[2], "unavailable");
    let lost = scene.ask(&job("lost")).await;
    assert_eq!(lost["error"]["code"], "ambiguous", "{lost}");
    assert!(lost["error"]["message"].as_str().unwrap().contains("[redacted]"), "{lost}");
    scene.settled().await;
    let letters = scene.vhost.drain(&scene.dead_queue()).await;
    let told = format!("{created} {lost} {} {:?}", scene.worker.stderr(), letters[0].properties);
    assert!(SECRETS.iter().all(|secret| !told.contains(secret)), "{told}");
    assert!(
        told.contains("a connection spec cannot be had") && told.contains("a look at the connection failed"),
        "{told}"
    );
}
