//! A job that ends the worker each time it is tried: found, tried alone, parked; the others are done.

use std::time::Duration;

use lapin::BasicProperties;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::PATIENCE;
use crate::support::broker::Broker;
use crate::support::corner::{Corner, SOON, job};
use crate::support::eventually::eventually;
use crate::support::worker::WorkerProcess;

/// How many others there are.
const OTHERS: usize = 30;

/// It is tried so often with less in hand,
const TRIALS: usize = 5;

/// and so often alone.
const ALONE: usize = 3;

/// Kills the worker each time that it calls Flow Service for the killer; gives the number of jobs that were in hand each
/// time, until the killer is parked.
async fn until_parked(corner: &Corner, mut worker: WorkerProcess) -> (Vec<u64>, WorkerProcess) {
    let mut in_hand = Vec::new();
    let calls = async || {
        let requests = corner.sim.requests().await;
        requests
            .iter()
            .filter(|request| request["body"].as_str().unwrap().contains("connection killer"))
            .count()
    };
    loop {
        let seen = in_hand.len();
        let parked = eventually("the killer is called for, or parked", PATIENCE, async || {
            match (calls().await > seen, corner.vhost.depth(&corner.dead_queue()).await) {
                (true, _) => Ok(false),
                (false, 1) => Ok(true),
                (false, _) => Err("neither"),
            }
        })
        .await;
        if parked {
            return (in_hand, worker);
        }
        in_hand.push(corner.vhost.counts(&corner.jobs_queue()).await.unacked);
        worker.signal(Signal::SIGKILL);
        worker.wait(PATIENCE).await;
        worker = corner.worker(&ENV).await;
    }
}

const ENV: [(&str, &str); 6] = [SOON[0], SOON[1], SOON[2], SOON[3], SOON[4], ("CONCURRENCY", "10")];

/// `in_company` is how often the killer strikes before it is suspected.
async fn a_killer_is_parked(queue_type: &str, in_company: usize) {
    let corner = Corner::new().await;
    if queue_type == "classic" {
        corner.vhost.declare_classic(&corner.jobs_queue()).await;
    }
    corner.declare_short_retries(queue_type, Duration::from_millis(200)).await;
    corner.sim.fault(json!({ "name": "connection killer", "fault": { "kind": "hang" } })).await;
    let worker = corner.worker(&ENV).await;
    let killer = BasicProperties::default().with_message_id("of the sender's own".into());
    corner.submit_raw(killer, job("killer").to_string().as_bytes()).await;
    corner.submit_all((0..OTHERS).map(|n| job(&format!("other-{n}")))).await;

    let (in_hand, worker) = until_parked(&corner, worker).await;
    assert_eq!(in_hand.len(), in_company + TRIALS, "{in_hand:?}");
    let replies = corner.replies(OTHERS + 1).await;
    for reply in replies {
        let reply = reply.json();
        let expected = if reply["jobId"] == "killer" { "internal" } else { "" };
        assert_eq!(reply["error"]["code"].as_str().unwrap_or_default(), expected, "{reply}");
    }
    let parked = corner.vhost.take(&corner.dead_queue(), 1, PATIENCE).await.remove(0);
    assert_eq!(parked.json(), job("killer"));
    assert_eq!(parked.header("dead-reason").as_deref(), Some("crash_loop"));
    corner.settled().await;
    let report = corner.sim.report().await;
    let numbers = (&report["created"], &report["duplicates"]["extra"]);
    assert_eq!(numbers, (&OTHERS.into(), &0.into()), "{report}");
    assert!(in_hand.iter().rev().take(ALONE).all(|unacked| *unacked == 1), "it was tried alone: {in_hand:?}");
    corner.end(worker).await;
}

#[tokio::test]
async fn a_job_that_kills_the_worker_is_tried_alone_and_parked() {
    if Broker::shared().await.is_ours() {
        a_killer_is_parked("quorum", 2).await;
    }
}

#[tokio::test]
async fn a_job_that_kills_the_worker_is_parked_from_a_classic_queue_too() {
    if Broker::shared().await.is_ours() {
        a_killer_is_parked("classic", 2).await;
    }
}
