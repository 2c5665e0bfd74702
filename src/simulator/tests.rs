//! The simulator over real HTTP. The client is a bare socket, so that broken answers are seen as they are sent.

mod control;
mod create;
mod faults;
mod lists;
mod states;
mod tokens;

use std::fmt::Write;
use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Options, Simulator};

const FLOW: &str = "/data/foundation/flowservice";
const HUBSPOT: &str = "cc6a4487-9e91-433e-a3a3-9cf6626c1806";
const SFTP: &str = "b7bf2577-4520-42c9-bae9-cad01560f7bc";

/// The headers of a request that is let through.
const HEADERS: [(&str, &str); 5] = [
    ("authorization", "Bearer fixed"),
    ("x-api-key", "client"),
    ("x-gw-ims-org-id", "1@AdobeOrg"),
    ("x-sandbox-name", "dev"),
    ("content-type", "application/json"),
];

/// A running simulator.
struct Sim {
    addr: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// What came back.
#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The code of the error, in whatever shape.
    fn code(&self) -> String {
        let body = self.json();
        let code = body["type"].as_str().and_then(|code| code.rsplit('/').next());
        code.or(body["error_code"].as_str()).or(body["error"].as_str()).unwrap().to_owned()
    }
}

impl Sim {
    async fn start(options: Options) -> Self {
        let options = Options { access_token: Some("fixed".to_owned()), ..options };
        let simulator = Simulator::bind(([127, 0, 0, 1], 0).into(), options).await.unwrap();
        let (addr, stop) = (simulator.local_addr(), CancellationToken::new());
        let task = tokio::spawn(simulator.run(stop.clone().cancelled_owned()));
        Self { addr, stop, task }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> TcpStream {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: simulator\r\nconnection: close\r\n");
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        write!(head, "content-length: {}\r\n\r\n", body.len()).unwrap();
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // Refused bodies may be left unread.
        stream.write_all(body).await.ok();
        stream
    }

    /// The answer, or nothing if the connection was closed without one.
    async fn exchange(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Reply> {
        let mut stream = self.send(method, path, headers, body).await;
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes).await;
        let at = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let at = at.or_else(|| {
            assert!(bytes.is_empty(), "half a head: {read:?}");
            None
        })?;
        let head = String::from_utf8(bytes[..at].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Some(Reply { status, head, body: bytes[at + 4..].to_vec() })
    }

    /// A call with the good headers. `<` and `>` are escaped here, so that filters can be read.
    async fn flow(&self, method: &str, path: &str) -> Reply {
        let path = path.replace('<', "%3C").replace('>', "%3E");
        self.exchange(method, &format!("{FLOW}{path}"), &HEADERS, b"").await.unwrap()
    }

    /// A create with these headers in place of, or besides, the good ones; an empty value leaves one out.
    async fn post(&self, changed: &[(&str, &str)], body: &[u8]) -> Option<Reply> {
        let kept = HEADERS.iter().filter(|(name, _)| changed.iter().all(|(other, _)| other != name));
        let headers: Vec<_> = kept.chain(changed).filter(|(_, value)| !value.is_empty()).copied().collect();
        self.exchange("POST", &format!("{FLOW}/connections"), &headers, body).await
    }

    async fn try_create(&self, name: &str, description: &str) -> Option<Reply> {
        self.post(&[], hubspot(name, description).to_string().as_bytes()).await
    }

    async fn create(&self, name: &str, description: &str) -> String {
        let reply = self.try_create(name, description).await.unwrap();
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.json()["id"].as_str().unwrap().to_owned()
    }

    async fn control(&self, method: &str, path: &str, body: &Value) -> Reply {
        let body = body.to_string();
        self.exchange(method, &format!("/simulator/{path}"), &[], body.as_bytes()).await.unwrap()
    }

    async fn fault(&self, rule: Value) {
        let reply = self.control("POST", "faults", &rule).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }

    async fn report(&self) -> Value {
        self.control("GET", "report", &Value::Null).await.json()
    }

    async fn token(&self, form: &str) -> Reply {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        self.exchange("POST", "/ims/token/v3", &headers, form.as_bytes()).await.unwrap()
    }

    /// The names of the listed connections.
    async fn names(&self, query: &str) -> Vec<String> {
        let reply = self.flow("GET", &format!("/connections{query}")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        names_in(&reply.json())
    }
}

fn names_in(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

fn hubspot(name: &str, description: &str) -> Value {
    json!({
        "name": name,
        "description": description,
        "auth": {
            "specName": "Basic Authentication",
            "params": { "clientId": "id", "clientSecret": "s1", "accessToken": "s2", "refreshToken": "s3" },
        },
        "connectionSpec": { "id": HUBSPOT, "version": "1.0" },
    })
}

#[tokio::test]
async fn it_ends_when_told_although_a_request_hangs() {
    let sim = Sim::start(Options::default()).await;
    sim.fault(json!({ "fault": { "kind": "hang" } })).await;
    let body = hubspot("a", "").to_string();
    let mut hanging = sim.send("POST", &format!("{FLOW}/connections"), &HEADERS, body.as_bytes()).await;
    while sim.report().await["faults"]["hang"] != 1 {
        tokio::task::yield_now().await;
    }
    sim.stop.cancel();
    sim.task.await.unwrap();
    assert_eq!(hanging.read_to_end(&mut Vec::new()).await.unwrap_or(0), 0);
    assert!(TcpStream::connect(sim.addr).await.is_err());
}
