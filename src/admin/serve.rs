//! Serves a router to machines on the network, within bounds: whoever reaches the port can neither keep others away from
//! it nor grow the worker.
//!
//! Knows nothing of what is served.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tracing::debug;

/// Connections at a time. When one more comes, the oldest makes way: a client that keeps its connection opens another, and
/// one that only sits there is none that anybody waits for.
const CONNECTIONS: usize = 64;

/// The head of a request must be there in this time after its connection was opened, or after the answer before. So this
/// is also how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of a request's head, and of what is read at a time: the least that hyper can do with. Longer ones are answered
/// 431.
const HEAD_BYTES: usize = 8 * 1024;

/// Headers of a request.
const HEADERS: usize = 64;

/// Serves until `end`; what is under way then is cut off.
pub(super) async fn serve(mut listener: TcpListener, router: Router, end: impl Future<Output = ()>) {
    let http = bounded();
    let mut end = pin!(end);
    let mut connections = JoinSet::new();
    let mut by_age = VecDeque::with_capacity(CONNECTIONS);
    loop {
        let stream = tokio::select! {
            // Outlasts a want of open files.
            (stream, _) = Listener::accept(&mut listener) => stream,
            () = &mut end => return,
        };
        while connections.try_join_next().is_some() {}
        make_way(&mut by_age);
        by_age.push_back(connections.spawn(talk(http.clone(), stream, router.clone())));
    }
}

fn bounded() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .max_header_size(HEAD_BYTES)
        .max_headers(HEADERS);
    http
}

/// Sees to it that there is room for one more.
fn make_way(by_age: &mut VecDeque<AbortHandle>) {
    by_age.retain(|connection| !connection.is_finished());
    while by_age.len() >= CONNECTIONS
        && let Some(oldest) = by_age.pop_front()
    {
        oldest.abort();
    }
}

async fn talk(http: http1::Builder, stream: TcpStream, router: Router) {
    let served = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
    if let Err(error) = served {
        debug!(%error, "a connection to the admin port ended badly");
    }
}
