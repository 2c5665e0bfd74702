//! The log from the operator's side: one line for each finished job, and every line of a job says which job it is.

use lapin::BasicProperties;
use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::broker::Message;
use crate::support::corner::{Corner, SOON, job_named};
use crate::support::eventually::eventually;
use crate::support::worker::WorkerProcess;

/// Every line of the log, which must be JSON.
fn lines(worker: &WorkerProcess) -> Vec<Value> {
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    worker.stderr().lines().map(read).collect()
}

/// The lines with this message, as soon as there are `n`.
async fn lines_that_say(worker: &WorkerProcess, message: &str, n: usize) -> Vec<Value> {
    eventually(message, PATIENCE, async || {
        let found: Vec<Value> = lines(worker).into_iter().filter(|line| line["message"] == message).collect();
        if found.len() >= n { Ok(found) } else { Err(found) }
    })
    .await
}

fn of_job<'a>(lines: &'a [Value], id: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["span"]["job_id"] == id).collect()
}

#[tokio::test]
async fn every_finished_job_has_one_line_that_says_what_came_of_it() {
    let corner = Corner::new().await;
    let worker = corner.worker(&[]).await;
    corner
        .sim
        .fault(json!({ "name": "bad", "fault": { "kind": "status", "status": 400, "code": "1100-400" } }))
        .await;
    corner.submit(&job_named("good-1", "good")).await;
    corner.submit(&job_named("bad-1", "bad")).await;
    corner.submit(&json!({ "jobId": "invalid-1" })).await;
    corner.submit_raw(BasicProperties::default(), b"not a job").await;

    let done = lines_that_say(&worker, "job done", 4).await;
    assert_eq!(done.len(), 4, "{done:#?}");
    let replies = corner.replies(3).await;
    let created = replies.iter().map(Message::json).find(|reply| reply["status"] == "created").unwrap();

    let [good] = of_job(&done, "good-1")[..] else { panic!("{done:#?}") };
    assert_eq!(good["level"], "INFO");
    assert_eq!(good["outcome"], "created");
    assert_eq!(good["attempts"], 1);
    assert_eq!(good["connection_id"], created["connection"]["id"]);
    let [bad] = of_job(&done, "bad-1")[..] else { panic!("{done:#?}") };
    assert_eq!((&bad["level"], &bad["outcome"]), (&json!("INFO"), &json!("rejected")));
    assert_eq!(
        (&bad["http_status"], &bad["flow_code"], &bad["attempts"]),
        (&json!(400), &json!("1100-400"), &json!(1))
    );
    assert!(bad["request_id"].is_string() && bad["error"].is_string(), "{bad}");
    let [invalid] = of_job(&done, "invalid-1")[..] else { panic!("{done:#?}") };
    assert_eq!((&invalid["outcome"], &invalid["attempts"]), (&json!("invalid_job"), &json!(0)));
    let parked = done.iter().find(|line| line["outcome"] == "parked").unwrap();
    assert_eq!(parked["level"], "WARN", "nobody is told but the operator: {parked}");
    for line in &done {
        assert!(line["duration_seconds"].as_f64().unwrap() > 0.0, "{line}");
        assert!(line["timestamp"].is_string(), "{line}");
    }
    corner.end(worker).await;
}

#[tokio::test]
async fn every_line_of_a_job_says_which_job_it_is() {
    let corner = Corner::new().await;
    let worker =
        corner.worker(&[&[("REPLY_TO_ALLOW", "nowhere.*"), ("RUST_LOG", "trace")], &SOON[..]].concat()).await;
    corner
        .sim
        .fault(json!({ "name": "slow", "count": 2, "fault": { "kind": "throttle", "retryAfter": "0" } }))
        .await;
    let send = async |id: &str, name: &str, reply_to: &str| {
        let properties =
            BasicProperties::default().with_reply_to(reply_to.into()).with_message_id("m-1".into());
        corner.submit_raw(properties, job_named(id, name).to_string().as_bytes()).await;
    };
    // The first job fetches the token, and says so.
    send("first", "good", "nowhere.first").await;
    lines_that_say(&worker, "job done", 1).await;
    send("retried", "slow", "nowhere.at-all").await;
    send("overruled", "good", "elsewhere").await;
    lines_that_say(&worker, "job done", 3).await;

    let said = |id: &str| -> Vec<String> {
        of_job(&lines(&worker), id).iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect()
    };
    let undeliverable = format!("the reply cannot be delivered, it goes to {}", corner.undeliverable_queue());
    let retry = "the call failed and will be tried again";
    assert_eq!(said("retried"), [retry, retry, &undeliverable, "job done"]);
    let overruled = "the job's reply_to is not allowed, the reply goes to the reply queue";
    assert_eq!(said("overruled"), [overruled, "job done"]);

    for line in lines(&worker) {
        let message = line["message"].as_str().unwrap();
        let of_a_job =
            [retry, &undeliverable, overruled, "IMS issued an access token", "job done"].contains(&message);
        assert_eq!(line["span"]["job_id"].is_string(), of_a_job, "{line}");
        assert_eq!(line["span"]["message_id"] == "m-1", of_a_job, "{line}");
    }
    let retries = lines_that_say(&worker, retry, 2).await;
    for (index, line) in retries.iter().enumerate() {
        assert_eq!(line["attempt"], index + 1, "{line}");
        assert_eq!((&line["failure"], &line["http_status"]), (&json!("throttled"), &json!(429)));
        assert!(line["delay_seconds"].is_number(), "{line}");
    }
    corner.end(worker).await;
}

#[tokio::test]
async fn logs_are_json_where_nobody_looks() {
    let corner = Corner::new().await;
    let worker = corner.worker(&[("LOG_FORMAT", "")]).await;
    assert!(!lines(&worker).is_empty());
    assert_eq!(worker.stdout(), "", "logs go to standard error");
    corner.end(worker).await;
}

#[tokio::test]
async fn text_logs_are_for_people() {
    let corner = Corner::new().await;
    let worker = corner.start_worker(&[("LOG_FORMAT", "text")]);
    eventually("the worker takes jobs", PATIENCE, async || worker.stderr().contains("consuming")).await;
    corner.submit(&job_named("text-1", "text")).await;
    let done = eventually("a line about the job", PATIENCE, async || {
        worker.stderr().lines().find(|line| line.contains("job done")).map(str::to_owned)
    })
    .await;
    assert!(serde_json::from_str::<Value>(&done).is_err(), "{done}");
    for part in
        [" INFO job{", r#"job_id="text-1""#, r#"outcome="created""#, "attempts=1", "duration_seconds="]
    {
        assert!(done.contains(part), "no {part} in {done}");
    }
    assert!(!done.contains('\u{1b}'), "no colours where there is no terminal: {done:?}");
    corner.end(worker).await;
}

#[tokio::test]
async fn the_filter_chooses_what_is_logged() {
    let corner = Corner::new().await;
    let filter = "error,connection_worker::app=info,connection_worker::worker::decision=warn";
    let worker = corner.worker(&[("RUST_LOG", filter)]).await;
    corner.submit(&job_named("quiet-1", "quiet")).await;
    corner.replies(1).await;
    corner.submit_raw(BasicProperties::default(), b"not a job").await;
    let done = lines_that_say(&worker, "job done", 1).await;
    assert_eq!(done.len(), 1, "only the warning is asked for: {done:#?}");
    assert_eq!(done[0]["outcome"], "parked");
    corner.end(worker).await;
}

#[tokio::test]
async fn libraries_stay_quiet_whatever_the_filter_says() {
    let corner = Corner::new().await;
    let worker = corner.worker(&[("RUST_LOG", "trace,lapin=trace,hyper=trace,reqwest=trace")]).await;
    corner.submit(&job_named("loud-1", "loud")).await;
    lines_that_say(&worker, "job done", 1).await;
    for line in lines(&worker) {
        let level = line["level"].as_str().unwrap();
        assert!(["INFO", "WARN", "ERROR"].contains(&level), "{line}");
    }
    corner.end(worker).await;
}
