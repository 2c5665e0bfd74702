//! From a span that has ended to a batch that is sent. What does not fit into the queue is dropped, and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::{Context, KeyValue};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, Span, SpanData, SpanProcessor,
};
use url::Url;

use super::StartError;
use super::otlp::{Collector, Exporter, Headers};
use crate::metrics::traces::{SpanEnd, TraceMetrics};

/// What is exported, and where to.
#[derive(Debug, Clone)]
pub struct TraceSettings {
    /// The whole address of the collector.
    pub endpoint: Url,
    /// Sent with each batch; mostly credentials.
    pub headers: Headers,
    /// How long a batch may take, its repetitions included.
    pub timeout: Duration,
    /// Who the worker is.
    pub resource: Vec<(String, String)>,
    /// Which traces are exported.
    pub sampler: Sampler,
    /// How spans are collected.
    pub batches: Batches,
}

/// How spans are collected until they are sent.
#[derive(Debug, Clone, Copy)]
pub struct Batches {
    /// How many may wait, those under way included.
    pub queue: usize,
    /// How many are sent at a time; no more than may wait.
    pub size: usize,
    /// The longest pause between two batches.
    pub delay: Duration,
}

/// Whether the last spans are waited for. Nobody waits for them when the process is to end at once.
#[derive(Debug, Clone, Default)]
pub(super) struct LastSpans(Arc<AtomicBool>);

impl LastSpans {
    /// From here on they are.
    pub(super) fn wait(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sets up what makes spans and exports them.
pub(super) fn provider(
    settings: TraceSettings,
    metrics: TraceMetrics,
) -> Result<(SdkTracerProvider, LastSpans), StartError> {
    let TraceSettings { endpoint, headers, timeout, resource, sampler, batches } = settings;
    let attributes = resource.into_iter().map(|(name, value)| KeyValue::new(name, value));
    let resource = Resource::builder_empty().with_attributes(attributes).build();
    let waiting = Arc::new(AtomicUsize::new(0));
    let exporter = Exporter::new(
        Collector::new(endpoint, headers, timeout)?,
        ResourceAttributesWithSchema::from(&resource),
        Arc::clone(&waiting),
        metrics.clone(),
    )?;
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(batches.queue)
        .with_max_export_batch_size(batches.size)
        .with_scheduled_delay(batches.delay)
        .build();
    let last_spans = LastSpans::default();
    let processor = Entrance {
        processor: BatchSpanProcessor::builder(exporter).with_batch_config(config).build(),
        waiting,
        most: batches.queue,
        metrics,
        last_spans: last_spans.clone(),
    };
    let provider = SdkTracerProvider::builder()
        .with_sampler(sampler)
        .with_resource(resource)
        .with_span_processor(processor)
        .build();
    Ok((provider, last_spans))
}

/// Lets in what there is room for. The SDK's own processor would drop the rest as well, but without telling how many.
#[derive(Debug)]
struct Entrance {
    processor: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
    most: usize,
    metrics: TraceMetrics,
    last_spans: LastSpans,
}

impl SpanProcessor for Entrance {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        let one_more = |waiting| (waiting < self.most).then_some(waiting + 1);
        match self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more) {
            Ok(_) => self.processor.on_end(span),
            Err(_) => self.metrics.ended(SpanEnd::Dropped, 1),
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        if self.last_spans.0.load(Ordering::Relaxed) {
            self.processor.shutdown_with_timeout(timeout)
        } else {
            Ok(())
        }
    }
}
