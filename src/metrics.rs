//! Everything the worker counts, in a registry of its own: two workers in one process do not share a number.
//!
//! Every label comes from a closed set, and every label set stands at 0 from the start, so that an alert sees a
//! zero rather than nothing. No id, address or text of a job is ever a label.

pub mod admission;
pub mod attempts;
pub mod broker;
pub mod checks;
pub mod failures;
pub mod http;
pub mod jobs;
pub mod numbers;
mod oldest;
pub mod organisations;
pub mod queues;
pub mod runtime;
pub mod traces;

use prometheus::core::Collector;
use prometheus::{IntGaugeVec, Opts, Registry, TextEncoder};

/// What every metric's name starts with.
const PREFIX: &str = "connection_worker";

/// The buckets of OpenTelemetry's HTTP and messaging conventions, in seconds, with a tail for slow calls.
const DURATION_BUCKETS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0];

/// Every metric of one worker. Cheap to clone: clones share the numbers.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// HTTP calls to Flow Service and IMS.
    pub http: http::HttpMetrics,
    /// Attempts to create a connection.
    pub attempts: attempts::AttemptMetrics,
    /// Breakers, limits, and calls that were held back.
    pub admission: admission::AdmissionMetrics,
    /// Checks besides the create.
    pub checks: checks::CheckMetrics,
    /// The file of organisations.
    pub organisations: organisations::OrganisationMetrics,
    /// Jobs.
    pub jobs: jobs::JobMetrics,
    /// AMQP.
    pub broker: broker::BrokerMetrics,
    /// Traces.
    pub traces: traces::TraceMetrics,
    /// The queues.
    pub queues: queues::QueueMetrics,
    /// The event loop.
    pub runtime: runtime::RuntimeMetrics,
    /// The jobs that failed last.
    pub failures: failures::LastFailures,
    registry: Registry,
}

impl Metrics {
    /// Builds the registry with every label set present at 0.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some(PREFIX.to_owned()), None)?;
        let build = IntGaugeVec::new(
            Opts::new(
                "build_info",
                "Always 1; the labels tell the version, and the commit if the build was told it.",
            ),
            &["version", "revision"],
        )?;
        let revision = option_env!("CONNECTION_WORKER_REVISION").unwrap_or_default();
        register(&registry, build)?.with_label_values(&[env!("CARGO_PKG_VERSION"), revision]).set(1);
        Ok(Self {
            http: http::HttpMetrics::new(&registry)?,
            attempts: attempts::AttemptMetrics::new(&registry)?,
            admission: admission::AdmissionMetrics::new(&registry)?,
            checks: checks::CheckMetrics::new(&registry)?,
            organisations: organisations::OrganisationMetrics::new(&registry)?,
            jobs: jobs::JobMetrics::new(&registry)?,
            broker: broker::BrokerMetrics::new(&registry)?,
            traces: traces::TraceMetrics::new(&registry)?,
            queues: queues::QueueMetrics::new(&registry)?,
            runtime: runtime::RuntimeMetrics::new(&registry)?,
            failures: failures::LastFailures::default(),
            registry,
        })
    }

    /// The page that Prometheus scrapes, in its text format.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let mut page = TextEncoder::new().encode_to_string(&self.registry.gather())?;
        // Process metrics keep their conventional names, so they live outside the prefixed registry.
        let process = prometheus::process_collector::ProcessCollector::for_self();
        page.push_str(&TextEncoder::new().encode_to_string(&process.collect())?);
        Ok(page)
    }

    /// All numbers of this moment, for people.
    pub fn numbers(&self) -> numbers::Numbers {
        numbers::Numbers::of(&self.registry.gather())
    }

    /// Name, type and help of every metric, in the order of the page.
    pub fn describe(&self) -> Vec<Description> {
        let families = self.registry.gather();
        families
            .iter()
            .map(|family| Description {
                name: family.name().to_owned(),
                kind: format!("{:?}", family.get_field_type()).to_lowercase(),
                labels: family
                    .get_metric()
                    .first()
                    .map(|metric| metric.get_label().iter().map(|label| label.name().to_owned()).collect())
                    .unwrap_or_default(),
                help: family.help().to_owned(),
            })
            .collect()
    }
}

/// What a metric is, for the README's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Full name.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// Label names.
    pub labels: Vec<String>,
    /// What it counts.
    pub help: String,
}

/// Registers a metric and hands it back: metrics are cheap handles to shared numbers.
fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn every_label_set_stands_at_zero_from_the_start() {
        let page = Metrics::new().unwrap().render().unwrap();
        for line in [
            "connection_worker_jobs_completed_total{outcome=\"created\"} 0",
            "connection_worker_jobs_completed_total{outcome=\"invalid_job\"} 0",
            "connection_worker_http_requests_total{method=\"POST\",status=\"503\",upstream=\"flow\"} 0",
            "connection_worker_messages_published_total{kind=\"reply\",result=\"returned\"} 0",
            "connection_worker_settlements_total{kind=\"ack\",stale=\"true\"} 0",
            "connection_worker_amqp_connection_up{role=\"consume\"} 0",
            "connection_worker_panics_total 0",
            "connection_worker_trace_spans_total{result=\"dropped\"} 0",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is missing in\n{page}");
        }
        assert!(page.contains("process_resident_memory_bytes"), "{page}");
    }

    #[test]
    fn two_workers_share_no_number() {
        let (one, other) = (Metrics::new().unwrap(), Metrics::new().unwrap());
        one.jobs.panicked();
        assert!(one.render().unwrap().contains("connection_worker_panics_total 1"));
        assert!(other.render().unwrap().contains("connection_worker_panics_total 0"));
    }
}
