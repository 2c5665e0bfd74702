//! What stands before every Flow Service call: API key, access token, organisation, sandbox.

use hyper::{HeaderMap, Response};

use super::State;
use super::payload::Payload;
use super::problem;
use super::store::Scope;

/// A refusal, boxed because it is rare and large.
pub(super) type Refused = Box<Response<Payload>>;

/// Who calls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller<'a> {
    /// The API key, which is the client id.
    pub(super) client: &'a str,
    /// Whose connections these are.
    pub(super) scope: Scope<'a>,
}

/// Lets a call through, or says what is wrong with its headers.
pub(super) fn admit<'a>(
    state: &State,
    headers: &'a HeaderMap,
    request_id: &str,
) -> Result<Caller<'a>, Refused> {
    let client = api_key(state, headers)?;
    access_token(state, headers, client)?;
    let org = header(headers, "x-gw-ims-org-id");
    if org.is_empty() {
        return gateway(400, "400003", "Missing header (x-gw-ims-org-id)");
    }
    let flow = |status, code, detail: &str| Err(Box::new(problem::flow(status, code, detail, request_id)));
    if headers.contains_key("x-sandbox-id") {
        return flow(400, "2110-400", "The header x-sandbox-id is not allowed with the user token.");
    }
    let sandbox = header(headers, "x-sandbox-name");
    if sandbox.is_empty() {
        return flow(400, "2105-400", "The header x-sandbox-name is missing.");
    }
    let sandboxes = &state.options.sandboxes;
    if !sandboxes.is_empty() && !sandboxes.iter().any(|known| known == sandbox) {
        return flow(404, "2103-404", &format!("The sandbox was not found: {sandbox}"));
    }
    Ok(Caller { client, scope: Scope { org, sandbox } })
}

fn api_key<'a>(state: &State, headers: &'a HeaderMap) -> Result<&'a str, Refused> {
    let client = header(headers, "x-api-key");
    if client.is_empty() {
        return gateway(403, "403000", "Api Key is required");
    }
    if state.knows_client(client) { Ok(client) } else { gateway(403, "403003", "Api Key is invalid") }
}

fn access_token(state: &State, headers: &HeaderMap, client: &str) -> Result<(), Refused> {
    let authorization = header(headers, "authorization");
    if authorization.is_empty() {
        return gateway(403, "403010", "Oauth token is missing");
    }
    let token = authorization
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    match token {
        Some(token) if state.tokens.accepts(token, client) => Ok(()),
        _ => gateway(401, "401013", "Oauth token is not valid"),
    }
}

fn gateway<T>(status: u16, code: &str, message: &str) -> Result<T, Refused> {
    Err(Box::new(problem::gateway(status, code, message)))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("").trim()
}
