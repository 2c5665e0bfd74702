//! What is counted about traces.

use prometheus::{IntCounterVec, Opts, Registry};

use super::register;

/// What became of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanEnd {
    /// The collector has it.
    Exported,
    /// It was sent, and the collector did not take it.
    Lost,
    /// Too many were waiting.
    Dropped,
}

impl SpanEnd {
    const ALL: [Self; 3] = [Self::Exported, Self::Lost, Self::Dropped];

    fn label(self) -> &'static str {
        match self {
            Self::Exported => "exported",
            Self::Lost => "lost",
            Self::Dropped => "dropped",
        }
    }
}

/// Counters of spans.
#[derive(Debug, Clone)]
pub struct TraceMetrics {
    spans: IntCounterVec,
}

impl TraceMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let help = "Spans of traces, by what became of them: dropped when too many were waiting, lost with the collector.";
        let spans = IntCounterVec::new(Opts::new("trace_spans_total", help), &["result"])?;
        let metrics = Self { spans: register(registry, spans)? };
        for end in SpanEnd::ALL {
            metrics.spans.with_label_values(&[end.label()]);
        }
        Ok(metrics)
    }

    /// This became of so many spans.
    pub fn ended(&self, end: SpanEnd, spans: usize) {
        self.spans.with_label_values(&[end.label()]).inc_by(u64::try_from(spans).unwrap_or(u64::MAX));
    }
}
