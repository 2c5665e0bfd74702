//! The spans of a job besides its HTTP calls: the processing of one delivery, and each message that comes of it.
//!
//! A message that the worker publishes for a job, a retry as well as a reply, names the span of its sending as the parent.
//! So a job that comes back from a retry queue goes on with its trace.

use std::time::Duration;

use opentelemetry::trace::{Span as _, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span};

use super::parent::{Parent, headers_of};
use super::{Part, end};
use crate::retry::verdict::Verdict;

/// What is known of a job before it is read.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// The queue that it came from.
    pub queue: &'a str,
    /// `message-id`.
    pub message_id: Option<&'a str>,
    /// `correlation-id`.
    pub correlation_id: Option<&'a str>,
    /// Bytes of its body.
    pub size: usize,
    /// Whether the broker delivered it before.
    pub redelivered: bool,
}

/// Begins the span of a delivery.
pub(super) fn process(tracer: &SdkTracer, job: &Received<'_>, parent: Option<&Parent>) -> Context {
    let mut attributes = messaging("process", job.queue, job.size);
    let ids =
        [("messaging.message.id", job.message_id), ("messaging.message.conversation_id", job.correlation_id)];
    let given = |(name, id): (&'static str, Option<&str>)| Some(KeyValue::new(name, id?.to_owned()));
    attributes.extend(ids.into_iter().filter_map(given));
    attributes.push(KeyValue::new("connection_worker.job.redelivered", job.redelivered));
    let builder = tracer
        .span_builder(format!("process {}", job.queue))
        .with_kind(SpanKind::Consumer)
        .with_attributes(attributes);
    let sender = Context::new();
    let sender = match parent {
        Some(parent) => sender.with_remote_span_context(parent.span_context()),
        None => sender,
    };
    let span = tracer.build_with_context(builder, &sender);
    Context::new().with_value(Part::Takes(tracer.clone())).with_span(span)
}

/// Notes which job it is that is being processed.
pub fn job_id(id: &str) {
    recording(|cx| cx.span().set_attribute(KeyValue::new("connection_worker.job.id", id.to_owned())));
}

/// Notes how the processing ended. `error` if the job did not get what it asked for.
pub fn job_ended(outcome: &'static str, error: bool) {
    recording(|cx| {
        let span = cx.span();
        span.set_attribute(KeyValue::new("connection_worker.job.outcome", outcome));
        if error {
            span.set_attribute(KeyValue::new("error.type", outcome));
            span.set_status(Status::error(""));
        }
    });
}

/// Notes that a call failed and will be tried again, and where and how long the job waits for it.
pub fn retry(attempt: u32, failure: &'static str, verdict: Verdict, delay: Duration, place: &'static str) {
    recording(|cx| {
        let attributes = vec![
            KeyValue::new("error.type", failure),
            KeyValue::new("connection_worker.retry.attempt", i64::from(attempt)),
            KeyValue::new("connection_worker.retry.verdict", verdict.as_str()),
            KeyValue::new("connection_worker.retry.delay", delay.as_secs_f64()),
            KeyValue::new("connection_worker.retry.place", place),
        ];
        cx.span().add_event("retry", attributes);
    });
}

/// Does something with the job's span, if it is one that will be exported.
fn recording(note: impl FnOnce(&Context)) {
    let cx = Context::current();
    if cx.span().is_recording() {
        note(&cx);
    }
}

/// A message under way to a queue.
#[derive(Debug)]
pub struct Sending {
    span: Option<Span>,
    headers: Vec<(&'static str, String)>,
}

impl Sending {
    /// Begins the span of a message of `size` bytes to `queue`.
    pub fn begin(queue: &str, size: usize) -> Self {
        let cx = Context::current();
        match cx.get::<Part>() {
            None => Self { span: None, headers: Vec::new() },
            Some(Part::Passes(parent)) => Self { span: None, headers: parent.headers() },
            Some(Part::Takes(tracer)) => {
                let mut attributes = messaging("send", queue, size);
                // RabbitMQ makes such a name up for each requester that wants to be answered directly.
                let temporary = queue.starts_with("amq.");
                if temporary {
                    attributes.push(KeyValue::new("messaging.destination.temporary", true));
                }
                let destination = if temporary { "(temporary)" } else { queue };
                let builder = tracer
                    .span_builder(format!("send {destination}"))
                    .with_kind(SpanKind::Producer)
                    .with_attributes(attributes);
                let span = tracer.build_with_context(builder, &cx);
                let headers = headers_of(span.span_context());
                Self { span: Some(span), headers }
            }
        }
    }

    /// The trace headers that the message is to have; none if it is to keep what it has.
    pub fn headers(&self) -> Option<&[(&'static str, String)]> {
        (!self.headers.is_empty()).then_some(self.headers.as_slice())
    }

    /// It is in the queue, or not: then why.
    pub fn ended(self, failure: Option<&'static str>) {
        if let Some(span) = self.span {
            end(span, failure);
        }
    }
}

/// What spans of messages have in common. All goes through the default exchange, where a queue's name is its address.
fn messaging(operation: &'static str, queue: &str, size: usize) -> Vec<KeyValue> {
    vec![
        KeyValue::new("messaging.system", "rabbitmq"),
        KeyValue::new("messaging.operation.type", operation),
        KeyValue::new("messaging.operation.name", operation),
        KeyValue::new("messaging.destination.name", queue.to_owned()),
        KeyValue::new("messaging.message.body.size", i64::try_from(size).unwrap_or(i64::MAX)),
    ]
}
