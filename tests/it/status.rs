//! The status page: what it shows is so, what it must not show is not in it, and a browser can make something of it.

use std::process::Stdio;
use std::time::Duration;

use connection_worker::simulator::Options;
use connection_worker::simulator::latency::Latency;
use lapin::BasicProperties;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::corner::{CLIENT_SECRET, ORG, SANDBOX, job, job_named};
use crate::support::eventually::eventually;
use crate::support::scene::Scene;
use crate::support::{PATIENCE, env, tell};

/// What the worker says of itself.
async fn state(scene: &Scene) -> Value {
    let answer = scene.worker.admin("/status.json").await.unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    serde_json::from_str(&answer.body).unwrap()
}

/// Two connections, one job that Flow Service refuses, one that is none.
async fn work(scene: &Scene) {
    let refusal =
        json!({ "kind": "status", "status": 400, "code": "1100-400", "message": "no <b>entry</b>" });
    scene.sim.fault(json!({ "name": "refused", "fault": refusal })).await;
    scene.ask(&job("a")).await;
    scene.ask(&job("b")).await;
    scene.ask(&job_named("c", "refused")).await;
    scene
        .submit_raw(BasicProperties::default().with_message_id("d".into()), b"<script>alert(1)</script>")
        .await;
    scene.reply().await;
    scene.settled().await;
}

#[tokio::test]
async fn the_state_is_what_the_worker_does() {
    let scene = Scene::start(&[]).await;
    let empty = state(&scene).await;
    assert_eq!(
        (&empty["health"]["word"], &empty["health"]["level"]),
        (&json!("taking jobs"), &json!("good"))
    );
    assert_eq!((&empty["lastFailures"], &empty["outcomes"]), (&json!([]), &json!([])));
    work(&scene).await;
    let state = eventually("the last job is counted", PATIENCE, async || {
        let state = state(&scene).await;
        if state["jobs"]["failed"] == 2.0 && state["jobs"]["inFlight"] == 0.0 {
            Ok(state)
        } else {
            Err(state)
        }
    })
    .await;
    assert_eq!((&state["jobs"]["created"], &state["jobs"]["received"]), (&json!(2.0), &json!(4.0)));
    assert_eq!((&state["calls"]["total"], &state["calls"]["inFlight"]), (&json!(3.0), &json!(0.0)));
    assert_eq!((&state["health"]["consume"], &state["health"]["publish"]), (&json!("up"), &json!("up")));
    assert_eq!(state["organisations"][0]["organisation"], ORG);
    assert_eq!(state["answers"], json!([{ "what": "201", "count": 2.0 }, { "what": "400", "count": 1.0 }]));
    let failures = state["lastFailures"].as_array().unwrap();
    let told: Vec<_> = failures.iter().map(|it| (&it["jobId"], &it["code"], &it["httpStatus"])).collect();
    let expected =
        [(&json!("d"), &json!("invalid_job"), &json!(null)), (&json!("c"), &json!("rejected"), &json!(400))];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn the_page_shows_it_without_a_script_and_lets_nothing_in() {
    let scene = Scene::start(&[]).await;
    work(&scene).await;
    eventually("the last job is counted", PATIENCE, async || state(&scene).await["jobs"]["failed"] == 2.0)
        .await;
    let page = scene.worker.admin("/").await.unwrap();
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(page.header(name), Some(value));
    }
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'nonce-") && !policy.contains("unsafe"),
        "{policy}"
    );
    let nonce = policy.split_once("'nonce-").unwrap().1.split_once('\'').unwrap().0;
    for tag in ["script", "style"] {
        assert_eq!(page.body.matches(&format!("<{tag}")).count(), 1, "{tag}");
        assert!(page.body.contains(&format!("<{tag} nonce=\"{nonce}\">")), "{tag}");
    }
    let again = scene.worker.admin("/").await.unwrap();
    assert!(!again.header("content-security-policy").unwrap().contains(nonce), "it was to be used once");
    for shown in [
        "<strong id=\"health\" data-value=\"/health/word\">taking jobs</strong>",
        "data-value=\"/jobs/created\">2</p>",
        &format!("<td>{ORG}</td>"),
        "<td>c</td><td>rejected</td><td>400</td><td>1</td>",
    ] {
        assert!(page.body.contains(shown), "no {shown} in {}", page.body);
    }
    for hidden in
        ["alert(1)", "entry", "hub-client-secret", "hub-access-token", CLIENT_SECRET, "connection a"]
    {
        assert!(!page.body.contains(hidden), "{hidden} is shown");
    }
}

#[tokio::test]
async fn a_flow_service_that_cannot_be_reached_is_seen_at_a_glance() {
    let nowhere = [("FLOW_URL", "http://127.0.0.1:1/flowservice"), ("BREAKER_FAILURES", "1")];
    let scene = Scene::start(&nowhere).await;
    scene.submit(&job("a")).await;
    let state = eventually("it is held back", PATIENCE, async || {
        let state = state(&scene).await;
        if state["health"]["level"] == "bad" { Ok(state) } else { Err(state) }
    })
    .await;
    assert_eq!(state["health"]["word"], "Flow Service cannot be reached");
    let sentence = state["heldBack"]["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("Flow Service cannot be reached: jobs wait in the held queue"), "{state}");
    let host = &state["heldBack"]["rows"][0];
    assert_eq!((&host["calls"], &host["organisation"]), (&json!("all calls"), &json!("all")), "{state}");
}

/// Nothing is green meanwhile, and it says for whom, where, why, since when and what comes next.
#[tokio::test]
async fn what_is_held_back_stands_on_top() {
    let scene = Scene::start(&[("BREAKER_FAILURES", "1"), ("RETRY_BASE", "1ms")]).await;
    scene.sim.fault(json!({ "endpoint": "create", "fault": { "kind": "status", "status": 500 } })).await;
    scene.submit(&job("a")).await;
    scene.submit(&job("b")).await;
    let state = eventually("creates are held back", PATIENCE, async || {
        let state = state(&scene).await;
        if state["heldBack"]["rows"].as_array().is_some_and(|rows| !rows.is_empty()) {
            Ok(state)
        } else {
            Err(state)
        }
    })
    .await;
    assert_eq!(
        (&state["health"]["level"], &state["health"]["word"]),
        (&json!("doubtful"), &json!("some calls are held back"))
    );
    let row = &state["heldBack"]["rows"][0];
    assert_eq!(
        (&row["calls"], &row["organisation"], &row["sandbox"]),
        (&json!("creates"), &json!(ORG), &json!(SANDBOX)),
        "{state}"
    );
    assert_eq!(row["why"], "Flow Service failed: the connection may exist");
    assert!(row["since"].as_str().unwrap().ends_with(" ago"), "{row}");
    let next = row["next"].as_str().unwrap();
    assert!(next == "with the next job" || next.starts_with("in "), "{row}");
    let clause = "Calls are held back at 1 circuit breaker for 1 organisation";
    assert!(state["heldBack"]["sentence"].as_str().unwrap().starts_with(clause), "{state}");
    let breakers = state["breakers"].as_array().unwrap();
    let create = breakers.iter().find(|breaker| breaker["breaker"] == "create").unwrap();
    assert_eq!((&create["open"], &create["opened"]), (&json!(1), &json!(1.0)), "{state}");
    let page = scene.worker.admin("/").await.unwrap();
    for shown in [clause, "<td>creates</td>", "data-level=\"doubtful\""] {
        assert!(page.body.contains(shown), "no {shown} in {}", page.body);
    }
}

/// `make status-page` asks for it; it needs Chromium and Node.js, and takes the picture for the README.
#[tokio::test]
async fn a_browser_draws_what_the_worker_does() {
    let Some(png) = env("STATUS_PAGE") else {
        return tell("status: no browser was asked for; `make status-page` does");
    };
    let latency = Latency::Uniform { min_ms: 30, max_ms: 120 };
    let scene = Scene::with(Options { latency, ..Options::default() }, &[]).await;
    scene.sim.fault(json!([
        { "rate": 0.02, "fault": { "kind": "status", "status": 503, "form": "gateway", "code": "503010" } },
        { "name": "refused", "fault": { "kind": "status", "status": 400, "code": "1100-400" } },
    ])).await;
    let url = format!("http://{}/", scene.worker.logged_admin_addr().unwrap());
    let root = env!("CARGO_MANIFEST_DIR");
    let browser = Command::new("node")
        .args([&format!("{root}/deploy/dev/status-page.mjs"), &url, &format!("{root}/{png}"), "90"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let feeding = async {
        for number in 0_u32.. {
            // Waves, so that there is something to see.
            let size = 20 + (number % 12).abs_diff(6) * 8;
            scene
                .submit_all((0..size).map(|index| {
                    let name = if index == 7 && number % 3 == 0 { "refused" } else { "connection" };
                    job_named(&format!("onboarding-{number}-{index}"), name)
                }))
                .await;
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
    };
    let seen = tokio::select! {
        seen = browser.wait_with_output() => seen.unwrap(),
        () = feeding => unreachable!(),
    };
    assert!(seen.status.success(), "{seen:?}");
    let seen: Value = serde_json::from_slice(&seen.stdout).unwrap();
    for view in ["wide", "narrow"] {
        let view = &seen[view];
        assert_eq!((&view["health"], &view["refused"]), (&json!("taking jobs"), &json!([])), "{seen}");
        assert!(view["created"].as_str().unwrap().parse::<u32>().unwrap() > 100, "{seen}");
        assert!(view["rate"].as_str().unwrap().ends_with(" a second"), "{seen}");
        assert!(view["points"].as_u64().unwrap() > 10 && view["failures"].as_u64().unwrap() > 0, "{seen}");
        assert!(view["latency"].as_str().unwrap().parse::<u32>().is_ok(), "{seen}");
        assert_eq!(view["isWiderThanItsWindow"], false, "{seen}");
    }
    tell(&format!("status: {seen}"));
}
