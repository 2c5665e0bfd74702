//! Sends batches of spans to a collector: OTLP over HTTP, in protobuf.
//!
//! Specification: <https://opentelemetry.io/docs/specs/otlp/#otlphttp>. A batch that the collector may take later is sent
//! again, within its deadline; one that is lost is counted, and told once a minute at the most.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use prost::Message;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::warn;
use url::Url;

use super::StartError;
use crate::metrics::traces::{SpanEnd, TraceMetrics};
use crate::retry::doubling;
use crate::telemetry::Chain;

/// First pause before a batch is sent again; it doubles.
const PAUSE: Duration = Duration::from_millis(500);

/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How often lost batches are told of.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// The collector's answer has a few numbers and a short text.
const MAX_ANSWER: usize = 64 * 1024;

/// Headers that each batch is sent with. Shows no values.
#[derive(Clone, Default)]
pub struct Headers(HeaderMap);

/// Something that cannot be an HTTP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("holds characters that cannot be sent in an HTTP header")]
pub struct UnfitHeader;

impl Headers {
    /// Adds one, in place of another of that name.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), UnfitHeader> {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| UnfitHeader)?;
        let mut value = HeaderValue::from_str(value).map_err(|_| UnfitHeader)?;
        value.set_sensitive(true);
        self.0.insert(name, value);
        Ok(())
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A batch did not arrive, or not all of it.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("the collector did not answer")]
    NoAnswer(#[source] reqwest::Error),
    #[error("the collector answered HTTP {0}")]
    Refused(u16),
    #[error("the collector did not answer within {0:?}")]
    Late(Duration),
    #[error("the collector did not take all spans")]
    Partial,
    #[error("the export was cut off")]
    CutOff(#[source] tokio::task::JoinError),
}

impl ExportError {
    /// Whether the specification lets the batch be sent again.
    fn may_pass(&self) -> bool {
        match self {
            Self::NoAnswer(_) | Self::Refused(429 | 502 | 503 | 504) => true,
            Self::Refused(_) | Self::Late(_) | Self::Partial | Self::CutOff(_) => false,
        }
    }
}

/// Where batches go.
#[derive(Debug, Clone)]
pub(super) struct Collector {
    http: reqwest::Client,
    endpoint: Url,
    headers: HeaderMap,
    timeout: Duration,
}

impl Collector {
    pub(super) fn new(endpoint: Url, headers: Headers, timeout: Duration) -> Result<Self, StartError> {
        let client = reqwest::Client::builder()
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            // Whatever credentials the headers hold are for this address alone.
            .redirect(redirect::Policy::none())
            .build();
        let http = client.map_err(|error| StartError::Https(Chain(&error.without_url()).to_string()))?;
        let Headers(mut headers) = headers;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        Ok(Self { http, endpoint, headers, timeout })
    }

    /// Sends a batch, again if need be, and gives the number of spans that the collector would not have.
    async fn deliver(self, batch: Bytes) -> Result<usize, ExportError> {
        let deadline = Instant::now() + self.timeout;
        let mut pauses = doubling(PAUSE, PAUSE_MAX);
        loop {
            let error = match tokio::time::timeout_at(deadline, self.post(batch.clone())).await {
                Ok(Ok(rejected)) => return Ok(rejected),
                Ok(Err(error)) => error,
                Err(_) => ExportError::Late(self.timeout),
            };
            // Several workers lose the same collector at the same time.
            let pause = pauses.next().unwrap_or(PAUSE_MAX).mul_f64(0.5 + fastrand::f64() / 2.0);
            if !error.may_pass() || Instant::now() + pause >= deadline {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn post(&self, batch: Bytes) -> Result<usize, ExportError> {
        let no_answer = |error: reqwest::Error| ExportError::NoAnswer(error.without_url());
        let request = self.http.post(self.endpoint.clone()).headers(self.headers.clone()).body(batch);
        let mut response = request.send().await.map_err(no_answer)?;
        let status = response.status().as_u16();
        if !(200..300).contains(&status) {
            return Err(ExportError::Refused(status));
        }
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
            if answer.len() + chunk.len() > MAX_ANSWER {
                return Ok(0);
            }
            answer.extend_from_slice(&chunk);
        }
        // It was taken, whatever is said about it.
        let said = ExportTraceServiceResponse::decode(answer.as_slice()).unwrap_or_default();
        let rejected = said.partial_success.map_or(0, |partial| partial.rejected_spans);
        Ok(usize::try_from(rejected).unwrap_or(0))
    }
}

/// What the SDK gives its batches to, on a thread of its own; they are sent from the runtime.
#[derive(Debug)]
pub(super) struct Exporter {
    collector: Collector,
    resource: ResourceAttributesWithSchema,
    runtime: Handle,
    waiting: Arc<AtomicUsize>,
    metrics: TraceMetrics,
    complained: Mutex<Option<Instant>>,
}

impl Exporter {
    /// Takes what it is given off the number of those that wait.
    pub(super) fn new(
        collector: Collector,
        resource: ResourceAttributesWithSchema,
        waiting: Arc<AtomicUsize>,
        metrics: TraceMetrics,
    ) -> Result<Self, StartError> {
        let runtime = Handle::try_current()?;
        Ok(Self { collector, resource, runtime, waiting, metrics, complained: Mutex::default() })
    }

    /// Tells that spans are lost, unless that was told just now.
    fn complain(&self, error: &ExportError, lost: usize) {
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        if complained.is_some_and(|at| at.elapsed() < COMPLAINT_INTERVAL) {
            return;
        }
        *complained = Some(Instant::now());
        warn!(error = %Chain(error), lost, "spans of traces are lost");
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let body = Bytes::from(ExportTraceServiceRequest { resource_spans }.encode_to_vec());
        let delivered = self.runtime.spawn(self.collector.clone().deliver(body)).await;
        self.waiting.fetch_sub(count, Ordering::AcqRel);
        let (lost, error) = match delivered.unwrap_or_else(|error| Err(ExportError::CutOff(error))) {
            Ok(0) => (0, None),
            Ok(rejected) => (rejected.min(count), Some(ExportError::Partial)),
            Err(error) => (count, Some(error)),
        };
        self.metrics.ended(SpanEnd::Exported, count - lost);
        self.metrics.ended(SpanEnd::Lost, lost);
        let Some(error) = error else { return Ok(()) };
        self.complain(&error, lost);
        Err(OTelSdkError::InternalFailure(error.to_string()))
    }
}
