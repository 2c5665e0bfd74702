//! Flow Service and IMS behind TLS, with a private authority: over HTTP/2 and over HTTP/1.1.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::PATIENCE;
use crate::support::corner::{Corner, SOON, job};
use crate::support::eventually::eventually;
use crate::support::tls::Certificates;
use crate::support::worker::WorkerProcess;

/// The simulator's first line, up to its address.
const ANNOUNCEMENT: &str = "simulator listening on ";

/// `connection-worker simulate` with a certificate, and a client that trusts it.
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
        let args = [&["simulate", "--addr", "127.0.0.1:0"], &files[..], flags].concat();
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

    async fn fault(&self, rule: Value) {
        let post = self.client.post(format!("{}/simulator/faults", self.url)).body(rule.to_string());
        post.send().await.unwrap().error_for_status().unwrap();
    }

    /// A worker that calls it, and that trusts what is in a file.
    async fn worker(&self, corner: &Corner, ca_file: &str, ims_url: &str) -> WorkerProcess {
        let flow_url = self.flow_url();
        let urls = [("FLOW_URL", flow_url.as_str()), ("IMS_URL", ims_url)];
        corner
            .worker(&[&SOON[..], &urls, &[("SSL_CERT_FILE", ca_file), ("RETRY_ATTEMPTS", "3")]].concat())
            .await
    }
}

/// A client that does not speak TLS comes first, and hurts nobody but itself.
async fn jobs_are_done_over(version: &str, flags: &[&str]) {
    let (corner, flow) = (Corner::new().await, Secure::start(flags).await);
    let addr = flow.url.strip_prefix("https://").unwrap();
    let mut stranger = TcpStream::connect(addr).await.unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\nhost: simulator\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    stranger.read_to_end(&mut answer).await.unwrap();
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");

    let worker = flow.worker(&corner, &flow.ca_file(), &flow.url).await;
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
    assert_eq!(versions, vec![version; 20]);
    corner.settled().await;
    corner.end(worker).await;
}

#[tokio::test]
async fn connections_are_created_over_http_2() {
    jobs_are_done_over("HTTP/2.0", &[]).await;
}

#[tokio::test]
async fn connections_are_created_over_http_1_where_nothing_else_is_offered() {
    jobs_are_done_over("HTTP/1.1", &["--http1"]).await;
}

/// Nothing was sent, so it is tried again and nothing is in doubt.
#[tokio::test]
async fn a_flow_service_of_an_unknown_authority_gets_no_job() {
    let (corner, flow) = (Corner::new().await, Secure::start(&[]).await);
    let stranger = flow.dir.path().join("stranger.pem");
    fs::write(&stranger, Certificates::generate().unwrap().ca).unwrap();
    // IMS is trusted, so that it is Flow Service that is not.
    let worker = flow.worker(&corner, stranger.to_str().unwrap(), &corner.sim.url()).await;
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

/// What a worker finds broken it looks for; the job that shares the connection notices nothing.
#[tokio::test]
async fn on_http_2_a_fault_breaks_off_its_own_request_and_no_other() {
    let (corner, flow) = (Corner::new().await, Secure::start(&[]).await);
    let worker = flow.worker(&corner, &flow.ca_file(), &flow.url).await;
    assert_eq!(corner.ask(&job("first")).await["status"], "created", "and the connection is there");
    let strike = |id: &str, fault: Value| json!({ "name": format!("connection {id}"), "count": 1, "when": "after", "fault": fault });
    flow.fault(json!([
        strike("closed", json!({ "kind": "close" })),
        strike("cut", json!({ "kind": "truncate" })),
        strike("late", json!({ "kind": "delay", "ms": 1000 })),
    ]))
    .await;
    corner.submit_all(["late", "closed", "cut"].map(job)).await;
    for reply in corner.replies(3).await {
        let reply = reply.json();
        let struck = reply["jobId"] != "late";
        assert_eq!(reply["status"], "created", "{reply}");
        assert_eq!(reply["connection"]["recovered"], struck, "{reply}");
        assert_eq!(reply["attempts"], if struck { 2 } else { 1 }, "{reply}");
    }
    assert_eq!(flow.get("report").await["created"], 4);
    corner.settled().await;
    corner.end(worker).await;
}

#[tokio::test]
async fn on_http_2_half_of_an_answer_arrives_before_it_is_broken_off() {
    let flow = Secure::start(&[]).await;
    flow.fault(json!({ "when": "before", "fault": { "kind": "truncate" } })).await;
    let post = flow.client.post(format!("{}/connections", flow.flow_url())).timeout(Duration::from_secs(10));
    let mut answer = post.send().await.unwrap();
    assert_eq!((answer.version(), answer.status().as_u16()), (reqwest::Version::HTTP_2, 201));
    assert_eq!(answer.chunk().await.unwrap().unwrap().as_ref(), b"{");
    let error = answer.chunk().await.unwrap_err();
    assert!(!error.is_timeout(), "{error:?}");
}
