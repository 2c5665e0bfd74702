//! Everything the worker counts, in a registry of its own: two workers in one process do not share a number.

pub mod http;

/// The buckets of OpenTelemetry's HTTP and messaging conventions, in seconds, with a tail for slow calls.
const DURATION_BUCKETS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0];

/// Registers a metric and hands it back: metrics are cheap handles to shared numbers.
fn register<C>(registry: &prometheus::Registry, collector: C) -> Result<C, prometheus::Error>
where
    C: prometheus::core::Collector + Clone + 'static,
{
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

/// Every metric of one worker.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// HTTP calls to Flow Service and IMS.
    pub http: http::HttpMetrics,
    registry: prometheus::Registry,
}

impl Metrics {
    /// Builds the registry with every label set present at 0.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = prometheus::Registry::new_custom(Some("connection_worker".to_owned()), None)?;
        Ok(Self { http: http::HttpMetrics::new(&registry)?, registry })
    }
}
