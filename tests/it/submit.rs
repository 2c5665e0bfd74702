//! `submit` from the hands of a person and of a script.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::command::{Ran, run, run_with_input};
use crate::support::corner::{Corner, job, job_named};

/// `submit` with these arguments in a corner.
async fn submit(corner: &Corner, args: &[&str], input: &str) -> Ran {
    let env = [("AMQP_URL", corner.amqp_url.as_str()), ("JOB_QUEUE", &corner.jobs_queue())];
    run_with_input(&[&["submit"], args].concat(), &env, input).await
}

/// What stands on standard output: JSON, one a line.
fn printed(ran: &Ran) -> Vec<Value> {
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(replies: &[Value]) -> BTreeSet<&str> {
    replies.iter().map(|reply| reply["jobId"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn one_job_a_list_or_json_lines_go_the_same_way() {
    let corner = Corner::new().await;
    let worker = corner.worker(&[]).await;
    let (a, b) = (job("a"), job("b"));
    for (input, expected) in [
        (a.to_string(), &["a"][..]),
        (json!([a, b]).to_string(), &["a", "b"]),
        (format!("{a}\n\n{b}\n"), &["a", "b"]),
        (format!("{a:#}\n{b:#}"), &["a", "b"]),
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &input).unwrap();
        for (args, input) in [
            (vec!["--wait", file.path().to_str().unwrap()], ""),
            (vec!["--wait", "-"], input.as_str()),
            (vec!["--wait"], input.as_str()),
        ] {
            let ran = submit(&corner, &args, input).await;
            assert_eq!(ran.code, Some(0), "{ran:?}");
            assert_eq!(ids(&printed(&ran)), expected.iter().copied().collect(), "{ran:?}");
        }
    }
    corner.end(worker).await;
}

#[tokio::test]
async fn replies_are_printed_as_they_came_and_summed_up() {
    let corner = Corner::new().await;
    let worker = corner.worker(&[]).await;
    let jobs = format!("{}\n{}", job("good"), json!({ "jobId": "bad" }));
    let ran = submit(&corner, &["--wait"], &jobs).await;
    assert_eq!(ran.code, Some(1), "not every job was created: {ran:?}");
    let replies = printed(&ran);
    assert_eq!(ids(&replies), BTreeSet::from(["bad", "good"]));
    for reply in &replies {
        assert_eq!(reply["status"], if reply["jobId"] == "good" { "created" } else { "failed" }, "{reply}");
    }
    assert!(ran.stderr.contains("2 jobs: 1 created, 1 failed, 0 without a reply"), "{ran:?}");
    corner.end(worker).await;
}

#[tokio::test]
async fn without_wait_the_jobs_are_on_the_queue() {
    let corner = Corner::new().await;
    corner.vhost.declare_quorum(&corner.jobs_queue()).await;
    let ran = submit(&corner, &[], &format!("{}{}", job("a"), job("b"))).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{ran:?}");
    assert!(ran.stderr.contains("2 jobs on the queue, confirmed"), "{ran:?}");
    for message in corner.vhost.take(&corner.jobs_queue(), 2, PATIENCE).await {
        let id = message.properties.message_id().as_ref().unwrap().to_string();
        assert_eq!(message.json()["jobId"], id);
        assert_eq!(message.properties.correlation_id().as_ref().unwrap().to_string(), id);
        assert_eq!(*message.properties.delivery_mode(), Some(2), "a restart of the broker keeps it");
        assert!(message.properties.timestamp().is_some(), "the worker can tell how long it waited");
    }
    corner.vhost.delete_queue(&corner.jobs_queue()).await;
}

#[tokio::test]
async fn five_hundred_jobs_make_the_round_trip() {
    let corner = Corner::new().await;
    let worker = corner.worker(&[]).await;
    let template = job_named("load-{n}", "connection {n}").to_string();
    let ran = submit(&corner, &["--wait", "--count", "500"], &template).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let replies = printed(&ran);
    assert_eq!(replies.len(), 500);
    assert_eq!(ids(&replies).len(), 500);
    let text = |reply: &Value, place: &str| reply.pointer(place).unwrap().as_str().unwrap().to_owned();
    let connections: BTreeSet<String> = replies.iter().map(|reply| text(reply, "/connection/id")).collect();
    assert_eq!(connections.len(), 500, "each job has a connection of its own");
    let names: BTreeSet<String> = replies.iter().map(|reply| text(reply, "/connection/name")).collect();
    assert!(names.contains("connection 500") && names.len() == 500, "{names:?}");
    assert!(ran.stderr.contains("500 jobs: 500 created, 0 failed, 0 without a reply"), "{}", ran.stderr);
    assert_eq!(corner.sim.report().await["created"], 500);
    corner.end(worker).await;
}

#[tokio::test]
async fn without_a_worker_it_says_what_is_missing() {
    let corner = Corner::new().await;
    corner.vhost.declare_quorum(&corner.jobs_queue()).await;
    let ran = submit(&corner, &["--wait", "--timeout", "100ms"], &job("a").to_string()).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.stderr.contains("is a worker running"), "{ran:?}");
    assert!(ran.stderr.contains("1 jobs: 0 created, 0 failed, 1 without a reply"), "{ran:?}");
    corner.vhost.delete_queue(&corner.jobs_queue()).await;
}

/// Elsewhere the queues have the names that both would use if they were told nothing.
#[tokio::test]
async fn worker_and_submit_use_the_queues_that_they_are_told() {
    let corner = Corner::new().await;
    let [jobs, replies] = ["other.jobs", "other.replies"].map(|name| corner.vhost.queue(name));
    let env = [("AMQP_URL", corner.amqp_url.as_str()), ("JOB_QUEUE", &jobs), ("REPLY_QUEUE", &replies)];
    let worker = corner.worker(&env).await;
    let ran = run_with_input(&["submit"], &env, &job("a").to_string()).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let reply = corner.vhost.take(&replies, 1, PATIENCE).await.remove(0).json();
    assert_eq!((&reply["jobId"], &reply["status"]), (&json!("a"), &json!("created")));
    for queue in [corner.jobs_queue(), corner.reply_queue()] {
        assert!(!corner.vhost.exists(&queue).await, "{queue}");
    }
    drop(worker);
    for part in ["", ".dead", ".undeliverable", ".retry.10s", ".retry.1m", ".retry.10m", ".retry.1h"] {
        corner.vhost.delete_queue(&format!("{jobs}{part}")).await;
    }
    corner.vhost.delete_queue(&replies).await;
}

#[tokio::test]
async fn a_missing_job_queue_is_named() {
    let corner = Corner::new().await;
    for args in [&[][..], &["--wait"]] {
        let ran = submit(&corner, args, &job("a").to_string()).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(78), ""), "{ran:?}");
        assert!(ran.stderr.contains(&format!("there is no queue {}", corner.jobs_queue())), "{ran:?}");
        assert!(ran.stderr.contains("job a "), "{ran:?}");
    }
}

#[tokio::test]
async fn what_holds_no_jobs_is_refused_before_anybody_is_called() {
    let env = [("AMQP_URL", "amqp://127.0.0.1:1/")];
    for (args, input, reason) in [
        (&["/nowhere/jobs.json"][..], "", "cannot read /nowhere/jobs.json: No such file"),
        (&["-"], "", "holds no job"),
        (&["-"], " [] ", "holds no job"),
        (&["-"], "{\"jobId\":", "job 1 in - is not JSON"),
        (&["-"], "{}{}[{},", "job 3 in - is not JSON"),
        (&["--count", "2"], "{}{}", "--count takes one job as its template"),
        (&["--count", "2"], "{\"jobId\":\"a\"}", "put {n} into jobId"),
        (&["--count", "2"], "{\"jobId\":{n}", "is not JSON"),
    ] {
        let ran = run_with_input(&[&["submit"], args].concat(), &env, input).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(65), ""), "{ran:?}");
        assert!(ran.stderr.contains(reason), "no \"{reason}\" in {ran:?}");
    }
}

#[tokio::test]
async fn settings_that_cannot_be_are_usage_errors() {
    let env = [("AMQP_URL", "amqp://127.0.0.1:1/")];
    for (args, name) in [
        (&["--timeout", "soon"][..], "TIMEOUT (--timeout)"),
        (&["--timeout", "0s"], "TIMEOUT (--timeout)"),
        (&["--count", "0"], "--count"),
        (&["--amqp-url", "rabbit"], "AMQP_URL (--amqp-url)"),
    ] {
        let ran = run_with_input(&[&["submit"], args].concat(), &env, "{}").await;
        assert_eq!(ran.code, Some(64), "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(name), "{args:?}: {ran:?}");
    }
    let ran = run(&["submit"], &[]).await;
    assert!(ran.code == Some(64) && ran.stderr.contains("AMQP_URL (--amqp-url): missing"), "{ran:?}");
}

#[tokio::test]
async fn a_broker_that_is_away_or_refuses_is_told_apart() {
    let away = run_with_input(&["submit"], &[("AMQP_URL", "amqp://127.0.0.1:1/")], "{}").await;
    assert_eq!(away.code, Some(69), "{away:?}");
    assert!(away.stderr.contains("could not connect to the broker"), "{away:?}");

    let corner = Corner::new().await;
    let url = corner.vhost.amqp_url().replacen("guest:guest", "guest:wrong", 1);
    let refused = run_with_input(&["submit"], &[("AMQP_URL", &url)], "{}").await;
    if corner.vhost.broker().is_ours() {
        assert_eq!(refused.code, Some(78), "{refused:?}");
        assert!(refused.stderr.contains("check user and password in AMQP_URL"), "{refused:?}");
    }
}
