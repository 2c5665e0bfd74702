//! Flow Service over HTTP: creates a connection with one call, looks for one, and looks up what a source asks for
//! and how a connection does.
//!
//! Does not decide what comes next: an answer becomes a [`Created`] or a classified [`Failure`], and the only call that is
//! ever repeated is one that was refused for its token. Knows neither jobs nor queues.

mod find;
mod look;
mod probe;

use std::time::Duration;

use bytes::Bytes;
use reqwest::RequestBuilder;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use serde::Deserialize;
use url::Url;

use super::failure::{Origin, asks_for_fresh_token, classify};
use super::http::{
    Answer, BuildError, End, Limits, MAX_ANSWER, call_result, client, endpoint, exchange, explain,
};
use super::lenient::{is_id, object, optional};
use super::problem::Problem;
use super::redact::Redactor;
use super::token::{Keyring, Login};
use super::{
    AuthSpec, ConnectionRequest, CreateRequest, Created, Failure, FailureKind, FindRequest, FlowApi, Found,
    SpecRequest,
};
use crate::contract::ids::ImsOrgId;
use crate::metrics::http::{CallResult, HttpMetrics, Method, Upstream};
use crate::traces;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const IMS_ORG_ID: HeaderName = HeaderName::from_static("x-gw-ims-org-id");
const SANDBOX_NAME: HeaderName = HeaderName::from_static("x-sandbox-name");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A call that is made for no job.
const NOTHING: Bytes = Bytes::from_static(b"{}");

/// Where Flow Service is and how long it may take.
#[derive(Debug, Clone)]
pub struct FlowSettings {
    /// The base address, such as `https://platform.adobe.io/data/foundation/flowservice`, with or without a slash at its end.
    pub url: Url,
    /// From the start of connecting to the end of the answer. Adobe's gateway gives up after 60 s (stated for another API behind
    /// it, in the FAQ of the Customer Journey Analytics API); a little more than that lets it answer.
    pub timeout: Duration,
    /// For name lookup, TCP and TLS: what takes longer than this was certainly not sent.
    pub connect_timeout: Duration,
    /// How many idle connections are kept: as many as there are jobs at a time.
    pub max_idle: usize,
}

/// A client of Flow Service. Clones share their connections.
#[derive(Debug, Clone)]
pub struct FlowClient {
    http: reqwest::Client,
    connections: Url,
    specs: Url,
    keyring: Keyring,
    metrics: HttpMetrics,
    timeout: Duration,
}

/// A refused or failed call, and whether another token might change that.
pub(super) struct Refused {
    pub(super) failure: Failure,
    bad_token: bool,
}

impl FlowClient {
    /// Sets up HTTPS, so that a machine without CA certificates is found at start-up. Calls nobody.
    pub fn new(settings: FlowSettings, keyring: Keyring, metrics: HttpMetrics) -> Result<Self, BuildError> {
        let FlowSettings { url, timeout, connect_timeout, max_idle } = settings;
        Ok(Self {
            http: client(&url, Limits { timeout, connect_timeout, max_idle })?,
            connections: endpoint("FLOW_URL", &url, &["connections"])?,
            specs: endpoint("FLOW_URL", &url, &["connectionSpecs"])?,
            keyring,
            metrics,
            timeout,
        })
    }

    async fn post(&self, request: &CreateRequest, login: &Login) -> Result<Created, Refused> {
        let post = self.http.post(self.connections.clone()).header(CONTENT_TYPE, JSON);
        let post = with_headers(post, &request.ims_org_id, &request.sandbox_name, login)?;
        let sent = &request.body.0;
        let post = post.body(sent.clone());
        // In one expression: a future with a name of its own would be held twice.
        let answer = traces::resending(request.attempts_before)
            .around(self.call(Method::Post, post, MAX_ANSWER, sent, login))
            .await?;
        if let End::Whole = answer.end
            && let Some(created) = created(&answer.body)
        {
            return Ok(created);
        }
        let failure = unreadable(&answer, "without the id of a connection", sent, login);
        Err(Refused { failure, bad_token: false })
    }

    /// One call, counted; gives the answer if it is a 2xx. `sent` is what must not be repeated in an error.
    async fn call(
        &self,
        method: Method,
        request: RequestBuilder,
        max_body: usize,
        sent: &Bytes,
        login: &Login,
    ) -> Result<Answer, Refused> {
        let call = self.metrics.call(Upstream::Flow, method);
        let answer = match exchange(request, max_body).await {
            Ok(answer) => answer,
            Err(error) => {
                call.ended(call_result(&error));
                let failure = no_answer("Flow Service", &error, &redactor(sent, login));
                return Err(Refused { failure, bad_token: false });
            }
        };
        call.ended(answer.call_result());
        if let Some(retry_after) = answer.retry_after().filter(|_| answer.status == 429) {
            self.metrics.told_to_wait(retry_after);
        }
        if answer.is_success() { Ok(answer) } else { Err(refused(&answer, &redactor(sent, login))) }
    }

    /// Makes a call for an organisation, and once more with another token if that may help. A call is repeated for this and
    /// nothing else.
    async fn logged_in<T, C>(&self, ims_org_id: &str, call: impl Fn(Login) -> C) -> Result<T, Failure>
    where
        C: Future<Output = Result<T, Refused>>,
    {
        let login = self.keyring.of(ims_org_id)?.login().await?;
        let Refused { failure, bad_token } = match call(login.clone()).await {
            Ok(done) => return Ok(done),
            Err(refused) => refused,
        };
        if !bad_token {
            return Err(failure);
        }
        let fresh = self.keyring.of(ims_org_id)?.login_after(&login).await?.ok_or(failure)?;
        call(fresh).await.map_err(|refused| refused.failure)
    }
}

impl FlowApi for FlowClient {
    async fn create(&self, request: &CreateRequest) -> Result<Created, Failure> {
        self.logged_in(&request.ims_org_id, |login| async move { self.post(request, &login).await }).await
    }

    async fn find(&self, request: &FindRequest) -> Result<Option<Found>, Failure> {
        let searching =
            self.logged_in(&request.ims_org_id, |login| async move { self.search(request, &login).await });
        match tokio::time::timeout(self.timeout, searching).await {
            Ok(found) => found,
            Err(_) => Err(Failure::new(
                FailureKind::Timeout,
                format!("Flow Service did not answer a look-up within {:?}", self.timeout),
            )),
        }
    }

    fn has_token(&self, ims_org_id: &ImsOrgId) -> bool {
        self.keyring.of(ims_org_id.as_str()).is_ok_and(|source| source.is_ready())
    }

    async fn auth_specs(&self, request: &SpecRequest) -> Result<Vec<AuthSpec>, Failure> {
        self.look_at_spec(request).await
    }

    async fn state(&self, request: &ConnectionRequest) -> Result<String, Failure> {
        self.look_at_state(request).await
    }

    async fn test(&self, request: &ConnectionRequest) -> Result<bool, Failure> {
        self.look_at_test(request).await
    }
}

/// The headers of Adobe's tutorials, and no other: `x-sandbox-id` beside them is refused (code 2110-400).
fn with_headers(
    request: RequestBuilder,
    ims_org_id: &str,
    sandbox_name: &str,
    login: &Login,
) -> Result<RequestBuilder, Refused> {
    let given = |name: &HeaderName, value: &str| {
        HeaderValue::from_str(value).map_err(|_| Refused {
            failure: Failure::new(
                FailureKind::Refused,
                format!("{name} holds characters that cannot be sent"),
            ),
            bad_token: false,
        })
    };
    Ok(request
        .header(AUTHORIZATION, login.authorization())
        .header(API_KEY, login.api_key())
        .header(IMS_ORG_ID, given(&IMS_ORG_ID, ims_org_id)?)
        .header(SANDBOX_NAME, given(&SANDBOX_NAME, sandbox_name)?)
        .header(ACCEPT, JSON))
}

/// What a refusal says, as far as the redactor lets it through.
pub(super) fn refused(answer: &Answer, redactor: &Redactor) -> Refused {
    let problem = Problem::read(&answer.body, answer.request_id());
    let code = problem.code.as_deref();
    let description = answer.describe(problem.message.as_deref(), code, redactor);
    let origin = match answer.end {
        // What is missing may be its code.
        End::TooLong(_) | End::Cut(_) if answer.is_json() => Origin::FlowService,
        _ => problem.origin(),
    };
    let kind = classify(answer.status, code, origin);
    let message = if kind == FailureKind::ForeignAnswer {
        let to = answer.location_host().map(|host| format!(", a redirect to {}", redactor.show(&host)));
        let to = to.unwrap_or_default();
        format!(
            "something else than Flow Service answered {description}{to}: FLOW_URL may be wrong, or a proxy or firewall stands in between"
        )
    } else {
        format!("Flow Service answered {description}")
    };
    let failure = Failure {
        kind,
        message,
        http_status: Some(answer.status),
        flow_code: code.map(|code| redactor.show(code)),
        request_id: problem.request_id.as_deref().map(|id| redactor.show(id)),
        retry_after: answer.retry_after(),
    };
    Refused { failure, bad_token: asks_for_fresh_token(answer.status, code) }
}

/// A success that does not say what it should.
fn unreadable(answer: &Answer, lacking: &str, sent: &Bytes, login: &Login) -> Failure {
    let redactor = redactor(sent, login);
    let description = answer.describe(None, None, &redactor);
    Failure {
        http_status: Some(answer.status),
        request_id: Problem::read(b"", answer.request_id()).request_id.map(|id| redactor.show(&id)),
        ..Failure::new(FailureKind::Unreadable, format!("Flow Service answered {description}, {lacking}"))
    }
}

/// Hides what was sent. Only for a call that has failed: it reads the whole request again.
fn redactor(sent: &Bytes, login: &Login) -> Redactor {
    let mut redactor = Redactor::for_request(sent);
    for secret in login.secrets() {
        redactor.hide(secret.expose_secret());
    }
    redactor
}

/// The failure of a call that got no answer; `who` did not give one.
pub(super) fn no_answer(who: &str, error: &reqwest::Error, redactor: &Redactor) -> Failure {
    let (kind, what) = match call_result(error) {
        CallResult::NotSent => (FailureKind::NotSent, "cannot be reached"),
        CallResult::Timeout => (FailureKind::Timeout, "did not answer in time"),
        CallResult::NoAnswer | CallResult::Status(_) => {
            (FailureKind::NoAnswer, "broke off without an answer")
        }
    };
    Failure::new(kind, format!("{who} {what}: {}", explain(error, redactor)))
}

/// What Flow Service says of a new connection. An etag that is no text takes nothing away from the id.
#[derive(Deserialize)]
struct NewConnection {
    id: String,
    #[serde(default, deserialize_with = "optional")]
    etag: Option<String>,
}

fn created(body: &[u8]) -> Option<Created> {
    let NewConnection { id, etag } = object(body)?;
    is_id(&id).then_some(Created { id, etag })
}

#[cfg(test)]
mod tests;
