//! A server that answers some requests as no server should, byte for byte: what the simulator's HTTP library would not send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// A way to answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attack {
    /// Struck are requests in whose body this stands.
    pub(crate) name: &'static str,
    /// Sent first.
    start: &'static [u8],
    /// Sent again and again, for ever.
    then: &'static [u8],
    /// So often at a time,
    times: usize,
    /// with this pause.
    pause: Duration,
    /// Whether the client gets to see a status.
    pub(crate) has_status: bool,
}

const NO_PAUSE: Duration = Duration::ZERO;
const PAUSE: Duration = Duration::from_millis(20);

/// `{"id":"unpacked"}`
const PACKED: &[u8] = b"HTTP/1.1 201 Created\r\ncontent-encoding: gzip\r\ncontent-type: application/json\r\n\
    content-length: 37\r\n\r\n\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\xab\x56\xca\x4c\x51\xb2\x52\x2a\xcd\x2b\x48\x4c\xce\x4e\x4d\x51\xaa\x05\x00\x56\xe7\x4d\x75\x11\x00\x00\x00";

const fn attack(name: &'static str, start: &'static [u8], then: &'static [u8]) -> Attack {
    Attack { name, start, then, times: 1000, pause: NO_PAUSE, has_status: true }
}

const fn unanswered(name: &'static str, start: &'static [u8], then: &'static [u8]) -> Attack {
    Attack { has_status: false, ..attack(name, start, then) }
}

const fn slow(attack: Attack) -> Attack {
    Attack { times: 1, pause: PAUSE, ..attack }
}

/// Every way.
pub(crate) const ATTACKS: [Attack; 11] = [
    slow(unanswered("trickling head", b"HTTP/1.1 201 Created\r\nx: ", b"x")),
    slow(attack("trickling body", b"HTTP/1.1 201 Created\r\ncontent-length: 60000\r\n\r\n", b" ")),
    slow(unanswered("trickling interim answers", b"", b"HTTP/1.1 102 Processing\r\n\r\n")),
    unanswered("interim answers", b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    unanswered("headers", b"HTTP/1.1 201 Created\r\n", b"a: b\r\n"),
    unanswered("header", b"HTTP/1.1 201 Created\r\nx: ", b"xxxxxxxxxxxxxxxx"),
    attack("body", b"HTTP/1.1 201 Created\r\n\r\n", b"                "),
    attack("chunks", b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    attack("chunk", b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n1;", b"xxxxxxxx"),
    attack("trailers", b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n"),
    attack("packed", PACKED, b""),
];

/// A running server; it stops with the test's runtime.
#[derive(Debug)]
pub(crate) struct Hostile {
    addr: SocketAddr,
}

impl Hostile {
    /// Starts one. Requests that name no attack are answered as by Flow Service and IMS; without a body of their own, as
    /// `always` has it.
    pub(crate) async fn start(always: Option<Attack>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, always));
            }
        });
        Self { addr }
    }

    /// The worker's `FLOW_URL` and `IMS_URL`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

async fn serve(mut stream: TcpStream, always: Option<Attack>) {
    let Some(request) = read(&mut stream).await else { return };
    let named = ATTACKS.iter().find(|attack| request.contains(&format!("\"{}\"", attack.name)));
    match always.or(named.copied()) {
        Some(attack) => strike(stream, attack).await,
        None => drop(stream.write_all(answer(&request).as_bytes()).await),
    }
}

async fn strike(mut stream: TcpStream, attack: Attack) {
    let then = attack.then.repeat(attack.times);
    // Until the client has had enough of it.
    let mut sent = stream.write_all(attack.start).await;
    while sent.is_ok() && !then.is_empty() {
        sleep(attack.pause).await;
        sent = stream.write_all(&then).await;
    }
}

fn answer(request: &str) -> String {
    let body = if request.starts_with("POST /ims/") {
        r#"{"access_token":"a-token","expires_in":86399}"#
    } else if request.starts_with("POST ") {
        r#"{"id":"2fce94c1-9a93-4971-8e94-c19a93097129","etag":"1"}"#
    } else {
        r#"{"items":[]}"#
    };
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// A request with its body.
async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(text.into_owned());
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
