//! The span of one HTTP call. Each is one: a repeated call has another.

use opentelemetry::trace::{Span as _, SpanKind, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::Span;
use url::Url;

use super::parent::headers_of;
use super::{Part, end};

/// How many times the job was sent before.
#[derive(Debug, Clone, Copy)]
struct Resends(u32);

/// The trace of a call that repeats earlier ones, as many as `before`.
pub fn resending(before: u32) -> super::Trace {
    let cx = Context::current();
    if before == 0 || !matches!(cx.get(), Some(Part::Takes(_))) {
        return super::Trace(cx);
    }
    super::Trace(cx.with_value(Resends(before)))
}

/// A call under way. Dropped, it was given up.
#[derive(Debug)]
pub struct HttpCall {
    span: Option<Span>,
    headers: Vec<(&'static str, String)>,
}

impl HttpCall {
    /// Begins the span of a call.
    ///
    /// Of the address all is told but the query, which has descriptions and names of connections in it.
    pub fn begin(method: &str, url: &Url) -> Self {
        let cx = Context::current();
        let tracer = match cx.get::<Part>() {
            None => return Self { span: None, headers: Vec::new() },
            Some(Part::Passes(parent)) => return Self { span: None, headers: parent.headers() },
            Some(Part::Takes(tracer)) => tracer,
        };
        let mut address = url.clone();
        address.set_query(None);
        let mut attributes = vec![
            KeyValue::new("http.request.method", method.to_owned()),
            KeyValue::new("url.full", String::from(address)),
            KeyValue::new("server.address", url.host_str().unwrap_or_default().to_owned()),
            KeyValue::new("server.port", i64::from(url.port_or_known_default().unwrap_or_default())),
        ];
        if let Some(Resends(before)) = cx.get() {
            attributes.push(KeyValue::new("http.request.resend_count", i64::from(*before)));
        }
        let builder =
            tracer.span_builder(method.to_owned()).with_kind(SpanKind::Client).with_attributes(attributes);
        let span = tracer.build_with_context(builder, &cx);
        let headers = headers_of(span.span_context());
        Self { span: Some(span), headers }
    }

    /// The trace headers of the request.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.headers.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// An answer came; `failure` if there is something wrong with it besides its status.
    pub fn answered(mut self, status: u16, failure: Option<&'static str>) {
        let Some(mut span) = self.span.take() else { return };
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        let failure = match (status, failure) {
            (_, Some(failure)) => Some(failure.to_owned()),
            (400.., None) => Some(status.to_string()),
            (..400, None) => None,
        };
        end(span, failure);
    }

    /// No answer came.
    pub fn failed(mut self, why: &'static str) {
        if let Some(span) = self.span.take() {
            end(span, Some(why));
        }
    }
}

impl Drop for HttpCall {
    fn drop(&mut self) {
        if let Some(span) = self.span.take() {
            end(span, Some("cancelled"));
        }
    }
}
