//! What is counted about HTTP calls: to Flow Service and to IMS.

use std::time::Duration;

use prometheus::{Gauge, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::{DURATION_BUCKETS, register};

/// Who is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    /// Adobe's Flow Service.
    Flow,
    /// Adobe's Identity Management System, which issues access tokens.
    Ims,
}

impl Upstream {
    fn label(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::Ims => "ims",
        }
    }
}

/// How a call is made: what creates, or asks for a token, is a POST; what only looks is a GET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// POST.
    Post,
}

impl Method {
    fn label(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// What is called how.
const CALLS: [(Upstream, Method); 3] =
    [(Upstream::Flow, Method::Get), (Upstream::Flow, Method::Post), (Upstream::Ims, Method::Post)];

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallResult {
    /// An HTTP answer, whatever it said.
    Status(u16),
    /// The request never left: DNS, connect or TLS failed.
    NotSent,
    /// The request was sent and the deadline passed.
    Timeout,
    /// The request was sent and the peer closed the connection, or the answer was cut short.
    NoAnswer,
}

/// Statuses that are told apart; any other becomes its class, so that the label stays bounded.
const STATUSES: [u16; 17] =
    [200, 201, 202, 204, 302, 400, 401, 403, 404, 408, 409, 415, 422, 429, 500, 503, 504];
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];
const NO_STATUS: [&str; 3] = ["not_sent", "timeout", "no_answer"];

impl CallResult {
    fn status(self) -> String {
        match self {
            Self::Status(code) if STATUSES.contains(&code) => code.to_string(),
            _ => self.class().to_owned(),
        }
    }

    /// The class of the status, or what came instead of one.
    pub fn class(self) -> &'static str {
        match self {
            Self::Status(..=299) => "2xx",
            Self::Status(300..=399) => "3xx",
            Self::Status(400..=499) => "4xx",
            Self::Status(_) => "5xx",
            Self::NotSent => "not_sent",
            Self::Timeout => "timeout",
            Self::NoAnswer => "no_answer",
        }
    }
}

/// Counters of HTTP calls and of the access token.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    duration: HistogramVec,
    in_flight: IntGaugeVec,
    retry_after: Histogram,
    token_refreshes: IntCounterVec,
    token_expiry: Gauge,
}

impl HttpMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            requests: register(
                registry,
                IntCounterVec::new(
                    Opts::new(
                        "http_requests_total",
                        "HTTP calls, by upstream, method, and status or failure.",
                    ),
                    &["upstream", "method", "status"],
                )?,
            )?,
            duration: register(
                registry,
                HistogramVec::new(
                    HistogramOpts::new(
                        "http_request_duration_seconds",
                        "Time from sending a call to the end of its answer.",
                    )
                    .buckets(DURATION_BUCKETS.to_vec()),
                    &["upstream", "method", "status_class"],
                )?,
            )?,
            in_flight: register(
                registry,
                IntGaugeVec::new(
                    Opts::new("http_requests_in_flight", "HTTP calls that wait for an answer."),
                    &["upstream"],
                )?,
            )?,
            retry_after: register(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "http_retry_after_seconds",
                        "How long Flow Service asked to wait with a 429 (Retry-After); a week at the most, 5 s if it cannot be read.",
                    )
                    .buckets(vec![1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 3600.0]),
                )?,
            )?,
            token_refreshes: register(
                registry,
                IntCounterVec::new(
                    Opts::new("token_refreshes_total", "Requests for an access token, by result."),
                    &["result"],
                )?,
            )?,
            token_expiry: register(
                registry,
                Gauge::new(
                    "token_expiry_timestamp_seconds",
                    "When the access token expires that was issued last, in Unix time; 0 when there is none or it is fixed.",
                )?,
            )?,
        };
        metrics.touch_every_label_set();
        Ok(metrics)
    }

    /// A label set that was never touched is absent from the page, and an alert on it sees nothing.
    fn touch_every_label_set(&self) {
        let statuses = STATUSES.iter().map(u16::to_string);
        let others = CLASSES.iter().chain(&NO_STATUS).map(|class| (*class).to_owned());
        let labels: Vec<String> = statuses.chain(others).collect();
        for (upstream, method) in CALLS.map(|(upstream, method)| (upstream.label(), method.label())) {
            self.in_flight.with_label_values(&[upstream]);
            for status in &labels {
                self.requests.with_label_values(&[upstream, method, status.as_str()]);
            }
            for class in CLASSES.iter().chain(&NO_STATUS) {
                self.duration.with_label_values(&[upstream, method, class]);
            }
        }
        for result in ["ok", "error"] {
            self.token_refreshes.with_label_values(&[result]);
        }
    }

    /// A call is about to be sent; the guard ends it, and counts it as without an answer if dropped early.
    pub fn call(&self, upstream: Upstream, method: Method) -> CallInFlight<'_> {
        self.in_flight.with_label_values(&[upstream.label()]).inc();
        CallInFlight {
            metrics: self,
            upstream,
            method,
            started: tokio::time::Instant::now(),
            result: CallResult::NoAnswer,
        }
    }

    /// Flow Service answered 429 and said how long to wait.
    pub fn told_to_wait(&self, retry_after: Duration) {
        self.retry_after.observe(retry_after.as_secs_f64());
    }

    /// A new access token came, good until `expiry` (Unix time in seconds).
    pub fn token_refreshed(&self, expiry: f64) {
        self.token_refreshes.with_label_values(&["ok"]).inc();
        self.token_expiry.set(expiry);
    }

    /// No access token could be had.
    pub fn token_refresh_failed(&self) {
        self.token_refreshes.with_label_values(&["error"]).inc();
    }
}

/// A call under way. Records its result and duration when dropped.
#[derive(Debug)]
pub struct CallInFlight<'a> {
    metrics: &'a HttpMetrics,
    upstream: Upstream,
    method: Method,
    started: tokio::time::Instant,
    result: CallResult,
}

impl CallInFlight<'_> {
    /// The call ended like this.
    pub fn ended(mut self, result: CallResult) {
        self.result = result;
    }
}

impl Drop for CallInFlight<'_> {
    fn drop(&mut self) {
        let (upstream, method) = (self.upstream.label(), self.method.label());
        self.metrics.in_flight.with_label_values(&[upstream]).dec();
        self.metrics.requests.with_label_values(&[upstream, method, self.result.status().as_str()]).inc();
        self.metrics
            .duration
            .with_label_values(&[upstream, method, self.result.class()])
            .observe(self.started.elapsed().as_secs_f64());
    }
}
