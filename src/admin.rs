//! The port for machines that look after the worker: `/metrics`, `/livez`, `/readyz`; and for people: `/`.
//!
//! Liveness asks only whether the event loop answers: restarting the worker mends neither the broker nor the API.
//! Readiness says whether jobs are being taken.

mod serve;
mod status;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::admission::Admission;
use crate::metrics::Metrics;

/// Whether the worker takes jobs: it has a session, and was not told to stop. Clones share the answer.
#[derive(Debug, Clone)]
pub struct Readiness {
    in_session: Arc<AtomicBool>,
    stop: CancellationToken,
}

impl Readiness {
    /// Not ready until there is a session, and not any more once `stop` is cancelled.
    pub fn new(stop: CancellationToken) -> Self {
        Self { in_session: Arc::default(), stop }
    }

    /// Whether there is a session.
    pub fn set(&self, in_session: bool) {
        self.in_session.store(in_session, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.in_session.load(Ordering::Relaxed) && !self.stop.is_cancelled()
    }
}

#[derive(Clone)]
struct Served {
    metrics: Metrics,
    admission: Admission,
    readiness: Readiness,
}

/// The admin port, bound and not yet served.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
}

impl Admin {
    /// Binds the port, so that an occupied one is told before any job is taken.
    pub async fn bind(addr: SocketAddr) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(addr).await? })
    }

    /// Where it listens; tells the port if 0 was asked for.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `end`, within bounds.
    pub async fn serve(
        self,
        metrics: Metrics,
        admission: Admission,
        readiness: Readiness,
        end: impl Future<Output = ()> + Send + 'static,
    ) {
        let router = Router::new()
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(render_metrics))
            .merge(status::routes())
            .with_state(Served { metrics, admission, readiness });
        serve::serve(self.listener, router, end).await;
    }
}

async fn readyz(State(served): State<Served>) -> (StatusCode, &'static str) {
    if served.readiness.get() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not taking jobs\n")
    }
}

async fn render_metrics(State(served): State<Served>) -> Response {
    match served.metrics.render() {
        Ok(page) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], page).into_response(),
        Err(error) => {
            error!(%error, "the metrics page could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
