//! Asks IMS, Adobe's identity service, for an access token: OAuth 2.0 client credentials (RFC 6749, section 4.4).
//!
//! As documented in "OAuth Server-to-Server credential implementation guide" of the Adobe Developer Console. There is no refresh
//! token: one asks again. Knows nothing about when.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::cache::{Issue, Issued};
use super::{ImsCredentials, ImsSettings};
use crate::flow::http::{
    Answer, BuildError, End, Limits, MAX_ANSWER, call_result, client, endpoint, exchange, explain,
};
use crate::flow::lenient::object;
use crate::flow::problem::Problem;
use crate::flow::redact::Redactor;
use crate::flow::{Failure, FailureKind};
use crate::metrics::http::{HttpMetrics, Method, Upstream};
use crate::secret::SecretSource;
use crate::telemetry::Chain;

/// Of a token without `expires_in`: Adobe documents a life of 24 hours and advises to renew after 23.
const DOCUMENTED_LIFETIME: Duration = Duration::from_secs(23 * 3600);

/// The deprecated JWT flow of the same server gave milliseconds (`86399992`). No token lives for a million seconds.
const MAX_SECONDS: f64 = 1e6;

/// The token endpoint of IMS. Clones share its connections: one serves any number of organisations.
#[derive(Debug, Clone)]
pub struct ImsClient {
    http: reqwest::Client,
    url: Url,
    metrics: HttpMetrics,
}

/// Asks for the tokens of one client id.
pub(super) struct Issuer {
    ims: ImsClient,
    client_id: String,
    scopes: String,
    source: SecretSource,
    client_secret: Mutex<SecretString>,
}

/// Errors that pass (RFC 6749, section 4.1.2.1).
const PASSING: [&str; 2] = ["server_error", "temporarily_unavailable"];

/// IMS gave no token.
struct NotIssued {
    failure: Failure,
    /// IMS does not know this client id with this secret.
    invalid_client: bool,
}

impl ImsClient {
    /// Sets up HTTPS. Calls nobody.
    pub fn new(settings: &ImsSettings, metrics: HttpMetrics) -> Result<Self, BuildError> {
        let ImsSettings { url, timeout, connect_timeout } = settings;
        let limits = Limits { timeout: *timeout, connect_timeout: *connect_timeout, max_idle: 1 };
        let url = endpoint("IMS_URL", url, &["ims", "token", "v3"])?;
        Ok(Self { http: client(&url, limits)?, url, metrics })
    }

    pub(super) fn metrics(&self) -> HttpMetrics {
        self.metrics.clone()
    }
}

impl Issuer {
    pub(super) fn new(credentials: ImsCredentials, ims: ImsClient) -> Result<Self, BuildError> {
        let ImsCredentials { client_id, client_secret: source, scopes } = credentials;
        let client_secret =
            source.read().map_err(|source| BuildError::Secret { name: "IMS_CLIENT_SECRET", source })?;
        Ok(Self {
            ims,
            client_id,
            scopes: scopes.split_whitespace().collect(),
            source,
            client_secret: Mutex::new(client_secret),
        })
    }

    /// The client secret as it was last read.
    pub(super) fn client_secret(&self) -> SecretString {
        self.client_secret.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The secret in the file, if it is another than the refused one. Up to two are valid at a time, so that they can be
    /// rotated.
    fn rotated_secret(&self, refused: &SecretString) -> Option<SecretString> {
        match self.source.read() {
            Ok(secret) if secret.expose_secret() != refused.expose_secret() => {
                tracing::info!("IMS refused the client secret, its file holds another one");
                *self.client_secret.lock().unwrap_or_else(PoisonError::into_inner) = secret.clone();
                Some(secret)
            }
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "IMS refused the client secret, and it cannot be read again");
                None
            }
        }
    }

    async fn ask(&self, client_secret: &SecretString) -> Result<Issued, NotIssued> {
        // In the body, never in the query: addresses get logged.
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &self.client_id),
            ("client_secret", client_secret.expose_secret()),
            ("scope", &self.scopes),
        ];
        let request = self.ims.http.post(self.ims.url.clone()).form(&form);
        let call = self.ims.metrics.call(Upstream::Ims, Method::Post);
        let request = request.header(ACCEPT, HeaderValue::from_static("application/json"));
        let answer = exchange(request, MAX_ANSWER).await;
        match answer {
            Ok(answer) => {
                call.ended(answer.call_result());
                self.read(&answer, client_secret)
            }
            Err(error) => {
                call.ended(call_result(&error));
                let why = explain(&error, &self.redactor(client_secret));
                let message = format!("IMS cannot be reached: {why}");
                Err(NotIssued {
                    failure: Failure::new(FailureKind::TokenUnavailable, message),
                    invalid_client: false,
                })
            }
        }
    }

    fn read(&self, answer: &Answer, client_secret: &SecretString) -> Result<Issued, NotIssued> {
        if answer.is_success()
            && let End::Whole = answer.end
            && let Some(issued) = issued(&answer.body)
        {
            return Ok(issued);
        }
        let mut problem = Problem::read(&answer.body, answer.request_id());
        if answer.is_success() {
            // Whatever else it is, it may hold a token.
            problem.message = None;
            problem.code = oauth_error(&answer.body);
        }
        let redactor = self.redactor(client_secret);
        let code = problem.code.as_deref();
        let mut message =
            format!("IMS gave no token: {}", answer.describe(problem.message.as_deref(), code, &redactor));
        message.push_str(&self.advice(answer.status, code));
        let kind = match (answer.status, code) {
            // An error is one whatever its status.
            (0..=299, Some(code)) if !PASSING.contains(&code) => FailureKind::CredentialsRefused,
            (408 | 429 | 0..=299 | 500.., _) => FailureKind::TokenUnavailable,
            _ => FailureKind::CredentialsRefused,
        };
        let failure = Failure {
            kind,
            message,
            http_status: Some(answer.status),
            flow_code: code.map(|code| redactor.show(code)),
            request_id: problem.request_id.as_deref().map(|id| redactor.show(id)),
            retry_after: answer.retry_after(),
        };
        Err(NotIssued { failure, invalid_client: code == Some("invalid_client") })
    }

    /// Hides what was sent: the client id, too, which is also the API key.
    fn redactor(&self, client_secret: &SecretString) -> Redactor {
        let mut redactor = Redactor::hiding(client_secret);
        redactor.hide(&self.client_id);
        redactor
    }

    /// What to look at. `invalid_scope` is the usual mistake, and IMS does not say which scopes it was sent.
    fn advice(&self, status: u16, code: Option<&str>) -> String {
        match code {
            Some("invalid_client") => {
                " (check IMS_CLIENT_ID and IMS_CLIENT_SECRET, or what ORGS_FILE says in their place)"
                    .to_owned()
            }
            Some("invalid_scope") => format!(
                " (check IMS_SCOPES, or the scopes in ORGS_FILE, sent as \"{}\", against the Developer Console)",
                self.scopes
            ),
            _ if (300..=399).contains(&status) || status == 404 => " (check IMS_URL)".to_owned(),
            _ => String::new(),
        }
    }
}

/// The error of RFC 6749, section 5.2, in an answer that says that it is none.
fn oauth_error(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let Refusal { error } = object(body)?;
    let is_plain =
        (1..=32).contains(&error.len()) && error.bytes().all(|it| it.is_ascii_lowercase() || it == b'_');
    is_plain.then_some(error)
}

impl Issue for Issuer {
    async fn issue(&self) -> Result<Issued, Failure> {
        let client_secret = self.client_secret();
        let refused = match self.ask(&client_secret).await {
            Err(refused) if refused.invalid_client => refused.failure,
            other => return other.map_err(|refused| refused.failure),
        };
        match self.rotated_secret(&client_secret) {
            Some(rotated) => self.ask(&rotated).await.map_err(|refused| refused.failure),
            None => Err(refused),
        }
    }
}

fn issued(body: &[u8]) -> Option<Issued> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let token = body.get("access_token")?.as_str().filter(|token| !token.is_empty())?;
    Some(Issued { value: SecretString::from(token), lifetime: lifetime(body.get("expires_in")) })
}

/// `expires_in` in seconds, as a number or as text.
fn lifetime(expires_in: Option<&Value>) -> Duration {
    let number = match expires_in {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    match number {
        Some(number) if number.is_finite() => {
            let seconds = if number > MAX_SECONDS { number / 1000.0 } else { number };
            Duration::from_secs_f64(seconds.clamp(0.0, MAX_SECONDS))
        }
        _ => DOCUMENTED_LIFETIME,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lifetime_is_in_seconds_unless_that_is_absurd() {
        for (expires_in, seconds) in [
            (json!(86_399), 86_399.0),
            (json!("3600"), 3600.0),
            (json!(86_399_992), 86_399.992),
            (json!(1_000_000), 1_000_000.0),
            (json!(0), 0.0),
            (json!(-5), 0.0),
            (json!(1e300), 1_000_000.0),
            (json!("inf"), 82_800.0),
            (json!("soon"), 82_800.0),
            (json!(null), 82_800.0),
        ] {
            assert_eq!(lifetime(Some(&expires_in)), Duration::from_secs_f64(seconds), "{expires_in}");
        }
        assert_eq!(lifetime(None), DOCUMENTED_LIFETIME);
    }
}
