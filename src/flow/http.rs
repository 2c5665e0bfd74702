//! What calls to Flow Service and to IMS have in common: the HTTP client, reading an answer, naming a failure to get one.
//!
//! Knows nothing about what the calls are for.

use std::error::Error;
use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Request, RequestBuilder, Response, redirect, retry, tls};
use url::Url;

use super::redact::Redactor;
use super::retry_after;
use crate::loopback::is_loopback;
use crate::metrics::http::CallResult;
use crate::telemetry::Chain;
use crate::traces::HttpCall;

/// Below the idle time after which common servers close a connection (Node.js: 5 s), so that a request is not written to
/// one that the server is about to close: for a create that would be an unknown outcome.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Every answer about one thing is a fraction of this; what is longer is not read.
pub(super) const MAX_ANSWER: usize = 64 * 1024;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Why a client cannot be built. Met at start-up, never during a job.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// TLS cannot be set up, most likely because the machine has no CA certificates.
    #[error("cannot set up HTTPS (are CA certificates installed?): {0}")]
    Https(String),
    /// The address cannot be the base of a call.
    #[error(
        "{0} must be an http or https address with a host, and without user, password, query and fragment"
    )]
    Url(&'static str),
    /// A value holds characters that cannot stand in an HTTP header.
    #[error("{0} holds characters that cannot be sent in an HTTP header")]
    Header(&'static str),
    /// A secret cannot be read.
    #[error("{name}: {source}")]
    Secret {
        /// Which secret.
        name: &'static str,
        /// Why, with the path if it is a file.
        source: crate::secret::SecretError,
    },
}

/// Limits of an HTTP client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// From the start of connecting to the end of the answer.
    pub(super) timeout: Duration,
    /// For name lookup, TCP and TLS.
    pub(super) connect_timeout: Duration,
    /// Idle connections that are kept per host.
    pub(super) max_idle: usize,
}

/// Builds a client that sends a request once, but for one that met a kept connection already closed, of which not a byte
/// was written. It follows no redirect (it would turn a create into a GET, whose 200 reads as success). Proxies are taken
/// from the usual environment variables.
///
/// HTTP/1.1 only, so that each call under way has a connection of its own. Over HTTP/2 all would share one, on which
/// servers allow 100 to 200 calls; further ones would wait for their turn inside the client, where `timeout` runs, and
/// one that was never sent would end as an unknown outcome.
///
/// An answer is taken as it comes: none is asked for in compressed form, and none is unpacked.
pub(super) fn client(base: &Url, limits: Limits) -> Result<reqwest::Client, BuildError> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .retry(retry::never())
        .redirect(redirect::Policy::none())
        .referer(false)
        .timeout(limits.timeout)
        .connect_timeout(limits.connect_timeout)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_max_idle_per_host(limits.max_idle)
        .tls_version_min(tls::Version::TLS_1_2);
    // A proxy is another machine, and would get in the clear what is meant for this one. Over https it gets nothing.
    let builder = if is_loopback(base) { builder.no_proxy() } else { builder };
    builder.build().map_err(|error| BuildError::Https(Chain(&error.without_url()).to_string()))
}

/// The address of a call: the base, with or without a slash at its end, and a path below it.
pub(super) fn endpoint(name: &'static str, base: &Url, path: &[&str]) -> Result<Url, BuildError> {
    let mut url = base.clone();
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !plain {
        return Err(BuildError::Url(name));
    }
    url.path_segments_mut().map_err(|()| BuildError::Url(name))?.pop_if_empty().extend(path);
    Ok(url)
}

/// An answer, as much of it as came.
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    /// The body, up to the limit that was given.
    pub(super) body: Vec<u8>,
    /// Whether the body is whole.
    pub(super) end: End,
    /// The headers.
    pub(super) headers: HeaderMap,
}

/// How the body of an answer ended.
pub(super) enum End {
    /// All of it is there.
    Whole,
    /// It is longer than so many bytes, which is all that we are willing to read.
    TooLong(usize),
    /// The connection failed before the end.
    Cut(reqwest::Error),
}

/// Sends a request and reads the answer. An error means that there is no answer at all.
///
/// Of a body no more than `max_body` bytes are read. The call is part of the job's trace.
pub(super) async fn exchange(request: RequestBuilder, max_body: usize) -> Result<Answer, reqwest::Error> {
    let (client, request) = request.build_split();
    let mut request = request?;
    let call = HttpCall::begin(request.method().as_str(), request.url());
    for (name, value) in call.headers() {
        // They are valid headers, made by us or looked at when the job came.
        if let Ok(value) = HeaderValue::from_str(value) {
            request.headers_mut().insert(name, value);
        }
    }
    let answer = answer_to(client, request, max_body).await;
    match &answer {
        Ok(answer) => {
            let failure = match answer.call_result() {
                CallResult::Status(_) => None,
                cut => Some(cut.class()),
            };
            call.answered(answer.status, failure);
        }
        Err(error) => call.failed(call_result(error).class()),
    }
    answer
}

async fn answer_to(
    client: reqwest::Client,
    request: Request,
    max_body: usize,
) -> Result<Answer, reqwest::Error> {
    let mut response = client.execute(request).await?;
    let mut body = Vec::new();
    let end = read_body(&mut response, &mut body, max_body).await;
    let status = response.status().as_u16();
    Ok(Answer { status, body, end, headers: std::mem::take(response.headers_mut()) })
}

async fn read_body(response: &mut Response, body: &mut Vec<u8>, max_body: usize) -> End {
    loop {
        match response.chunk().await {
            Ok(None) => return End::Whole,
            Ok(Some(chunk)) if body.len() + chunk.len() > max_body => return End::TooLong(max_body),
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Err(error) => return End::Cut(error),
        }
    }
}

impl Answer {
    /// Whether the status is a 2xx.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// How the call is counted: by its status, unless a success was cut short.
    pub(super) fn call_result(&self) -> CallResult {
        match &self.end {
            End::Cut(error) if self.is_success() => call_result(error),
            _ => CallResult::Status(self.status),
        }
    }

    /// The header `X-Request-Id`.
    pub(super) fn request_id(&self) -> Option<&str> {
        self.headers.get(REQUEST_ID)?.to_str().ok()
    }

    /// The header `Retry-After`. A date in it counts from the answer's own: clocks differ.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let value = self.headers.get(RETRY_AFTER)?.to_str().unwrap_or_default();
        Some(retry_after::parse(value, self.date().unwrap_or_else(SystemTime::now)))
    }

    /// The header `Date`.
    pub(super) fn date(&self) -> Option<SystemTime> {
        httpdate::parse_http_date(self.headers.get(DATE)?.to_str().ok()?).ok()
    }

    /// The host that a redirect leads to, if it says one.
    pub(super) fn location_host(&self) -> Option<String> {
        let location = Url::parse(self.headers.get(LOCATION)?.to_str().ok()?).ok()?;
        location.host_str().map(str::to_owned)
    }

    /// "HTTP 400" and what can be said about the rest: the explanation, or why there is none. Never the raw body.
    pub(super) fn describe(
        &self,
        explanation: Option<&str>,
        code: Option<&str>,
        redactor: &Redactor,
    ) -> String {
        let status = self.status;
        if let Some(explanation) = explanation {
            return format!("HTTP {status}: {}", redactor.show(explanation));
        }
        if let Some(code) = code {
            return format!("HTTP {status} with code {}", redactor.show(code));
        }
        let size = self.body.len();
        match &self.end {
            End::Cut(error) => {
                let why = explain(error, redactor);
                format!("HTTP {status} with a body that broke off after {size} bytes ({why})")
            }
            End::TooLong(max) => format!("HTTP {status} with a body of more than {max} bytes"),
            End::Whole if self.body.is_empty() => format!("HTTP {status} with an empty body"),
            End::Whole => {
                let media_type = redactor.show(self.media_type().unwrap_or("of no known type"));
                format!("HTTP {status} with an unreadable body ({media_type}, {size} bytes)")
            }
        }
    }

    /// Whether it says that its body is JSON.
    pub(super) fn is_json(&self) -> bool {
        self.media_type().is_some_and(|it| it == "application/json" || it.ends_with("+json"))
    }

    /// `text/html`, if the header looks like a media type.
    fn media_type(&self) -> Option<&str> {
        let value = self.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let media_type = value.split(';').next()?.trim();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/.+-".contains(&byte);
        (media_type.len() <= 64 && media_type.contains('/') && media_type.bytes().all(plain))
            .then_some(media_type)
    }
}

/// How a call without a whole answer is counted.
pub(super) fn call_result(error: &reqwest::Error) -> CallResult {
    // A timeout while connecting is both, and what counts is that nothing was sent.
    if error.is_connect() {
        CallResult::NotSent
    } else if error.is_timeout() {
        CallResult::Timeout
    } else {
        CallResult::NoAnswer
    }
}

/// The causes of an error of the HTTP client, without the outermost: that says little and names the address.
pub(super) fn explain(error: &reqwest::Error, redactor: &Redactor) -> String {
    match error.source() {
        Some(source) => redactor.show(&Chain(source).to_string()),
        None => "the connection failed".to_owned(),
    }
}
