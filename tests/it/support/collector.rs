//! A collector of traces: takes spans over OTLP (HTTP, protobuf) and keeps them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::PATIENCE;
use super::eventually::eventually;

/// A collector on a port of its own, until it is dropped.
#[derive(Debug)]
pub(crate) struct Collector {
    url: String,
    kept: Arc<Mutex<Kept>>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Kept {
    batches: Vec<ExportTraceServiceRequest>,
    headers: Vec<HeaderMap>,
    /// The statuses of the next answers.
    refusals: Vec<StatusCode>,
    rejected: i64,
}

/// A span, with what is asked for most.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) kind: SpanKind,
    /// Ids in hexadecimal; empty if there is none.
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) attributes: BTreeMap<String, String>,
    /// Name and attributes.
    pub(crate) events: Vec<(String, BTreeMap<String, String>)>,
    pub(crate) failed: bool,
}

impl Seen {
    /// An attribute; empty if it is not there.
    pub(crate) fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map(String::as_str).unwrap_or_default()
    }

    /// What a `traceparent` says that names this span.
    pub(crate) fn as_parent(&self) -> String {
        format!("00-{}-{}-01", self.trace, self.id)
    }
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let kept: Arc<Mutex<Kept>> = Arc::default();
        let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&kept));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, kept, server }
    }

    /// The endpoint for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Answers the next batch with a status.
    pub(crate) fn refuse(&self, status: u16) {
        self.kept.lock().unwrap().refusals.push(StatusCode::from_u16(status).unwrap());
    }

    /// Says of each further batch that so many of its spans were not taken.
    pub(crate) fn reject(&self, spans: i64) {
        self.kept.lock().unwrap().rejected = spans;
    }

    /// The headers of every request, refused ones included.
    pub(crate) fn headers(&self) -> Vec<HeaderMap> {
        self.kept.lock().unwrap().headers.clone()
    }

    /// Everything that it was told, as text.
    pub(crate) fn text(&self) -> String {
        format!("{:#?}", self.kept.lock().unwrap().batches)
    }

    /// What those say of themselves that sent something.
    pub(crate) fn resources(&self) -> Vec<BTreeMap<String, String>> {
        let kept = self.kept.lock().unwrap();
        let spans = kept.batches.iter().flat_map(|batch| &batch.resource_spans);
        spans.map(|spans| texts(&spans.resource.as_ref().unwrap().attributes)).collect()
    }

    /// Every span that it has taken.
    pub(crate) fn spans(&self) -> Vec<Seen> {
        let kept = self.kept.lock().unwrap();
        let resources = kept.batches.iter().flat_map(|batch| &batch.resource_spans);
        resources.flat_map(|spans| &spans.scope_spans).flat_map(|spans| &spans.spans).map(seen).collect()
    }

    /// The spans of a trace, as soon as there are `n` and that of a delivery, which ends last.
    pub(crate) async fn trace(&self, trace: &str, n: usize) -> Vec<Seen> {
        eventually("the spans are exported", PATIENCE, async || {
            let mut spans = self.spans();
            spans.retain(|span| span.trace == trace);
            let delivered = spans.iter().any(|span| span.kind == SpanKind::Consumer);
            if spans.len() >= n && delivered { Ok(spans) } else { Err(spans) }
        })
        .await
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(
    State(kept): State<Arc<Mutex<Kept>>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(header::HeaderName, &'static str); 1], Vec<u8>) {
    let mut kept = kept.lock().unwrap();
    let media_type = [(header::CONTENT_TYPE, "application/x-protobuf")];
    assert_eq!(headers.get(header::CONTENT_TYPE).unwrap(), media_type[0].1);
    kept.headers.push(headers);
    if let Some(status) = kept.refusals.pop() {
        return (status, media_type, Vec::new());
    }
    kept.batches.push(ExportTraceServiceRequest::decode(body).unwrap());
    let rejected_spans = kept.rejected;
    let partial_success = (rejected_spans > 0)
        .then(|| ExportTracePartialSuccess { rejected_spans, error_message: "not these".to_owned() });
    (StatusCode::OK, media_type, ExportTraceServiceResponse { partial_success }.encode_to_vec())
}

fn seen(span: &Span) -> Seen {
    let hex = |id: &[u8]| {
        let bytes: Vec<String> = id.iter().map(|byte| format!("{byte:02x}")).collect();
        bytes.concat()
    };
    Seen {
        name: span.name.clone(),
        kind: span.kind(),
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        attributes: texts(&span.attributes),
        events: span.events.iter().map(|event| (event.name.clone(), texts(&event.attributes))).collect(),
        failed: span.status.as_ref().is_some_and(|status| status.code == 2),
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &KeyValue| match value.value.as_ref().unwrap().value.as_ref().unwrap() {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        Value::BoolValue(value) => value.to_string(),
        other => panic!("{other:?}"),
    };
    attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute))).collect()
}
