//! Flow Service is protected from the worker: what fails is called by a few probes only, and its jobs wait in the held queue.

use std::path::PathBuf;
use std::time::Duration;

use connection_worker::simulator::Options;
use connection_worker::simulator::latency::Latency;
use serde_json::json;

use crate::support::PATIENCE;
use crate::support::broker::Counts;
use crate::support::corner::{CLIENT_ID, CLIENT_SECRET, ORG, SOON, job};
use crate::support::eventually::eventually;
use crate::support::scene::Scene;

/// Far more than the worker has in flight.
const JOBS: usize = 400;

const FEW_AT_A_TIME: (&str, &str) = ("CONCURRENCY", "16");

async fn submit(scene: &Scene) {
    scene.submit_all((0..JOBS).map(|number| job(&format!("job-{number}")))).await;
}

/// Waits until this breaker is open, and all jobs have left the job queue: nearly all of them for the held queue.
async fn wait_held(scene: &Scene, breaker: &str) {
    eventually("the jobs are held back", PATIENCE, async || {
        let open = scene.count(&format!("circuit_breakers_open{{breaker=\"{breaker}\"}}")).await;
        let Counts { ready, unacked } = scene.vhost.counts(&scene.jobs_queue()).await;
        let held = scene.vhost.counts(&scene.held_queue()).await;
        let most = held.ready + held.unacked + 50 >= u64::try_from(JOBS).unwrap();
        if open == 1 && ready + unacked == 0 && most {
            Ok(())
        } else {
            Err((open, ready, unacked, held.ready))
        }
    })
    .await;
}

async fn calls(scene: &Scene) -> u64 {
    scene.sim.report().await["requests"]["create"].as_u64().unwrap()
}

/// While it is down, jobs wait in their queue and are not called for; when it is back, they are done.
#[tokio::test]
async fn an_ill_flow_service_is_left_in_peace() {
    let scene = Scene::start(&[&SOON[..], &[FEW_AT_A_TIME]].concat()).await;
    if !scene.vhost.broker().is_ours() {
        return;
    }
    let down = ["create", "find"]
        .map(|endpoint| json!({ "endpoint": endpoint, "fault": { "kind": "status", "status": 503 } }));
    scene.sim.fault(json!(down)).await;
    submit(&scene).await;
    wait_held(&scene, "create").await;
    // What was in flight when the breaker opened, and a few probes.
    let before = calls(&scene).await;
    assert!(before <= 20 + 2 * 16, "{before} calls");
    tokio::time::sleep(Duration::from_secs(6)).await;
    let probes = calls(&scene).await - before;
    assert!(probes <= 6, "{probes} creates in 6 s, although none can succeed");

    scene.sim.clear_faults().await;
    let replies = scene.replies(JOBS).await;
    assert!(replies.iter().all(|reply| reply.json()["status"] == "created"));
    scene.settled().await;
    assert_eq!(scene.vhost.depth(&scene.dead_queue()).await, 0);
    assert_eq!(scene.sim.report().await["created"], JOBS);
    // The gauge is brought up to date once a second.
    eventually("the breaker is closed", PATIENCE, async || {
        scene.count("circuit_breakers_open{breaker=\"create\"}").await == 0
    })
    .await;
}

/// A mistyped address, a firewall, a maintenance page: they hurt no job, and are told once.
#[tokio::test]
async fn what_answers_in_place_of_flow_service_ends_no_job() {
    let scene = Scene::start(&[&SOON[..], &[FEW_AT_A_TIME]].concat()).await;
    if !scene.vhost.broker().is_ours() {
        return;
    }
    let denied = json!({ "kind": "status", "status": 403, "form": "raw", "contentType": "text/html", "body": "<html>" });
    let everywhere = ["create", "find"].map(|endpoint| json!({ "endpoint": endpoint, "fault": denied }));
    scene.sim.fault(json!(everywhere)).await;
    submit(&scene).await;
    wait_held(&scene, "create").await;
    let before = calls(&scene).await;
    assert!(before <= 20 + 2 * 16, "{before} calls");
    assert_eq!(scene.vhost.depth(&scene.reply_queue()).await, 0, "nobody is told that it cannot be done");
    assert_eq!(scene.count("circuit_breakers_open{breaker=\"host\"}").await, 1);
    let told = scene.worker.stderr();
    let told: Vec<_> =
        told.lines().filter(|line| line.contains("WARN") && line.contains("text/html")).collect();
    assert!((1..=2).contains(&told.len()), "the breaker, and the host: {told:?}");
    assert!(told[0].contains("HTTP 403") && told[0].contains("FLOW_URL may be wrong"), "{told:?}");

    scene.sim.clear_faults().await;
    let replies = scene.replies(JOBS).await;
    assert!(replies.iter().all(|reply| reply.json()["status"] == "created"));
    scene.settled().await;
    assert_eq!(scene.vhost.depth(&scene.dead_queue()).await, 0);
}

#[tokio::test]
async fn when_all_jobs_are_refused_alike_the_configuration_is_suspected() {
    let scene = Scene::start(&[FEW_AT_A_TIME]).await;
    let unknown = json!({ "kind": "status", "status": 404, "form": "flow", "code": "2103-404" });
    scene.sim.fault(json!({ "endpoint": "create", "fault": unknown })).await;
    scene.submit_all((0..60).map(|number| job(&format!("job-{number}")))).await;
    let replies = scene.replies(60).await;
    assert!(replies.iter().all(|reply| reply.json()["error"]["code"] == "rejected"));
    assert_eq!(scene.count("all_jobs_refused").await, 1);
    assert_eq!(scene.worker.stderr().matches("it may be the configuration").count(), 1);

    scene.sim.clear_faults().await;
    assert_eq!(scene.ask(&job("job-60")).await["status"], "created");
    assert_eq!(scene.count("all_jobs_refused").await, 0);
}

#[tokio::test]
async fn while_the_credentials_are_refused_jobs_are_held_and_are_done_with_the_right_ones() {
    let dir = tempfile::tempdir().unwrap();
    let file: PathBuf = dir.path().join("secret");
    std::fs::write(&file, "revoked").unwrap();
    let options = Options { client_secrets: vec![CLIENT_SECRET.to_owned()], ..Options::default() };
    let credentials = [
        ("IMS_CLIENT_ID", CLIENT_ID),
        ("IMS_CLIENT_SECRET", ""),
        ("IMS_CLIENT_SECRET_FILE", file.to_str().unwrap()),
    ];
    let scene = Scene::with(options, &[&SOON[..], &[FEW_AT_A_TIME], &credentials].concat()).await;
    if !scene.vhost.broker().is_ours() {
        return;
    }
    submit(&scene).await;
    wait_held(&scene, "credentials").await;
    assert_eq!(scene.vhost.depth(&scene.reply_queue()).await, 0, "nobody is told that it cannot be done");
    assert_eq!(calls(&scene).await, 0);

    std::fs::write(&file, CLIENT_SECRET).unwrap();
    let replies = scene.replies(JOBS).await;
    assert!(replies.iter().all(|reply| reply.json()["status"] == "created"));
    scene.settled().await;
    assert_eq!(scene.vhost.depth(&scene.dead_queue()).await, 0);
}

#[tokio::test]
async fn an_organisation_has_no_more_calls_than_it_is_set_to() {
    let limits = [("ORG_CONCURRENCY", "2"), ("ORG_RATE", "1000")];
    let slow = Options { latency: Latency::Fixed { ms: 20 }, ..Options::default() };
    let scene = Scene::with(slow, &[&SOON[..], &limits].concat()).await;
    submit(&scene).await;
    let replies = scene.replies(JOBS).await;
    assert!(replies.iter().all(|reply| reply.json()["status"] == "created"));
    let report = scene.sim.report().await;
    assert_eq!(report["maxCreatesInFlight"], 2);
    assert_eq!(scene.count(&format!("organisation_concurrency_limit{{organisation=\"{ORG}\"}}")).await, 2);
    assert_eq!(scene.count(&format!("organisation_rate_limit{{organisation=\"{ORG}\"}}")).await, 1000);
}
