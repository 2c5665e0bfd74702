//! The admin port from Prometheus' and Kubernetes' side, on the real binary.

#![expect(clippy::float_cmp, reason = "what is counted is whole, and a double holds it exactly")]

use std::collections::BTreeMap;
use std::net::SocketAddr;

use lapin::BasicProperties;
use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::PATIENCE;
use crate::support::corner::{BOLD, Corner, SOON, job, job_named};
use crate::support::eventually::eventually;
use crate::support::load::FAILURES;
use crate::support::prometheus::tool;
use crate::support::proxy::Proxy;
use crate::support::worker::WorkerProcess;

mod page;

use page::Page;

/// What is not zero in a worker that has done nothing: it exists, and it has failed to reach its broker.
const NOT_ZERO: [&str; 7] = [
    "connection_worker_build_info",
    "connection_worker_amqp_session_failures_total",
    "connection_worker_event_loop_lag_seconds",
    "connection_worker_jobs_in_flight_limit",
    "connection_worker_runtime_",
    "connection_worker_retry_budget_ratio",
    "process_",
];

/// A worker whose broker is nowhere.
fn lonely_worker() -> WorkerProcess {
    WorkerProcess::start(&[
        ("AMQP_URL", "amqp://127.0.0.1:1/"),
        ("ACCESS_TOKEN", "token"),
        ("API_KEY", "key"),
    ])
}

/// Everything before the body.
async fn head(addr: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\nhost: {addr}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").expect("an end of the head").0.to_lowercase()
}

#[tokio::test]
async fn every_series_stands_at_zero_from_the_start() {
    let mut worker = lonely_worker();
    worker.admin_addr().await;
    let page = Page::read(&worker.metrics().await);
    for (series, value) in &page.samples {
        let busy = NOT_ZERO.iter().any(|name| series.starts_with(name));
        assert!(busy || *value == 0.0, "{series} {value}");
    }
    assert!(page.samples.len() > 300, "{}", page.samples.len());
}

#[tokio::test]
async fn the_page_says_what_it_is() {
    let mut worker = lonely_worker();
    let addr = worker.admin_addr().await;
    let head = head(addr, "/metrics").await;
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
}

#[tokio::test]
async fn there_is_nothing_else_on_the_admin_port() {
    let mut worker = lonely_worker();
    worker.admin_addr().await;
    for path in [
        "//",
        "/status",
        "/metrics/",
        "/metrics/x",
        "/livez/..",
        "/admin",
        "/debug/pprof",
        "/%2e%2e/etc/passwd",
    ] {
        assert_eq!(worker.admin(path).await.unwrap().status, 404, "{path}");
    }
}

#[tokio::test]
async fn without_a_broker_the_worker_is_alive_and_not_ready() {
    let corner = Corner::new().await;
    let proxy = Proxy::start(corner.vhost.broker().addr().await).await.unwrap();
    let url = corner.vhost.amqp_url_at(proxy.addr());
    proxy.cut();
    let mut worker = corner.start_worker(&[("AMQP_URL", &url)]);
    worker.admin_addr().await;
    assert_health(&worker, false).await;

    proxy.restore();
    worker.wait_ready().await;
    assert_health(&worker, true).await;

    proxy.cut();
    eventually("the worker is not ready", PATIENCE, async || {
        worker.admin("/readyz").await.unwrap().status == 503
    })
    .await;
    assert_health(&worker, false).await;

    proxy.restore();
    worker.wait_ready().await;
    assert_health(&worker, true).await;
    corner.end(worker).await;
}

async fn assert_health(worker: &WorkerProcess, connected: bool) {
    assert_eq!(worker.admin("/livez").await.unwrap().status, 200);
    assert_eq!(worker.admin("/readyz").await.unwrap().status, if connected { 200 } else { 503 });
    for role in ["consume", "publish"] {
        let up = worker.metric(&format!("connection_worker_amqp_connection_up{{role=\"{role}\"}}")).await;
        assert_eq!(up, f64::from(u8::from(connected)), "{role}");
    }
}

/// What has been counted after [`the_counters_tell_what_happened`]; everything else stands at 0, or is a time.
const COUNTED: [(&str, f64); 39] = [
    (r"amqp_sessions_total", 1.0),
    (r#"attempt_failures_total{kind="refused"}"#, 1.0),
    (r#"attempt_failures_total{kind="throttled"}"#, 1.0),
    (r#"http_request_duration_seconds_count{method="POST",status_class="2xx",upstream="flow"}"#, 4.0),
    (r#"http_request_duration_seconds_count{method="POST",status_class="2xx",upstream="ims"}"#, 1.0),
    (r#"http_request_duration_seconds_count{method="POST",status_class="4xx",upstream="flow"}"#, 2.0),
    (r#"http_requests_total{method="POST",status="200",upstream="ims"}"#, 1.0),
    (r#"http_requests_total{method="POST",status="201",upstream="flow"}"#, 4.0),
    (r#"http_requests_total{method="POST",status="400",upstream="flow"}"#, 1.0),
    (r#"http_requests_total{method="POST",status="429",upstream="flow"}"#, 1.0),
    (r"admission_wait_seconds_count", 6.0),
    (r"http_retry_after_seconds_count", 1.0),
    (r#"job_duration_seconds_count{outcome="created"}"#, 4.0),
    (r#"job_duration_seconds_count{outcome="invalid_job"}"#, 1.0),
    (r#"job_duration_seconds_count{outcome="rejected"}"#, 1.0),
    (r"job_attempts_count", 6.0),
    (r#"job_credentials_total{form="clear"}"#, 5.0),
    (r"job_payload_bytes_count", 6.0),
    (r#"jobs_completed_total{outcome="created"}"#, 4.0),
    (r#"jobs_completed_total{outcome="invalid_job"}"#, 1.0),
    (r#"jobs_completed_total{outcome="rejected"}"#, 1.0),
    (r#"jobs_received_total{redelivered="false"}"#, 6.0),
    (r#"messages_published_total{kind="reply",result="confirmed"}"#, 6.0),
    (r#"publish_duration_seconds_count{result="confirmed"}"#, 6.0),
    (r#"retries_scheduled_total{kind="throttled",wait="held"}"#, 1.0),
    (r"retry_delay_seconds_count", 1.0),
    (r#"settlements_total{kind="ack",stale="false"}"#, 6.0),
    (r#"token_refreshes_total{result="ok"}"#, 1.0),
    // Gauges.
    (r#"amqp_connection_up{role="consume"}"#, 1.0),
    (r#"amqp_connection_up{role="publish"}"#, 1.0),
    (r"jobs_in_flight_limit", 256.0),
    (r"retry_budget_ratio", 1.0),
    (r#"organisation_concurrency_limit{organisation="1234@AdobeOrg"}"#, 256.0),
    // Stands for the build; its value says nothing.
    (concat!("build_info{revision=\"\",version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1.0),
    // The jobs of this test carry no timestamp, so nobody knows how long they lay in the queue.
    (r"job_queue_wait_seconds_count", 0.0),
    (r"job_age_seconds_count", 0.0),
    (r"jobs_in_flight", 0.0),
    (r"panics_total", 0.0),
    (r"ambiguous_outcomes_total", 0.0),
];

#[tokio::test]
async fn the_counters_tell_what_happened() {
    let corner = Corner::new().await;
    let worker = corner.worker(&[&SOON[..], &BOLD].concat()).await;
    let before = Page::read(&worker.metrics().await);
    corner
        .sim
        .fault(json!([
            { "name": "kiwi refused", "fault": { "kind": "status", "status": 400 } },
            { "name": "kiwi throttled", "count": 1, "fault": { "kind": "throttle", "retryAfter": "0" } },
        ]))
        .await;
    for (id, name) in [
        ("kiwi-1", "kiwi one"),
        ("kiwi-2", "kiwi two"),
        ("kiwi-3", "kiwi three"),
        ("kiwi-4", "kiwi refused"),
        ("kiwi-5", "kiwi throttled"),
    ] {
        corner.submit(&job_named(id, name)).await;
    }
    corner.submit(&json!({ "jobId": "kiwi-6", "colour": "kiwi" })).await;
    corner.replies(6).await;
    corner.settled().await;

    // A reply is taken, and a job settled, a moment before it is counted; how organisations fare is told once a second.
    let page = eventually("all jobs are counted", PATIENCE, async || {
        let text = worker.metrics().await;
        assert!(!text.contains("kiwi"), "a label from a job:\n{text}");
        let page = Page::read(&text);
        let done = page.sum("connection_worker_jobs_completed_total");
        let calls = page.sum("connection_worker_organisation_calls_in_flight");
        let jobs = page.sum("connection_worker_organisation_jobs_in_flight");
        let limit = page.sum("connection_worker_organisation_concurrency_limit");
        if (done, calls, jobs, limit) == (6.0, 0.0, 0.0, 256.0) {
            Ok(page)
        } else {
            Err((done, calls, jobs, limit))
        }
    })
    .await;
    let series = |page: &Page| -> Vec<String> {
        page.samples.keys().filter(|name| !name.starts_with("process_")).cloned().collect()
    };
    assert_eq!(series(&page), series(&before), "a series that was not there from the start");
    let mut expected: BTreeMap<&str, f64> = COUNTED.into();
    let is_time = |name: &str| {
        name.contains("_seconds_sum")
            || name.contains("_bucket{")
            || name.contains("timestamp_seconds")
            || name.contains("_bytes_sum")
            || name == "job_attempts_sum"
            || name.starts_with("runtime_")
            || name.starts_with("event_loop_")
            || name.starts_with("queue_")
    };
    for (name, value) in &page.samples {
        let Some(name) = name.strip_prefix("connection_worker_").filter(|name| !is_time(name)) else {
            continue;
        };
        assert_eq!(*value, expected.remove(name).unwrap_or(0.0), "{name}");
    }
    assert!(expected.is_empty(), "no such series: {expected:?}");
    for time in [
        "last_success_timestamp_seconds",
        "last_delivery_timestamp_seconds",
        "token_expiry_timestamp_seconds",
    ] {
        assert!(page.samples[&format!("connection_worker_{time}")] > 1.7e9, "{time}");
    }
    corner.end(worker).await;
}

const QUEUES_SEEN: &str = "connection_worker_queues_seen_timestamp_seconds";

/// Every worker sees what lies in the queues, unless it is told not to look; and a missing queue harms nothing.
#[tokio::test]
async fn the_queues_are_looked_at() {
    const CONSUMERS: &str = "connection_worker_queue_consumers";
    let ready = |queue| format!("connection_worker_queue_messages_ready{{queue=\"{queue}\"}}");
    let corner = Corner::new().await;
    let blind = corner.worker(&[("QUEUE_METRICS", "off")]).await;
    corner.submit_raw(BasicProperties::default(), b"no job, and nobody to tell").await;
    corner.submit_raw(BasicProperties::default(), b"neither is this").await;
    corner.submit(&job("kiwi")).await;
    blind.wait_count(r#"connection_worker_jobs_completed_total{outcome="parked"}"#, 2, PATIENCE).await;
    corner.vhost.settled(&corner.jobs_queue(), PATIENCE).await;

    let seeing = corner.worker(&[]).await;
    corner.vhost.delete_queue(&corner.retry_queue("10s")).await;
    seeing.wait_count(&ready("replies"), 1, PATIENCE).await;
    assert_eq!(seeing.metric(&ready("dead")).await, 2.0);
    assert_eq!(seeing.metric(&ready("jobs")).await, 0.0);
    let consumers = corner.vhost.consumers(&corner.jobs_queue()).await;
    assert_eq!(seeing.count(CONSUMERS).await, u64::from(consumers), "as the broker says");
    assert_eq!(seeing.count(FAILURES).await, 0, "looking costs no session");
    for (series, value) in &Page::read(&blind.metrics().await).samples {
        assert!(!series.starts_with("connection_worker_queue_") || *value == 0.0, "{series} {value}");
    }
    assert!(seeing.metric(QUEUES_SEEN).await > 1.7e9);
    assert_eq!(blind.metric(QUEUES_SEEN).await, 0.0);
    let shown = async |worker: &WorkerProcess| -> usize {
        let answer = worker.admin("/status.json").await.unwrap();
        let state: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        state["queues"].as_array().unwrap().len()
    };
    assert_eq!((shown(&seeing).await, shown(&blind).await), (10, 0), "unknown is not none");
    drop(blind);
    corner.end(seeing).await;
}

/// What a session has seen says nothing once it is gone.
#[tokio::test]
async fn without_a_session_no_queue_is_known() {
    const CONSUMERS: &str = "connection_worker_queue_consumers";
    let corner = Corner::new().await;
    let proxy = Proxy::start(corner.vhost.broker().addr().await).await.unwrap();
    let url = corner.vhost.amqp_url_at(proxy.addr());
    let mut worker = corner.worker(&[("AMQP_URL", &url)]).await;
    worker.wait_count(CONSUMERS, 1, PATIENCE).await;
    proxy.cut();
    worker.wait_unready().await;
    assert_eq!((worker.metric(CONSUMERS).await, worker.metric(QUEUES_SEEN).await), (0.0, 0.0));
    assert!(worker.count(r#"connection_worker_amqp_session_failures_total{reason="lost"}"#).await >= 1);
    corner.end(worker).await;
}

/// A job in flight is the oldest one until it is done, and as old as its sender says.
#[tokio::test]
async fn the_oldest_job_in_flight_is_known() {
    const OLDEST: &str = "connection_worker_oldest_job_timestamp_seconds";
    let corner = Corner::new().await;
    corner.sim.fault(json!({ "name": "slow kiwi", "fault": { "kind": "hang" } })).await;
    let worker = corner.worker(&[("FLOW_TIMEOUT", "90s"), ("DRAIN_GRACE", "90s")]).await;
    let sent = |timestamp| BasicProperties::default().with_timestamp(timestamp);
    // In milliseconds, as some senders count.
    let slow = job_named("kiwi-1", "slow kiwi").to_string();
    corner.submit_raw(sent(1_600_000_000_000), slow.as_bytes()).await;
    worker.wait_count("connection_worker_jobs_in_flight", 1, PATIENCE).await;
    for (id, impossible) in [("kiwi-2", 0), ("kiwi-3", u64::MAX)] {
        corner.submit_raw(sent(impossible), job(id).to_string().as_bytes()).await;
        corner.reply().await;
    }
    assert_eq!(worker.metric(OLDEST).await, 1.6e9);
    assert_eq!(worker.metric("connection_worker_job_timestamps_ignored_total").await, 2.0);
    assert_eq!(worker.stderr().matches("timestamp cannot be").count(), 1);

    worker.signal(Signal::SIGTERM);
    worker.wait_count("connection_worker_draining", 1, PATIENCE).await;
    corner.end(worker).await;
}

/// What `promtool` finds no fault with, nobody else does.
#[tokio::test]
async fn promtool_takes_the_page() {
    let Some(mut promtool) = tool("promtool") else { return };
    let mut worker = lonely_worker();
    worker.admin_addr().await;
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), worker.metrics().await).unwrap();
    let page = std::fs::File::open(file.path()).unwrap();
    let checked = promtool.args(["check", "metrics", "--extended"]).stdin(page).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && said.is_empty(), "{said}");
}
