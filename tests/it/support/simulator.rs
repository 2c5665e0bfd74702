//! The Flow Service and IMS stand-in, on a free port and on the test's runtime.

use std::net::{Ipv4Addr, SocketAddr};

use connection_worker::simulator::{Options, Simulator};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::http;

/// More than any test creates.
const ALL_REQUESTS: usize = 100_000;

/// A running simulator; it stops when dropped.
#[derive(Debug)]
pub(crate) struct Sim {
    addr: SocketAddr,
    _stop: DropGuard,
}

impl Sim {
    /// Starts one.
    pub(crate) async fn start(options: Options) -> Self {
        let simulator = Simulator::bind((Ipv4Addr::LOCALHOST, 0).into(), options).await.unwrap();
        let addr = simulator.local_addr();
        let stop = CancellationToken::new();
        tokio::spawn(simulator.run(stop.clone().cancelled_owned()));
        Self { addr, _stop: stop.drop_guard() }
    }

    /// Where it listens: the target of a [`super::proxy::Proxy`].
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The root of IMS: the worker's `IMS_URL`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The root of Flow Service: the worker's `FLOW_URL`.
    pub(crate) fn flow_url(&self) -> String {
        flow_url_at(self.addr)
    }

    /// Adds a rule of misbehaviour, or an array of them.
    pub(crate) async fn fault(&self, rule: Value) {
        self.post("faults", &rule).await;
    }

    /// Drops all rules.
    pub(crate) async fn clear_faults(&self) {
        self.call("DELETE", "faults", "").await;
    }

    /// Makes every access token a bad one.
    pub(crate) async fn expire_tokens(&self) {
        self.post("tokens/expire", &Value::Null).await;
    }

    /// From here on it answers at once, and lists whatever there is.
    pub(crate) async fn hurry(&self) {
        let settings = json!({ "latency": { "kind": "none" }, "findLagMs": 0 });
        self.call("PUT", "settings", &settings.to_string()).await;
    }

    /// What it has counted.
    pub(crate) async fn report(&self) -> Value {
        self.call("GET", "report", "").await
    }

    /// The create requests that it has seen, with headers and body.
    pub(crate) async fn requests(&self) -> Vec<Value> {
        match self.call("GET", &format!("requests?limit={ALL_REQUESTS}"), "").await {
            Value::Object(mut answer) => match answer.remove("requests") {
                Some(Value::Array(requests)) => requests,
                other => panic!("no requests: {other:?}"),
            },
            other => panic!("no object: {other}"),
        }
    }

    /// Every connection that it has, newest first, as Flow Service lists them. `token` is the access token that it was
    /// started with.
    pub(crate) async fn connections(&self, org: &str, sandbox: &str, token: &str) -> Vec<Value> {
        let client = reqwest::Client::new();
        let mut found = Vec::new();
        let mut next = Some("/connections?limit=100".to_owned());
        while let Some(path) = next.take() {
            let request = client
                .get(format!("{}{path}", self.flow_url()))
                .bearer_auth(token)
                .header("x-api-key", "an-auditor")
                .header("x-gw-ims-org-id", org)
                .header("x-sandbox-name", sandbox);
            let answer = request.send().await.unwrap().error_for_status().unwrap();
            let mut page: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
            next = page["_links"]["next"]["href"].as_str().map(str::to_owned);
            found.append(page["items"].as_array_mut().expect("a page has items"));
        }
        found
    }

    async fn post(&self, path: &str, body: &Value) {
        self.call("POST", path, &body.to_string()).await;
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> Value {
        let answer = http::request(self.addr, method, &format!("/simulator/{path}"), body).await.unwrap();
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
        serde_json::from_str(&answer.body).unwrap_or(Value::Null)
    }
}

/// The root of Flow Service at another address: a proxy's.
pub(crate) fn flow_url_at(addr: SocketAddr) -> String {
    format!("http://{addr}/data/foundation/flowservice")
}
