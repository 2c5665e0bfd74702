//! The stand-in for IMS: issues access tokens and knows which are good. Knows nothing of connections.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use hyper::header::CONTENT_TYPE;
use hyper::{HeaderMap, Response, StatusCode};
use tokio::time::Instant;

use super::payload::Payload;
use super::problem::{self, json_answer};
use super::{Options, State, locked};

/// A client that asks for more tokens than this loses the oldest.
const MAX_TOKENS: usize = 10_000;

/// Access tokens and what it takes to get one.
#[derive(Debug)]
pub(super) struct Tokens {
    secrets: Mutex<Vec<String>>,
    good: RwLock<Good>,
    lifetime: Duration,
}

/// The tokens that are good, unless their time is over.
#[derive(Debug, Default)]
struct Good {
    expiry: HashMap<Arc<str>, Instant>,
    /// In order of issue, which is also the order of expiry.
    order: VecDeque<Arc<str>>,
    fixed: Option<String>,
}

impl Tokens {
    pub(super) fn new(options: &Options) -> Self {
        let good = Good { fixed: options.access_token.clone(), ..Good::default() };
        Self {
            secrets: Mutex::new(options.client_secrets.clone()),
            good: RwLock::new(good),
            lifetime: options.token_lifetime,
        }
    }

    /// Whether an access token is good now.
    pub(super) fn accepts(&self, token: &str) -> bool {
        let good = self.good.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        good.fixed.as_deref() == Some(token)
            || good.expiry.get(token).is_some_and(|expiry| *expiry > Instant::now())
    }

    /// From now on no token is good, a fixed one included.
    pub(super) fn expire(&self) {
        *self.good.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Good::default();
    }

    /// The fixed token and the secrets as at start; issued tokens stay good, lest a reset disturb a running worker.
    pub(super) fn reset(&self, options: &Options) {
        self.set_secrets(options.client_secrets.clone());
        let mut good = self.good.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        good.fixed.clone_from(&options.access_token);
    }

    pub(super) fn set_secrets(&self, secrets: Vec<String>) {
        *locked(&self.secrets) = secrets;
    }

    fn accepts_secret(&self, secret: &str) -> bool {
        let secrets = locked(&self.secrets);
        !secret.is_empty() && (secrets.is_empty() || secrets.iter().any(|known| known == secret))
    }

    fn issue(&self, random: [u128; 2]) -> Arc<str> {
        let [first, second] = random;
        // It looks like the real thing, so that whatever looks for tokens in logs finds it.
        let token: Arc<str> = format!("eyJhbGciOiJub25lIn0.{first:032x}.{second:032x}").into();
        let mut good = self.good.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if good.order.len() >= MAX_TOKENS
            && let Some(oldest) = good.order.pop_front()
        {
            good.expiry.remove(&oldest);
        }
        good.order.push_back(Arc::clone(&token));
        good.expiry.insert(Arc::clone(&token), Instant::now() + self.lifetime);
        token
    }
}

/// `POST /ims/token/v3`.
pub(super) fn token(state: &State, headers: &HeaderMap, body: &[u8]) -> Response<Payload> {
    if let Err((status, error, description)) = check(state, headers, body) {
        return problem::ims(status, error, &description);
    }
    let token = state.tokens.issue([state.random_bits(), state.random_bits()]);
    state.counts.token_issued();
    let expires_in = state.options.token_lifetime.as_secs();
    json_answer(
        StatusCode::OK,
        format!(r#"{{"access_token":"{token}","token_type":"bearer","expires_in":{expires_in}}}"#),
    )
}

fn check(state: &State, headers: &HeaderMap, body: &[u8]) -> Result<(), (u16, &'static str, String)> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if !content_type.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
        return Err((400, "invalid_request", "the body must be a form".to_owned()));
    }
    let form: HashMap<_, _> = url::form_urlencoded::parse(body).collect();
    let field = |name: &str| form.get(name).map_or("", |value| value.as_ref());
    match field("grant_type") {
        "client_credentials" => {}
        "" => return Err((400, "invalid_request", "grant_type is missing".to_owned())),
        other => return Err((400, "unsupported_grant_type", format!("unsupported grant_type: {other}"))),
    }
    let id = field("client_id");
    let known = state.options.client_id.as_deref().is_none_or(|known| known == id);
    if id.is_empty() || !known {
        return Err((401, "invalid_client", "invalid client_id parameter".to_owned()));
    }
    if !state.tokens.accepts_secret(field("client_secret")) {
        return Err((401, "invalid_client", "invalid client_secret parameter".to_owned()));
    }
    let mut scopes = field("scope").split([',', ' ']).filter(|scope| !scope.is_empty()).peekable();
    if scopes.peek().is_none() {
        return Err((400, "invalid_scope", "scope is missing".to_owned()));
    }
    match scopes.find(|scope| !state.options.scopes.iter().any(|known| known == scope)) {
        None => Ok(()),
        Some(unknown) => Err((400, "invalid_scope", format!("unknown scope: {unknown}"))),
    }
}
