//! The dashboard and the alerts on a real Prometheus that looks at two workers under load, with faults: every panel shows
//! something, and no alert asks for what is not there.
//!
//! With `DASHBOARD_SECONDS` and `DASHBOARD_PICTURE` (`make dashboard-picture`) it goes on for longer, and draws the dashboard
//! into that file.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use connection_worker::simulator::Options;
use connection_worker::simulator::latency::Latency;
use lapin::BasicProperties;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::corner::{Corner, job};
use crate::support::eventually::eventually;
use crate::support::prometheus::Prometheus;
use crate::support::worker::WorkerProcess;
use crate::support::{PATIENCE, env};

/// How the workers are called in Prometheus.
const JOB: &str = "connection-worker";

/// As long as it takes to see all that a panel can show.
const SECONDS: u64 = 12;

/// For the rates of all panels, at a scrape every second.
const RATE_INTERVAL: &str = "10s";

fn path(name: &str) -> String {
    format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn dashboard() -> Value {
    serde_json::from_str(&fs::read_to_string(path("deploy/grafana/connection-worker.json")).unwrap()).unwrap()
}

/// Every expression of the dashboard with the title of its panel, and its variables filled in as Grafana would.
fn expressions(dashboard: &Value) -> Vec<(String, String)> {
    let targets = |panel: &Value| panel["targets"].as_array().cloned().unwrap_or_default();
    let panels = dashboard["panels"].as_array().expect("it has panels");
    let expression = |panel: &Value, target: &Value| {
        let text = target["expr"].as_str().expect("a target has an expression");
        let text = text.replace("$__rate_interval", RATE_INTERVAL).replace("$job", JOB);
        let text = text.replace("$namespace", ".*");
        let text = text.replace("$instance", ".*").replace("$organisation", ".*");
        (panel["title"].as_str().unwrap_or_default().to_owned(), text)
    };
    panels
        .iter()
        .flat_map(|panel| targets(panel).into_iter().map(move |target| expression(panel, &target)))
        .collect()
}

/// What an alert asks for, without what it compares it with: every metric in it, with its labels.
fn selectors(expression: &str) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts = expression.match_indices("connection_worker_").chain(expression.match_indices("process_"));
    let selector = |(at, _): (usize, &str)| {
        let rest = expression.get(at..)?;
        let name = rest.split(|c| !is_name(c)).next()?;
        let labels = rest.get(name.len()..)?;
        let labels = if labels.starts_with('{') { labels.split_inclusive('}').next()? } else { "" };
        Some(format!("{name}{labels}"))
    };
    starts.filter_map(selector).collect()
}

/// Two workers and what they work on.
struct Busy {
    corner: Corner,
    workers: [WorkerProcess; 2],
    sent: usize,
}

impl Busy {
    async fn start() -> Self {
        let latency = Latency::Lognormal { p50_ms: 60, p99_ms: 400 };
        let corner = Corner::with(Options { latency, ..Options::default() }).await;
        corner.declare_short_retries("quorum", Duration::from_secs(2)).await;
        corner
            .sim
            .fault(json!([
                { "rate": 0.02, "fault": { "kind": "status", "status": 503 } },
                { "rate": 0.01, "fault": { "kind": "throttle", "retryAfter": "1" } },
                { "rate": 0.01, "when": "after", "fault": { "kind": "close" } },
                { "rate": 0.02, "fault": { "kind": "status", "status": 400 } },
                { "rate": 0.02, "fault": { "kind": "delay", "ms": 1500 } },
            ]))
            .await;
        let told =
            [("CONCURRENCY", "6"), ("LOOKUP_SETTLE", "1s"), ("RETRY_BASE", "200ms"), ("RETRY_HOLD", "500ms")];
        let mut workers = [corner.start_worker(&told), corner.start_worker(&told)];
        for worker in &mut workers {
            worker.wait_ready().await;
        }
        Self { corner, workers, sent: 0 }
    }

    /// Sends jobs for a while, more at times than the workers can do; some of them are none.
    async fn work(&mut self, length: Duration) {
        let began = Instant::now();
        while began.elapsed() < length {
            let wave = (began.elapsed().as_secs_f64() / 20.0).sin();
            let number = if wave > 0.5 { 30 } else { 15 };
            self.send(number).await;
            let replies = self.corner.vhost.drain(&self.corner.reply_queue()).await;
            assert!(replies.len() < 100_000);
            sleep(Duration::from_millis(250)).await;
        }
    }

    async fn send(&mut self, number: usize) {
        let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap();
        let sent = BasicProperties::default().with_timestamp(now);
        let jobs = (self.sent..self.sent + number).map(|number| match number % 40 {
            39 => json!({ "jobId": format!("j-{number}"), "colour": "kiwi" }),
            _ => job(&format!("j-{number}")),
        });
        let jobs = jobs.map(|job| (sent.clone(), job.to_string().into_bytes()));
        self.corner.vhost.publish_all(&self.corner.jobs_queue(), jobs).await;
        self.sent += number;
        if self.sent % 300 < number {
            self.corner
                .submit_raw(
                    sent.with_reply_to("gone".into()),
                    job(&format!("g-{}", self.sent)).to_string().as_bytes(),
                )
                .await;
            self.corner.submit_raw(BasicProperties::default(), b"no job").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_panel_and_every_alert_has_something_to_show() {
    let mut busy = Busy::start().await;
    let [one, other] = &mut busy.workers;
    let targets = [one.admin_addr().await, other.admin_addr().await];
    let rules = path("deploy/prometheus/rules.yaml");
    let Some(prometheus) = Prometheus::start(JOB, &targets, Path::new(&rules)).await else { return };
    let seconds = env("DASHBOARD_SECONDS").map_or(SECONDS, |seconds| seconds.parse().unwrap());
    let length = Duration::from_secs(seconds);
    busy.work(length).await;

    let dashboard = dashboard();
    let expressions = expressions(&dashboard);
    assert!(expressions.len() > 50, "{}", expressions.len());
    for (panel, expression) in &expressions {
        // What is shown for want of anything else would be there whatever is asked for; but it is well if no alert fires.
        let asked = expression.split(" or vector(").next().filter(|_| panel != "Alerts");
        let expression = asked.unwrap_or(expression);
        // The first look into the queues may still be to come.
        eventually(&format!("{panel}: {expression}"), PATIENCE, async || {
            match prometheus.values(expression, length).await {
                Ok(values) if !values.is_empty() => Ok(()),
                Ok(_) => Err("no number".to_owned()),
                Err(error) => panic!("{panel}: {expression}: {error}"),
            }
        })
        .await;
    }

    let groups = prometheus.api("rules", &[]).await.unwrap();
    let rules =
        groups["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    let mut number = 0;
    for rule in rules {
        let (name, query) = (&rule["name"], rule["query"].as_str().unwrap());
        assert_eq!(rule["health"], "ok", "{rule}");
        for selector in selectors(query) {
            let values = prometheus.values(&selector, length).await.unwrap();
            assert!(!values.is_empty(), "{name} asks for {selector}, and there is none");
        }
        number += 1;
    }
    assert!(number >= 20, "{number}");
    let watchdog =
        prometheus.values(r#"ALERTS{alertname="ConnectionWorkerWatchdog"}"#, length).await.unwrap();
    assert!(!watchdog.is_empty());

    if let Some(picture) = env("DASHBOARD_PICTURE") {
        draw(&prometheus, &picture, seconds);
    }
    let [one, other] = busy.workers;
    drop(one);
    busy.corner.end(other).await;
}

fn draw(prometheus: &Prometheus, picture: &str, seconds: u64) {
    let drawn = Command::new("python3")
        .arg(path("deploy/grafana/picture.py"))
        .args([format!("http://{}", prometheus.addr()), picture.to_owned(), seconds.to_string()])
        .status()
        .unwrap();
    assert!(drawn.success());
}

/// An alert for which nothing is compared would be missed here; so what is taken out of one is looked at.
#[test]
fn an_alert_is_taken_apart_into_what_it_asks_for() {
    let expression = r#"sum by (job) (rate(connection_worker_a_total{x="y"}[5m])) > 5 and process_open_fds"#;
    assert_eq!(selectors(expression), [r#"connection_worker_a_total{x="y"}"#, "process_open_fds"]);
}

/// A variable that a panel uses is one that the dashboard asks for.
#[test]
fn every_variable_is_known() {
    let dashboard = dashboard();
    let names: Vec<&str> = dashboard["templating"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["name"].as_str())
        .collect();
    assert_eq!(names, ["datasource", "namespace", "job", "instance", "organisation"]);
    for (panel, expression) in expressions(&dashboard) {
        assert!(!expression.contains('$'), "{panel}: {expression}");
    }
}
