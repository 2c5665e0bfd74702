//! Flow Service and IMS behind TLS, with a private authority: the worker, which takes HTTP/1.1 whatever is offered, and
//! the simulator's own HTTP/2.

use std::fs;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, Version};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::PATIENCE;
use crate::support::corner::{CLIENT_ID, Corner, ORG, SANDBOX, SOON, job, job_named};
use crate::support::eventually::eventually;
use crate::support::tls::Certificates;
use crate::support::worker::WorkerProcess;

/// The simulator's first line, up to its address.
const ANNOUNCEMENT: &str = "simulator listening on ";

/// What the simulator takes without having issued it, for calls that are not the worker's.
const ACCESS_TOKEN: &str = "the-access-token";

/// More calls than an HTTP/2 server of this kind lets share a connection, which is 200.
const MANY: usize = 300;

/// `connection-worker simulate` with a certificate, and a client that trusts it and prefers HTTP/2.
struct Secure {
    dir: TempDir,
    url: String,
    client: reqwest::Client,
    _process: WorkerProcess,
}

impl Secure {
    async fn start(flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let certificates = Certificates::generate().unwrap();
        certificates.write_server_files(dir.path()).unwrap();
        let [certificate, key] = ["server.pem", "server-key.pem"].map(|name| dir.path().join(name));
        let files = ["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
        let start = ["simulate", "--addr", "127.0.0.1:0", "--access-token", ACCESS_TOKEN];
        let args = [&start, &files[..], flags].concat();
        let process = WorkerProcess::spawn(&args, &[]);
        let url = eventually("the simulator says where it is", PATIENCE, async || {
            process.stdout().lines().next().map(|line| line.strip_prefix(ANNOUNCEMENT).unwrap().to_owned())
        })
        .await;
        let ca = reqwest::Certificate::from_pem(certificates.ca.as_bytes()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([ca]).build().unwrap();
        Self { dir, url, client, _process: process }
    }

    fn flow_url(&self) -> String {
        format!("{}/data/foundation/flowservice", self.url)
    }

    /// The file that makes a worker trust it.
    fn ca_file(&self) -> String {
        self.dir.path().join("ca.pem").to_str().unwrap().to_owned()
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(format!("{}/simulator/{path}", self.url)).send().await.unwrap();
        serde_json::from_slice(&answer.error_for_status().unwrap().bytes().await.unwrap()).unwrap()
    }

    /// A create that is not the worker's.
    async fn create(&self, name: &str) -> reqwest::Result<Response> {
        let post = self.client.post(format!("{}/connections", self.flow_url())).timeout(PATIENCE);
        let post = post.bearer_auth(ACCESS_TOKEN).header("x-api-key", CLIENT_ID);
        let post = post.header("x-gw-ims-org-id", ORG).header("x-sandbox-name", SANDBOX);
        let post = post.header(CONTENT_TYPE, "application/json");
        post.body(job_named(name, name)["connection"].to_string()).send().await
    }

    async fn fault(&self, rule: Value) {
        let post = self.client.post(format!("{}/simulator/faults", self.url)).body(rule.to_string());
        post.send().await.unwrap().error_for_status().unwrap();
    }

    /// A worker that calls it, and that trusts what is in a file.
    async fn worker(
        &self,
        corner: &Corner,
        ca_file: &str,
        ims_url: &str,
        env: &[(&str, &str)],
    ) -> WorkerProcess {
        let flow_url = self.flow_url();
        let told = [
            ("FLOW_URL", flow_url.as_str()),
            ("IMS_URL", ims_url),
            ("SSL_CERT_FILE", ca_file),
            ("RETRY_ATTEMPTS", "3"),
        ];
        corner.worker(&[&SOON[..], &told, env].concat()).await
    }
}

/// A client that does not speak TLS comes first, and hurts nobody but itself.
async fn jobs_are_done_over_http_1(offered: Version, flags: &[&str]) {
    let (corner, flow) = (Corner::new().await, Secure::start(flags).await);
    let addr = flow.url.strip_prefix("https://").unwrap();
    let mut stranger = TcpStream::connect(addr).await.unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\nhost: simulator\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    stranger.read_to_end(&mut answer).await.unwrap();
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert_eq!(flow.client.get(&flow.url).send().await.unwrap().version(), offered);

    let worker = flow.worker(&corner, &flow.ca_file(), &flow.url, &[]).await;
    corner.submit_all((0..20).map(|number| job(&format!("job-{number}")))).await;
    for reply in corner.replies(20).await {
        let reply = reply.json();
        assert_eq!((&reply["status"], &reply["attempts"]), (&json!("created"), &json!(1)), "{reply}");
    }
    let report = flow.get("report").await;
    assert_eq!((&report["created"], &report["distinct"]), (&json!(20), &json!(20)), "{report}");
    let requests = flow.get("requests?limit=100").await;
    let versions: Vec<_> =
        requests["requests"].as_array().unwrap().iter().map(|seen| &seen["version"]).collect();
    assert_eq!(versions, ["HTTP/1.1"; 20]);
    corner.settled().await;
    corner.end(worker).await;
}

#[tokio::test]
async fn connections_are_created_over_http_1_where_http_2_is_offered_too() {
    jobs_are_done_over_http_1(Version::HTTP_2, &[]).await;
}

#[tokio::test]
async fn connections_are_created_over_http_1_where_nothing_else_is_offered() {
    jobs_are_done_over_http_1(Version::HTTP_11, &["--http1"]).await;
}

/// A call that waited for a place on a shared connection would be in flight to the worker, and unknown to the service.
#[tokio::test]
async fn every_job_in_hand_has_its_call_at_a_service_that_offers_http_2() {
    let (corner, flow) = (Corner::new().await, Secure::start(&[]).await);
    flow.fault(json!({ "fault": { "kind": "hang" } })).await;
    // The handshakes all come at once, perhaps on a loaded machine.
    // One slot in sixteen is kept for other organisations.
    let env = [("CONCURRENCY", "320"), ("FLOW_CONNECT_TIMEOUT", "30s")];
    let worker = flow.worker(&corner, &flow.ca_file(), &flow.url, &env).await;
    corner.submit_all((0..MANY).map(|number| job(&format!("job-{number}")))).await;
    worker
        .wait_count(r#"connection_worker_http_requests_in_flight{upstream="flow"}"#, MANY as u64, PATIENCE)
        .await;
    eventually("all calls have arrived", PATIENCE, async || {
        let report = flow.get("report").await;
        if report["maxCreatesInFlight"] == json!(MANY) { Ok(()) } else { Err(report) }
    })
    .await;
    assert_eq!(worker.count("connection_worker_ambiguous_outcomes_total").await, 0);
    corner.end(worker).await;
}

/// Nothing was sent, so it is tried again and nothing is in doubt.
#[tokio::test]
async fn a_flow_service_of_an_unknown_authority_gets_no_job() {
    let (corner, flow) = (Corner::new().await, Secure::start(&[]).await);
    let stranger = flow.dir.path().join("stranger.pem");
    fs::write(&stranger, Certificates::generate().unwrap().ca).unwrap();
    // IMS is trusted, so that it is Flow Service that is not.
    let worker = flow.worker(&corner, stranger.to_str().unwrap(), &corner.sim.url(), &[]).await;
    let reply = corner.ask(&job("untold")).await;
    let error = &reply["error"];
    assert_eq!((&error["code"], &error["retryable"]), (&json!("unavailable"), &json!(true)), "{reply}");
    assert_eq!(reply["attempts"], 3, "{reply}");
    assert!(error["message"].as_str().unwrap().contains("certificate"), "{reply}");
    let report = flow.get("report").await;
    assert_eq!((&report["requests"]["create"], &report["created"]), (&json!(0), &json!(0)), "{report}");
    assert_eq!(worker.count("connection_worker_ambiguous_outcomes_total").await, 0);
    corner.settled().await;
    corner.end(worker).await;
}

#[tokio::test]
async fn on_http_2_a_fault_breaks_off_its_own_request_and_no_other() {
    let flow = Secure::start(&[]).await;
    let strike =
        |name: &str, fault: Value| json!({ "name": name, "count": 1, "when": "after", "fault": fault });
    flow.fault(json!([
        strike("closed", json!({ "kind": "close" })),
        strike("cut", json!({ "kind": "truncate" })),
        strike("late", json!({ "kind": "delay", "ms": 1000 })),
    ]))
    .await;
    // They share the connection that the rules came by.
    let (late, closed, cut) = tokio::join!(flow.create("late"), flow.create("closed"), flow.create("cut"));
    let late = late.unwrap();
    assert_eq!((late.version(), late.status().as_u16()), (Version::HTTP_2, 201));
    late.bytes().await.unwrap();
    let closed = closed.unwrap_err();
    assert!(!closed.is_connect() && !closed.is_timeout(), "{closed:?}");
    let mut cut = cut.unwrap();
    assert_eq!((cut.version(), cut.status().as_u16()), (Version::HTTP_2, 201));
    assert!(!cut.chunk().await.unwrap().unwrap().is_empty(), "half of it arrives");
    let cut = cut.chunk().await.unwrap_err();
    assert!(!cut.is_timeout(), "{cut:?}");
    let report = flow.get("report").await;
    assert_eq!((&report["created"], &report["requests"]["create"]), (&json!(3), &json!(3)), "{report}");
}
