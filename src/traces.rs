//! Traces: follows a job from its sender, through every HTTP call and every wait, to its reply; and exports what was seen
//! over OTLP, if it is told where to.
//!
//! The trace that is followed belongs to the task, as OpenTelemetry's [`Context`]: [`Traces::begin`] makes it,
//! [`Trace::around`] enters it, and whoever makes a call or publishes a message finds it there. So nobody in between hands it
//! on. Outside of a job there is none, and nothing is recorded.
//!
//! Without an endpoint the worker takes no part in traces. A job's `traceparent` and `tracestate` then go unchanged to Flow
//! Service and into the reply, as the W3C wants it of those who only forward a trace (Trace Context, "Design Overview").
//!
//! Names follow OpenTelemetry's semantic conventions: HTTP as it is stable, messaging as it is in development. There is no
//! attribute for a text that others made, but for ids, names of queues, and paths of addresses.

mod export;
mod http;
mod job;
mod otlp;
mod parent;

use std::time::Duration;

use opentelemetry::context::FutureExt;
use opentelemetry::trace::{Span as _, Status, TraceContextExt, TraceId, TracerProvider};
use opentelemetry::{Context, InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span};
use tracing::{info, warn};

pub use self::export::{Batches, TraceSettings};
pub use self::http::{HttpCall, resending};
pub use self::job::{Received, Sending, job_ended, job_id, retry};
pub use self::otlp::{Headers, UnfitHeader};
use self::parent::Parent;
pub use self::parent::{TRACEPARENT, TRACESTATE};
use crate::metrics::traces::TraceMetrics;
use crate::telemetry::Chain;

/// How long the end of the process waits for the last spans.
const FLUSH: Duration = Duration::from_secs(2);

/// Whether the worker takes part in traces. Clones share what is exported.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<Taking>);

#[derive(Debug, Clone)]
struct Taking {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    last_spans: export::LastSpans,
}

/// The trace that a job belongs to, if any.
#[derive(Debug, Clone)]
pub struct Trace(Context);

/// The worker's part in a trace.
enum Part {
    /// It adds spans,
    Takes(SdkTracer),
    /// or passes on what the sender wrote.
    Passes(Parent),
}

/// Why traces cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// TLS cannot be set up.
    #[error("cannot set up HTTPS to the collector of traces (are CA certificates installed?): {0}")]
    Https(String),
    /// There is no runtime to send from.
    #[error("traces were started outside of the runtime")]
    Runtime(#[from] tokio::runtime::TryCurrentError),
}

impl Traces {
    /// Begins to export; without settings, to take no part. To be called on the runtime.
    pub fn start(settings: Option<TraceSettings>, metrics: TraceMetrics) -> Result<Self, StartError> {
        let Some(settings) = settings else { return Ok(Self(None)) };
        // No more of the address: some vendors have a key in its path.
        info!(collector = settings.endpoint.host_str(), "exporting traces");
        let (provider, last_spans) = export::provider(settings, metrics)?;
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        let tracer = provider.tracer_with_scope(scope);
        Ok(Self(Some(Taking { provider, tracer, last_spans })))
    }

    /// Begins to follow a job, in the trace that its headers name or in a new one.
    pub fn begin<'h>(&self, received: &Received<'_>, header: impl Fn(&str) -> Option<&'h str>) -> Trace {
        let parent = Parent::read(header);
        match (&self.0, parent) {
            (Some(Taking { tracer, .. }), parent) => Trace(job::process(tracer, received, parent.as_ref())),
            (None, Some(parent)) => Trace(Context::new().with_value(Part::Passes(parent))),
            (None, None) => Trace(Context::new()),
        }
    }

    /// Sends what is left, for as long as that is worth waiting for. Nothing is recorded from here on.
    pub async fn finish(self) {
        let Some(Taking { provider, last_spans, .. }) = self.0 else { return };
        last_spans.wait();
        // Waits on a thread of the SDK's.
        let flushing = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH));
        if let Ok(Err(error)) = flushing.await {
            warn!(error = %Chain(&error), "the last spans of traces were not exported");
        }
    }
}

/// Ends a span; with a failure, as one that failed for this reason.
fn end(mut span: Span, failure: Option<impl Into<Value>>) {
    if let Some(failure) = failure {
        span.set_attribute(KeyValue::new("error.type", failure));
        span.set_status(Status::error(""));
    }
    span.end();
}

impl Trace {
    /// Its id, for the log.
    pub fn id(&self) -> Option<TraceId> {
        match self.0.get::<Part>()? {
            Part::Takes(_) => Some(self.0.span().span_context().trace_id()),
            Part::Passes(parent) => Some(parent.trace_id()),
        }
        .filter(|id| *id != TraceId::INVALID)
    }

    /// Has a future, with all that it does, belong to this trace. Its span ends with the future.
    pub fn around<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        future.with_context(self.0)
    }
}
