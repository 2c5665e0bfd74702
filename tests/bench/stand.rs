//! What the programs under test work with: a RabbitMQ node and simulators, each a process of its own.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::broker::Broker;

/// What the simulator takes without having issued it: the bare loop asks no IMS.
pub(crate) const ACCESS_TOKEN: &str = "bench-access-token";

/// A broker, and a directory for what the programs log.
#[derive(Debug)]
pub(crate) struct Stand {
    pub(crate) broker: Broker,
    dir: TempDir,
}

/// How the simulator is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Http {
    Plain,
    Tls,
}

/// A running simulator; killed when dropped.
#[derive(Debug)]
pub(crate) struct Simulator {
    process: Child,
    /// Its root, such as `http://127.0.0.1:12345`.
    pub(crate) url: String,
}

impl Stand {
    /// Starts the broker, in some seconds.
    pub(crate) async fn start() -> Self {
        Self { broker: Broker::start().await, dir: tempfile::tempdir().expect("a temporary directory") }
    }

    /// Where the programs log to.
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// Starts a simulator whose answers take `latency`, as its `--latency` has it.
    pub(crate) fn simulator(&self, latency: &str) -> Simulator {
        self.simulator_with(latency, Http::Plain, &[])
    }

    /// The same, over TLS or with further arguments.
    pub(crate) fn simulator_with(&self, latency: &str, http: Http, args: &[&str]) -> Simulator {
        let mut command = Command::new(env!("CARGO_BIN_EXE_connection-worker"));
        command.args(["simulate", "--addr", "127.0.0.1:0", "--access-token", ACCESS_TOKEN]);
        command.args(["--latency", latency, "--max-requests", "0"]).args(args);
        if http == Http::Tls {
            let dir = self.dir.path();
            self.broker.certificates().write_server_files(dir).expect("certificates");
            command.arg("--tls-cert").arg(dir.join("server.pem"));
            command.arg("--tls-key").arg(dir.join("server-key.pem"));
        }
        Simulator::start(command)
    }
}

impl Simulator {
    fn start(mut command: Command) -> Self {
        let mut process =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the simulator starts");
        let mut line = String::new();
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped"));
        lines.read_line(&mut line).expect("a line");
        let url = line.split_whitespace().find(|word| word.starts_with("http"));
        let url = url.unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
        Self { process, url }
    }

    /// The operating system's number of it.
    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    /// The root of Flow Service.
    pub(crate) fn flow_url(&self) -> String {
        format!("{}/data/foundation/flowservice", self.url)
    }

    /// What it has counted; only without TLS.
    pub(crate) async fn report(&self) -> serde_json::Value {
        serde_json::from_str(&self.control("GET", "report", "").await).expect("a report")
    }

    /// Makes it misbehave, as one rule has it.
    pub(crate) async fn fault(&self, rule: &str) {
        self.control("POST", "faults", rule).await;
    }

    /// Drops all rules.
    pub(crate) async fn clear_faults(&self) {
        self.control("DELETE", "faults", "").await;
    }

    async fn control(&self, method: &str, path: &str, body: &str) -> String {
        let addr = self.url.strip_prefix("http://").expect("no TLS").parse().expect("an address");
        let path = format!("/simulator/{path}");
        let answer = crate::support::http::request(addr, method, &path, body).await.expect("an answer");
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
        answer.body
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // Errors say that it has ended already.
        self.process.kill().unwrap_or_default();
        drop(self.process.wait());
    }
}
