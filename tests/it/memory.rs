//! What the worker holds at a time is bounded, whatever waits in the queue.

use std::fs;
use std::time::Duration;

use lapin::types::{AMQPValue, FieldTable};
use serde_json::json;

use crate::support::corner::{BUSY_BROKER, Corner, job};
use crate::support::eventually::eventually;
use crate::support::scene::Scene;
use crate::support::{PATIENCE, env, tell};

#[tokio::test]
async fn memory_is_bounded() {
    const JOBS: u64 = 500;
    let scene = Scene::start(&[("CONCURRENCY", "8")]).await;
    // The first eight take so long that there is time to look at them.
    scene.sim.fault(json!({ "count": 8, "fault": { "kind": "delay", "ms": 3_000 } })).await;
    scene.submit_all((0..JOBS).map(|n| job(&format!("job-{n}")))).await;
    // One of the eight slots is kept for another organisation.
    eventually("seven jobs are called for, and no more", PATIENCE, async || {
        let calls = scene.sim.report().await["requests"]["create"].clone();
        if calls == 7 { Ok(()) } else { Err(calls) }
    })
    .await;
    eventually("the queue is worked off", PATIENCE, async || {
        // A job's acknowledgement can bring the next one before the job's own task hears that it is sent.
        let held = scene.count("jobs_in_flight").await;
        assert!(held <= 16, "{held} jobs held");
        if scene.vhost.broker().is_ours() {
            let counts = scene.vhost.counts(&scene.jobs_queue()).await;
            assert!(counts.unacked <= 8, "{counts:?}");
        }
        let replies = scene.vhost.depth(&scene.reply_queue()).await;
        if u64::from(replies) == JOBS { Ok(()) } else { Err(replies) }
    })
    .await;
    scene.settled().await;
    let report = scene.sim.report().await;
    assert_eq!((&report["maxCreatesInFlight"], &report["created"]), (&7.into(), &JOBS.into()), "{report}");
}

/// The README's bound: a worker as such, and for each job in hand four times its message and the head of an answer.
pub(crate) fn largest_memory(concurrency: u64, message: u64) -> u64 {
    (64 << 20) + concurrency * (4 * message + (512 << 10))
}

/// The most that a process ever held, in bytes.
fn peak_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says it");
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    kib << 10
}

/// `MEMORY_JOBS=10000 MEMORY_CONCURRENCY=64` makes it 10 GB; the broker's disk has to hold twice that.
#[tokio::test]
async fn a_backlog_of_large_jobs_does_not_grow_the_worker() {
    const SIZE: u64 = 1_000_000;
    /// Jobs on their way to the broker at a time.
    const BATCH: u64 = 20;
    let number = |name, default| env(name).map_or(default, |number| number.parse().expect("a number"));
    let (jobs, concurrency) = (number("MEMORY_JOBS", 120), number("MEMORY_CONCURRENCY", 8));
    let large = |n: u64| {
        let mut job = job(&format!("job-{n}"));
        job["connection"]["auth"]["params"]["filler"] = "x".repeat(SIZE.try_into().unwrap()).into();
        job
    };
    // All of them wait before the worker comes.
    let corner = Corner::new().await;
    let mut quorum = FieldTable::default();
    quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    corner.vhost.declare(&corner.jobs_queue(), quorum).await;
    for first in (0..jobs).step_by(BATCH.try_into().unwrap()) {
        corner.submit_all((first..jobs.min(first + BATCH)).map(large)).await;
    }
    corner.sim.fault(json!({ "count": 3 * concurrency, "fault": { "kind": "delay", "ms": 1_000 } })).await;
    let scene = Scene::on(corner, &[("CONCURRENCY", &concurrency.to_string()), BUSY_BROKER]).await;
    let patience = PATIENCE + Duration::from_millis(50 * jobs);
    eventually("all are answered", patience, async || {
        let replies = scene.vhost.depth(&scene.reply_queue()).await;
        if u64::from(replies) == jobs { Ok(()) } else { Err(replies) }
    })
    .await;
    let report = scene.sim.report().await;
    // One slot in sixteen, and at least one, is kept for other organisations.
    let slots = concurrency - (concurrency / 16).max(1);
    assert_eq!((&report["created"], &report["maxCreatesInFlight"]), (&jobs.into(), &slots.into()));
    let (peak, bound) = (peak_memory(scene.worker.id()), largest_memory(concurrency, SIZE));
    tell(&format!(
        "{jobs} jobs of {SIZE} bytes: at most {} MiB held, {} MiB allowed",
        peak >> 20,
        bound >> 20
    ));
    assert!(peak < bound, "{peak} bytes held, {bound} allowed");
}

#[tokio::test]
async fn an_oversize_job_is_refused_without_a_call() {
    let scene = Scene::start(&[("MAX_JOB_SIZE", "2KiB")]).await;
    for size in [2 << 10, 3 << 10, 4 << 20] {
        let mut job = job("large");
        job["connection"]["auth"]["params"]["filler"] = "x".repeat(size).into();
        // Nothing in it is read, so it is not known by its own id.
        let properties = lapin::BasicProperties::default().with_message_id("large".into());
        scene.submit_raw(properties, job.to_string().as_bytes()).await;
        let reply = scene.reply().await.json();
        assert_eq!(
            (&reply["jobId"], &reply["error"]["code"]),
            (&"large".into(), &"invalid_job".into()),
            "{reply}"
        );
        assert!(reply["error"]["message"].as_str().unwrap().contains("expected at most 2048"), "{reply}");
    }
    assert_eq!(scene.sim.report().await["requests"]["create"], 0);
    scene.settled().await;
}
