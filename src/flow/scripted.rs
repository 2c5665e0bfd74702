//! A server for tests that does to its clients what a script says, byte for byte.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

/// Makes an answer from a request.
pub(super) type Maker = Box<dyn Fn(&Request) -> Vec<u8> + Send>;

/// What the server does with one request.
pub(super) enum Step {
    /// Answers and keeps the connection.
    Answer(Vec<u8>),
    /// Answers as it likes, and closes the connection.
    Last(Vec<u8>),
    /// Answers with what it makes of the request.
    Make(Maker),
    /// Closes the connection without an answer.
    Close,
    /// Never answers.
    Hang,
}

/// A request as it came in.
#[derive(Clone)]
pub(super) struct Request {
    /// `POST /connections HTTP/1.1`
    pub(super) line: String,
    /// Names in lower case, sorted.
    pub(super) headers: Vec<(String, String)>,
    /// As text.
    pub(super) body: String,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A running server; it stops with the test's runtime.
pub(super) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    script: Mutex<VecDeque<Step>>,
    received: Mutex<Vec<Request>>,
}

impl Server {
    pub(super) async fn start(script: impl IntoIterator<Item = Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { script: Mutex::new(script.into_iter().collect()), ..Shared::default() });
        let served = Arc::clone(&shared);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&served)));
            }
        });
        Self { address, shared }
    }

    pub(super) fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address)).unwrap()
    }

    pub(super) fn received(&self) -> Vec<Request> {
        self.shared.received.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    while let Some(request) = read(&mut stream).await {
        shared.received.lock().unwrap().push(request.clone());
        let step = shared.script.lock().unwrap().pop_front();
        match step.unwrap_or_else(|| Step::Last(answer(599, &[], "the script is at its end"))) {
            Step::Answer(bytes) => stream.write_all(&bytes).await.unwrap(),
            Step::Make(make) => stream.write_all(&make(&request)).await.unwrap(),
            Step::Last(bytes) => {
                // The client may stop reading before the end.
                let _sent = stream.write_all(&bytes).await;
                return;
            }
            Step::Close => return,
            Step::Hang => std::future::pending().await,
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let mut headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    headers.sort();
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or("0", |(_, length)| length);
    let end = head_end + 4 + length.parse::<usize>().unwrap();
    while bytes.len() < end {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(Request { line, headers, body: String::from_utf8(bytes[head_end + 4..end].to_vec()).unwrap() })
}

/// An answer with a `Content-Length`.
pub(super) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} Any\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    format!("{head}\r\n{body}").into_bytes()
}

/// A step that answers with JSON.
pub(super) fn json(status: u16, body: &str) -> Step {
    Step::Answer(answer(status, &[("Content-Type", "application/json")], body))
}
