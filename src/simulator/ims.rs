//! The stand-in for IMS: issues access tokens and knows which are good. Knows nothing of connections.

use std::collections::{BTreeMap, HashMap, VecDeque};
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
    secrets: Mutex<Secrets>,
    good: RwLock<Good>,
    lifetime: Duration,
}

/// The client secrets that are accepted.
#[derive(Debug, Clone)]
struct Secrets {
    /// Of the one client; any if there are none.
    of_one: Vec<String>,
    /// By client, if there are several; none of one that has none.
    of_each: BTreeMap<String, Vec<String>>,
}

/// A token that was issued.
#[derive(Debug)]
struct Issued {
    client: String,
    expiry: Instant,
}

/// The tokens that are good, unless their time is over.
#[derive(Debug, Default)]
struct Good {
    issued: HashMap<Arc<str>, Issued>,
    /// In order of issue, which is also the order of expiry.
    order: VecDeque<Arc<str>>,
    fixed: Option<String>,
}

impl Secrets {
    fn new(options: &Options) -> Self {
        Self { of_one: options.client_secrets.clone(), of_each: options.clients.clone() }
    }
}

impl Tokens {
    pub(super) fn new(options: &Options) -> Self {
        let good = Good { fixed: options.access_token.clone(), ..Good::default() };
        Self {
            secrets: Mutex::new(Secrets::new(options)),
            good: RwLock::new(good),
            lifetime: options.token_lifetime,
        }
    }

    /// Whether an access token is good now, for this client if there are several.
    pub(super) fn accepts(&self, token: &str, client: &str) -> bool {
        let one = locked(&self.secrets).of_each.is_empty();
        let good = self.good.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_good = |it: &Issued| it.expiry > Instant::now() && (one || it.client == client);
        good.fixed.as_deref() == Some(token) || good.issued.get(token).is_some_and(is_good)
    }

    /// From now on no token is good, a fixed one included.
    pub(super) fn expire(&self) {
        *self.good.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Good::default();
    }

    /// From now on no token is good that was issued to this client.
    pub(super) fn expire_of(&self, client: &str) {
        let mut good = self.good.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Good { issued, order, .. } = &mut *good;
        issued.retain(|_, it| it.client != client);
        order.retain(|token| issued.contains_key(token));
    }

    /// The fixed token and the secrets as at start; issued tokens stay good, lest a reset disturb a running worker.
    pub(super) fn reset(&self, options: &Options) {
        *locked(&self.secrets) = Secrets::new(options);
        let mut good = self.good.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        good.fixed.clone_from(&options.access_token);
    }

    /// Accepts these of the one client.
    pub(super) fn set_secrets(&self, secrets: Vec<String>) {
        locked(&self.secrets).of_one = secrets;
    }

    /// Accepts these of one of several clients; whether there is such a client.
    pub(super) fn set_secrets_of(&self, client: &str, secrets: Vec<String>) -> bool {
        locked(&self.secrets).of_each.get_mut(client).map(|held| *held = secrets).is_some()
    }

    /// Whether there are several clients and this is one of them; nothing if there is one.
    pub(super) fn knows(&self, client: &str) -> Option<bool> {
        let secrets = locked(&self.secrets);
        (!secrets.of_each.is_empty()).then(|| secrets.of_each.contains_key(client))
    }

    fn accepts_secret(&self, client: &str, secret: &str) -> bool {
        let secrets = locked(&self.secrets);
        let is_known = |known: &Vec<String>| known.iter().any(|known| known == secret);
        let accepted = match secrets.of_each.get(client) {
            Some(known) => is_known(known),
            None => secrets.of_one.is_empty() || is_known(&secrets.of_one),
        };
        accepted && !secret.is_empty()
    }

    fn issue(&self, client: &str, random: [u128; 2]) -> Arc<str> {
        let [first, second] = random;
        // It looks like the real thing, so that whatever looks for tokens in logs finds it.
        let token: Arc<str> = format!("eyJhbGciOiJub25lIn0.{first:032x}.{second:032x}").into();
        let mut good = self.good.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if good.order.len() >= MAX_TOKENS
            && let Some(oldest) = good.order.pop_front()
        {
            good.issued.remove(&oldest);
        }
        good.order.push_back(Arc::clone(&token));
        let issued = Issued { client: client.to_owned(), expiry: Instant::now() + self.lifetime };
        good.issued.insert(Arc::clone(&token), issued);
        token
    }
}

/// `POST /ims/token/v3`.
pub(super) fn token(state: &State, headers: &HeaderMap, body: &[u8]) -> Response<Payload> {
    let client = match check(state, headers, body) {
        Ok(client) => client,
        Err((status, error, description)) => return problem::ims(status, error, &description),
    };
    let token = state.tokens.issue(&client, [state.random_bits(), state.random_bits()]);
    state.counts.token_issued();
    let expires_in = state.options.token_lifetime.as_secs();
    json_answer(
        StatusCode::OK,
        format!(r#"{{"access_token":"{token}","token_type":"bearer","expires_in":{expires_in}}}"#),
    )
}

/// The client that may have a token, or why there is none.
fn check(state: &State, headers: &HeaderMap, body: &[u8]) -> Result<String, (u16, &'static str, String)> {
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
    let known = state.knows_client(id);
    if id.is_empty() || !known {
        return Err((401, "invalid_client", "invalid client_id parameter".to_owned()));
    }
    if !state.tokens.accepts_secret(id, field("client_secret")) {
        return Err((401, "invalid_client", "invalid client_secret parameter".to_owned()));
    }
    let mut scopes = field("scope").split([',', ' ']).filter(|scope| !scope.is_empty()).peekable();
    if scopes.peek().is_none() {
        return Err((400, "invalid_scope", "scope is missing".to_owned()));
    }
    match scopes.find(|scope| !state.options.scopes.iter().any(|known| known == scope)) {
        None => Ok(id.to_owned()),
        Some(unknown) => Err((400, "invalid_scope", format!("unknown scope: {unknown}"))),
    }
}
