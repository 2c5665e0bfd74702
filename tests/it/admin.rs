//! The admin port towards machines that mean no good: it stays there for those who do, and the worker stays as it is.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::PATIENCE;
use crate::support::eventually::eventually;
use crate::support::http;
use crate::support::scene::Scene;

/// Less than the five seconds after which a connection is closed because it is idle, so that it is for another reason.
const TOO_SOON_TO_BE_IDLE: Duration = Duration::from_secs(3);

async fn start() -> (Scene, SocketAddr) {
    let mut scene = Scene::start(&[]).await;
    let addr = scene.worker.admin_addr().await;
    (scene, addr)
}

/// All that comes until the other side closes, which it has to do by itself.
async fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    // A connection that is reset has said all that it had to say, too.
    drop(timeout(PATIENCE, reading).await.expect("the connection is closed"));
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends bytes, all of which may not be wanted, and gives what comes back.
async fn answer_to(addr: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request).await.ok();
    rest(stream).await
}

#[tokio::test]
async fn idle_connections_keep_no_scrape_away() {
    const IDLE: usize = 500;
    let (scene, addr) = start().await;
    let before = scene.worker.metric("process_open_fds").await;
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(TcpStream::connect(addr).await.unwrap());
    }
    // Those that came last are still there, until they have been idle for too long.
    let mut last = idle.pop().unwrap();
    last.write_all(b"GET /livez HTTP/1.1\r\nhost: worker\r\n\r\n").await.unwrap();
    let mut answer = [0; 15];
    last.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    for (most, patience) in [(64.0, TOO_SOON_TO_BE_IDLE), (1.0, PATIENCE)] {
        eventually(&format!("{most} connections at most"), patience, async || {
            let open = scene.worker.metric("process_open_fds").await - before;
            if open <= most { Ok(()) } else { Err(open) }
        })
        .await;
    }
    rest(last).await;
}

/// One byte a while for ever: what counts is when the whole head is there.
#[tokio::test]
async fn a_request_that_trickles_in_is_cut_off() {
    let (scene, addr) = start().await;
    let (mut reading, mut writing) = TcpStream::connect(addr).await.unwrap().into_split();
    writing.write_all(b"GET /metrics HTTP/1.1\r\nx-slow: ").await.unwrap();
    let trickle = async {
        while writing.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let mut answer = Vec::new();
    tokio::select! {
        ended = timeout(PATIENCE, reading.read_to_end(&mut answer)) => drop(ended.expect("it is cut off")),
        () = trickle => {}
    }
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    assert_eq!(http::get(addr, "/livez").await.unwrap().status, 200);
    drop(scene);
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let (scene, addr) = start().await;
    let before = scene.worker.metric("process_resident_memory_bytes").await;
    let many = format!("GET /livez HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(1000));
    let long = format!("GET /livez HTTP/1.1\r\nx-long: {}\r\n\r\n", "x".repeat(1 << 20));
    let path = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20));
    for request in [many, long, path] {
        let answer = answer_to(addr, request.as_bytes()).await;
        // What is still on its way to a closed connection can take the answer with it.
        let status = answer.split_whitespace().nth(1);
        assert!(status.is_none_or(|status| ["431", "414"].contains(&status)), "{answer}");
    }
    // Nobody reads a body.
    let mut body = b"POST /metrics HTTP/1.1\r\nhost: worker\r\ncontent-length: 100000000\r\n\r\n".to_vec();
    body.resize(20 << 20, b'x');
    let answer = answer_to(addr, &body).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 405"), "{answer}");
    let grown = scene.worker.metric("process_resident_memory_bytes").await - before;
    assert!(grown < 10e6, "the worker has grown by {grown} bytes");
}

#[tokio::test]
async fn only_known_pages_can_be_read_and_nothing_else_can_be_done() {
    let (_scene, addr) = start().await;
    for (method, path, status) in [
        ("GET", "/livez", 200),
        ("HEAD", "/metrics", 200),
        ("POST", "/metrics", 405),
        ("PUT", "/readyz", 405),
        ("DELETE", "/livez", 405),
        ("TRACE", "/livez", 405),
        ("OPTIONS", "/metrics", 405),
        ("CONNECT", "/metrics", 405),
        ("GET", "/debug/pprof/", 404),
        ("GET", "/../etc/passwd", 404),
        ("GET", "//metrics", 404),
        ("GET", "/metrics/", 404),
        ("POST", "/quit", 404),
    ] {
        let answer = http::request(addr, method, path, "").await.unwrap();
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert!(method != "HEAD" || answer.body.is_empty(), "{answer:?}");
    }
    // HTTP/2 without asking, and nonsense.
    for nonsense in [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], b"\x16\x03\x01\x00\xf4", b"\0\r\n\r\n"] {
        let answer = answer_to(addr, nonsense).await;
        assert!(!answer.contains(" 200 "), "{answer}");
    }
}
