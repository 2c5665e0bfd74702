//! One organisation's jobs do not keep another's waiting: not by their number, and not by their calls.

use connection_worker::simulator::Options;
use connection_worker::simulator::latency::Latency;
use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::broker::Message;
use crate::support::corner::{SOON, job};
use crate::support::eventually::eventually;
use crate::support::scene::Scene;

const A: &str = "A@AdobeOrg";
const B: &str = "B@AdobeOrg";

/// Far more than the worker has places for.
const FLOOD: usize = 300;

const PLACES: (&str, &str) = ("CONCURRENCY", "16");

fn job_of(org: &str, id: &str) -> Value {
    let mut job = job(id);
    job["imsOrgId"] = org.into();
    job
}

/// A worker that has heard of both.
async fn scene(options: Options) -> Scene {
    let scene = Scene::with(options, &[&SOON[..], &[PLACES]].concat()).await;
    for (org, id) in [(A, "the-first-of-a"), (B, "the-first-of-b")] {
        scene.ask(&job_of(org, id)).await;
    }
    scene
}

async fn submit_flood(scene: &Scene) {
    scene.submit_all((0..FLOOD).map(|number| job_of(A, &format!("a-{number}")))).await;
}

#[tokio::test]
async fn while_calls_of_one_organisation_hang_the_jobs_of_another_are_done() {
    let scene = scene(Options::default()).await;
    scene.sim.fault(json!({ "org": A, "fault": { "kind": "hang" } })).await;
    submit_flood(&scene).await;
    eventually("calls hang", PATIENCE, async || {
        scene.count("http_requests_in_flight{upstream=\"flow\"}").await > 5
    })
    .await;
    // One after the other: each finds a place.
    for number in 0..10 {
        let reply = scene.ask(&job_of(B, &format!("b-{number}"))).await;
        assert_eq!(reply["status"], "created", "{reply}");
    }
    // None of a's calls has ended, and it has left a slot to b; what is beyond its share waits elsewhere.
    let report = scene.sim.report().await;
    let hung = report["faults"]["hang"].as_u64().unwrap();
    assert!(hung < 16, "{report}");
    assert!(scene.count("jobs_moved_total{from=\"jobs\",to=\"overflow\"}").await > 0);
}

#[tokio::test]
async fn what_is_beyond_an_organisations_share_is_done_in_the_end_and_burns_no_attempt() {
    let slow = Options { latency: Latency::Fixed { ms: 50 }, ..Options::default() };
    let scene = scene(slow).await;
    submit_flood(&scene).await;
    scene.submit(&job_of(B, "b")).await;
    let replies = scene.replies(FLOOD + 1).await;
    for reply in replies.iter().map(Message::json) {
        assert_eq!((&reply["status"], &reply["attempts"]), (&"created".into(), &1.into()), "{reply}");
    }
    scene.settled().await;
    assert_eq!(scene.vhost.depth(&scene.dead_queue()).await, 0);
    assert_eq!(scene.sim.report().await["created"], FLOOD + 3);
}
