//! What the worker holds at a time is bounded, whatever waits in the queue.

use serde_json::json;

use crate::support::PATIENCE;
use crate::support::broker::Counts;
use crate::support::corner::job;
use crate::support::eventually::eventually;
use crate::support::scene::Scene;

#[tokio::test]
async fn memory_is_bounded() {
    const JOBS: u64 = 500;
    let scene = Scene::start(&[("CONCURRENCY", "8")]).await;
    // The first eight take so long that there is time to look at them.
    scene.sim.fault(json!({ "count": 8, "fault": { "kind": "delay", "ms": 3_000 } })).await;
    scene.submit_all((0..JOBS).map(|n| job(&format!("job-{n}")))).await;
    eventually("eight jobs are held, and no more", PATIENCE, async || {
        let calls = scene.sim.report().await["requests"]["create"].clone();
        let held = scene.count("jobs_in_flight").await;
        if !scene.vhost.broker().is_ours() {
            return if (&calls, held) == (&8.into(), 8) { Ok(()) } else { Err(format!("{calls} {held}")) };
        }
        let counts = scene.vhost.counts(&scene.jobs_queue()).await;
        let all_held = counts == Counts { ready: JOBS - 8, unacked: 8 };
        if all_held && (&calls, held) == (&8.into(), 8) {
            Ok(())
        } else {
            Err(format!("{counts:?} {calls} {held}"))
        }
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
    assert_eq!((&report["maxCreatesInFlight"], &report["created"]), (&8.into(), &JOBS.into()), "{report}");
}

#[tokio::test]
async fn a_backlog_of_large_jobs_does_not_grow_the_worker() {
    const JOBS: u64 = 120;
    const SIZE: usize = 1_000_000;
    let scene = Scene::start(&[("CONCURRENCY", "4")]).await;
    scene.sim.fault(json!({ "fault": { "kind": "hang" } })).await;
    let large = |n: u64| {
        let mut job = job(&format!("job-{n}"));
        job["connection"]["auth"]["params"]["filler"] = "x".repeat(SIZE).into();
        job
    };
    scene.submit_all((0..JOBS).map(large)).await;
    eventually("four jobs are held", PATIENCE, async || {
        let calls = scene.sim.report().await["requests"]["create"].clone();
        if calls == 4 { Ok(()) } else { Err(calls) }
    })
    .await;
    let bytes = scene.worker.metric("process_resident_memory_bytes").await;
    assert!(bytes < 100e6, "{bytes} bytes held, while {JOBS} jobs of {SIZE} bytes wait");
    let waiting = scene.vhost.depth(&scene.jobs_queue()).await;
    assert_eq!(u64::from(waiting), JOBS - 4, "jobs that wait in the queue");
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
