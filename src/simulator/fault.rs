//! What a rule of misbehaviour says: which requests it strikes, and how. Knows no request.

use std::str::FromStr;

use hyper::header::HeaderValue;
use serde::{Deserialize, Serialize};

use super::endpoint::Endpoint;

/// A clock that is off by more than a year is no clock, and its date could not be written.
const CLOCK_MAX: u64 = 366 * 24 * 3600;

/// One rule. A request is struck by the first rule in the list that matches it.
///
/// As JSON, with every field but `fault` optional:
///
/// ```json
/// {"endpoint":"create","name":"acme","org":"1234@AdobeOrg","rate":0.1,"count":3,"when":"after","fault":{"kind":"close"}}
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// The kind of call; `create` if not given.
    #[serde(default = "create")]
    pub endpoint: Endpoint,
    /// Strikes only creates of a connection with exactly this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Strikes only requests for this organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// The share of the matching requests that is struck, 0 to 1; all if not given.
    #[serde(default = "always")]
    pub rate: f64,
    /// How many times it strikes; then the rule is gone. For ever if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Whether the request is acted upon first; if not given, as the kind of fault has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// What happens.
    pub fault: Fault,
}

/// Whether a request is acted upon before its fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// The request is not acted upon: nothing is created.
    Before,
    /// The request is acted upon, and the fault spoils the answer: the connection exists.
    After,
}

/// A kind of misbehaviour. `before` unless said otherwise. On HTTP/2, what closes the connection only resets the stream of
/// its request, and the other requests go on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Fault {
    /// Answers with an error. `{"kind":"status","status":503,"form":"flow","code":"1103-503","message":"…"}`
    Status(ErrorAnswer),
    /// The gateway's 429: code 429050 with `retryAfter`, 429001 without. `{"kind":"throttle","retryAfter":"38"}`
    Throttle {
        /// Sent as `Retry-After`, whatever it says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<String>,
    },
    /// Closes the connection without an answer. `{"kind":"close"}`
    Close,
    /// Never answers. `{"kind":"hang"}`
    Hang,
    /// Sends half of the body and closes; `after`. `{"kind":"truncate"}`
    Truncate,
    /// The body is not JSON, the status as it was; `after`. `{"kind":"invalid_json"}`
    InvalidJson,
    /// The body is so large, the status as it was; `after`. `{"kind":"huge","bytes":1000000000}`
    Huge {
        /// The size of the body.
        bytes: u64,
    },
    /// Sends the client elsewhere. `{"kind":"redirect","status":307,"location":"http://127.0.0.1:1/"}`
    Redirect {
        /// The HTTP status; 307 if not given.
        #[serde(default = "temporary_redirect")]
        status: u16,
        /// Sent as `Location`.
        location: String,
    },
    /// An error whose message repeats the `Authorization` header and the request body, secrets and all.
    /// `{"kind":"echo","status":400}`
    Echo {
        /// The HTTP status; 400 if not given.
        #[serde(default = "bad_request")]
        status: u16,
    },
    /// Takes longer. `before`: acts late, even for a client that has left; `after`: acts at once, answers late.
    /// `{"kind":"delay","ms":5000}`
    Delay {
        /// How much longer, in milliseconds.
        ms: u64,
    },
    /// A connection that is looked at is in this state; `after`. With `"endpoint":"get"`, and a `count` for a state that
    /// passes. `{"kind":"state","state":"disabled"}`
    State {
        /// The state.
        state: String,
    },
    /// The test of a connection comes out so; `after`. With `"endpoint":"test"`. `{"kind":"test_result","result":false}`
    TestResult {
        /// What the test says.
        result: bool,
    },
    /// The server's clock is ahead by so many seconds, or behind if there are fewer than none; `after`.
    /// `{"kind":"clock","seconds":3600}`
    Clock {
        /// How far the header `Date` is off.
        seconds: i64,
    },
    /// All access tokens expire just before the request is looked at. `{"kind":"expire_tokens"}`
    ExpireTokens,
}

/// An error to answer with; see [`Fault::Status`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ErrorAnswer {
    /// The HTTP status, 200 to 599.
    pub status: u16,
    /// The shape of the body; `flow` if not given.
    #[serde(default)]
    pub form: Form,
    /// The code in the body; one that fits the status if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The message in the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The whole body, with `"form":"raw"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The content type; `application/json`, or `text/html` with `"form":"raw"`, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Sent as `Retry-After`, whatever it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<String>,
}

/// The shape of an error body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// `{"type":"https://ns.adobe.com/aep/errors/FLOW-…",…}`
    #[default]
    Flow,
    /// `{"error_code":"…","message":"…"}`
    Gateway,
    /// `{"error":"…","error_description":"…"}`
    Ims,
    /// Exactly the `body` given.
    Raw,
}

fn create() -> Endpoint {
    Endpoint::Create
}

fn always() -> f64 {
    1.0
}

fn temporary_redirect() -> u16 {
    307
}

fn bad_request() -> u16 {
    400
}

impl Fault {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Throttle { .. } => "throttle",
            Self::Close => "close",
            Self::Hang => "hang",
            Self::Truncate => "truncate",
            Self::InvalidJson => "invalid_json",
            Self::Huge { .. } => "huge",
            Self::Redirect { .. } => "redirect",
            Self::Echo { .. } => "echo",
            Self::Delay { .. } => "delay",
            Self::State { .. } => "state",
            Self::TestResult { .. } => "test_result",
            Self::Clock { .. } => "clock",
            Self::ExpireTokens => "expire_tokens",
        }
    }
}

/// Why a rule cannot be.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRule {
    /// Not JSON, or not a rule.
    #[error("not a rule: {0}")]
    Json(#[from] serde_json::Error),
    /// A number or text that no answer can carry.
    #[error("{0}")]
    Value(&'static str),
}

impl FromStr for Rule {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        let rule: Self = serde_json::from_str(text)?;
        rule.check()?;
        Ok(rule)
    }
}

impl Rule {
    /// Whether an answer can carry what the rule asks for.
    pub(super) fn check(&self) -> Result<(), InvalidRule> {
        if !(0.0..=1.0).contains(&self.rate) {
            return Err(InvalidRule::Value("`rate` must be between 0 and 1"));
        }
        if self.count == Some(0) {
            return Err(InvalidRule::Value("`count` must be at least 1"));
        }
        let (status, headers) = match &self.fault {
            Fault::Status(error) => (error.status, [error.content_type.as_ref(), error.retry_after.as_ref()]),
            Fault::Throttle { retry_after } => (429, [retry_after.as_ref(), None]),
            Fault::Redirect { status, location } => (*status, [Some(location), None]),
            Fault::Echo { status } => (*status, [None, None]),
            _ => (200, [None, None]),
        };
        if !(200..=599).contains(&status) {
            return Err(InvalidRule::Value("`status` must be between 200 and 599"));
        }
        if let Fault::Clock { seconds } = &self.fault
            && seconds.unsigned_abs() > CLOCK_MAX
        {
            return Err(InvalidRule::Value("`seconds` must be within a year"));
        }
        if headers.into_iter().flatten().any(|value| HeaderValue::from_str(value).is_err()) {
            return Err(InvalidRule::Value("a header value must be printable ASCII"));
        }
        Ok(())
    }

    pub(super) fn when(&self) -> When {
        self.when.unwrap_or(match self.fault {
            Fault::Truncate
            | Fault::InvalidJson
            | Fault::Huge { .. }
            | Fault::State { .. }
            | Fault::TestResult { .. }
            | Fault::Clock { .. } => When::After,
            _ => When::Before,
        })
    }
}
