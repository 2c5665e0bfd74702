//! Prometheus, as far as the machine has it: its rule checker, and a server of the test's own.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use url::form_urlencoded::Serializer;

use super::eventually::eventually;
use super::worker::WorkerProcess;
use super::{PATIENCE, env, http, tell};

/// One of Prometheus' programs, by its name; nothing if it is not installed, which `make test` sees to.
pub(crate) fn tool(name: &str) -> Option<Command> {
    let path = env("PATH").unwrap_or_default();
    let found = path.split(':').map(|place| Path::new(place).join(name)).find(|file| file.is_file());
    if found.is_none() {
        tell(&format!("{name} is not installed: what needs it is left out"));
    }
    found.map(Command::new)
}

/// A running server with its own port and data; both are gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Prometheus {
    addr: SocketAddr,
    _process: WorkerProcess,
    _data: TempDir,
}

impl Prometheus {
    /// Starts one that looks at these places every second, as one `job`, and knows these rules; nothing if it is not
    /// installed.
    pub(crate) async fn start(job: &str, targets: &[SocketAddr], rules: &Path) -> Option<Self> {
        let mut command = tool("prometheus")?;
        let data = TempDir::new().unwrap();
        let config = data.path().join("prometheus.yml");
        fs::write(&config, configuration(job, targets, rules)).unwrap();
        // Free by now, and not taken in between: nobody else asks for a certain port.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        drop(listener);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.path().join("data").display()))
            .arg(format!("--web.listen-address={addr}"));
        let process = WorkerProcess::spawn_command(command);
        eventually("Prometheus is ready", PATIENCE, async || {
            http::get(addr, "/-/ready").await.is_ok_and(|answer| answer.status == 200)
        })
        .await;
        Some(Self { addr, _process: process, _data: data })
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What a path of its HTTP API answers, or the error that it tells.
    pub(crate) async fn api(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let query = Serializer::new(String::new()).extend_pairs(parameters).finish();
        let answer = http::get(self.addr, &format!("/api/v1/{path}?{query}")).await.unwrap();
        let body: Value = serde_json::from_str(&answer.body).map_err(|_| answer.body.clone())?;
        if body["status"] == "success" { Ok(body["data"].clone()) } else { Err(body["error"].to_string()) }
    }

    /// The values of an expression over the last while, all series of it together; those that are no number are left out.
    pub(crate) async fn values(&self, expression: &str, past: Duration) -> Result<Vec<f64>, String> {
        let range = format!("({expression})[{}s:1s]", past.as_secs());
        let data = self.api("query", &[("query", &range)]).await?;
        let series = data["result"].as_array().cloned().unwrap_or_default();
        let samples =
            series.iter().flat_map(|series| series["values"].as_array().cloned().unwrap_or_default());
        let numbers = samples.filter_map(|sample| sample[1].as_str()?.parse().ok());
        Ok(numbers.filter(|number: &f64| number.is_finite()).collect())
    }
}

fn configuration(job: &str, targets: &[SocketAddr], rules: &Path) -> String {
    let mut text = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
         rule_files: ['{}']\n\
         scrape_configs:\n  - job_name: {job}\n    static_configs:\n      - targets:\n",
        rules.display()
    );
    for target in targets {
        writeln!(text, "        - '{target}'").expect("a string takes it");
    }
    text
}
