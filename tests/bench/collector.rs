//! A collector of traces that takes all and keeps nothing: what is done with spans elsewhere is no cost of the worker's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// On a port of its own, until it is dropped.
#[derive(Debug)]
pub(crate) struct Collector {
    /// Its root, as `OTEL_EXPORTER_OTLP_ENDPOINT` has it.
    pub(crate) url: String,
    batches: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl Collector {
    /// Starts it.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let batches = Arc::new(AtomicUsize::new(0));
        let taken = Arc::clone(&batches);
        // An empty answer is an ExportTraceServiceResponse: all were taken.
        let take = async move |_batch: Bytes| {
            taken.fetch_add(1, Ordering::Relaxed);
        };
        let routes = Router::new().route("/v1/traces", axum::routing::post(take));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.expect("it serves") });
        Self { url, batches, server }
    }

    /// Requests that it has taken.
    pub(crate) fn batches(&self) -> usize {
        self.batches.load(Ordering::Relaxed)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}
