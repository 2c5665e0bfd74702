//! Flow Service's calls on connections. Headers have been checked when a request comes here.

use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::{Response, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::State;
use super::gateway::{Caller, Refused};
use super::http::Call;
use super::item::{Connection, etag};
use super::payload::Payload;
use super::problem::{self, json_answer};
use super::query::{ListQuery, Refusal};
use super::store::{NewConnection, Store, Text};
use crate::sources::{self, Basis, Source};

/// What a read shows in place of a secret. Whether and how the real service masks is not documented.
const MASK: &str = "******";

/// The body of a create. Everything is optional here, so that each absence gets its own code.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    name: Option<String>,
    description: Option<String>,
    auth: Option<Map<String, Value>>,
    connection_spec: Option<Spec>,
}

#[derive(Debug, Deserialize)]
struct Spec {
    id: Option<String>,
    version: Option<String>,
}

/// `POST /connections`.
pub(super) fn create(state: &State, call: &Call, caller: Caller<'_>) -> Response<Payload> {
    accept(state, call, caller).unwrap_or_else(|refused| *refused)
}

fn accept(state: &State, call: &Call, caller: Caller<'_>) -> Result<Response<Payload>, Refused> {
    let Body { name, description, mut auth, connection_spec } = parse(call)?;
    let spec = connection_spec.unwrap_or(Spec { id: None, version: None });
    let source = spec.id.as_deref().and_then(sources::by_spec_id);
    let Some(source) = source else {
        return refuse(call, "1413-400", "The connection spec id is not valid.");
    };
    let Some(spec_version) = spec.version else {
        return Err(Box::new(problem::message(422, "'version' is required for spec info")));
    };
    if let Some(auth) = &auth {
        check_auth(call, source, auth)?;
    }
    let usable = auth.as_ref().is_none_or(is_usable);
    if let Some(Value::Object(params)) = auth.as_mut().and_then(|auth| auth.get_mut("params")) {
        mask(params);
    }
    let auth = auth.map(|auth| Value::Object(auth).to_string());
    let id = uuid::Builder::from_random_bytes(state.random_bits().to_be_bytes()).into_uuid();
    let created_at = Timestamp::now().as_millisecond();
    let new = NewConnection {
        id,
        created_at,
        enabled_at: created_at.saturating_add(milliseconds(state.enable_after())),
        client: caller.client,
        scope: caller.scope,
        name: name.as_deref(),
        description: description.as_deref(),
        spec_id: source.spec_id,
        spec_version: &spec_version,
        auth: auth.as_deref(),
        usable,
    };
    state.store_mut(|store| store.add(&new));
    Ok(created(id, created_at))
}

fn created(id: Uuid, created_at: i64) -> Response<Payload> {
    let etag = etag(id, created_at).replace('"', "\\\"");
    let mut answer = json_answer(StatusCode::CREATED, format!(r#"{{"id":"{id}","etag":"{etag}"}}"#));
    let location = format!("/data/foundation/flowservice/connections/{id}");
    if let Ok(location) = HeaderValue::try_from(location) {
        answer.headers_mut().insert(LOCATION, location);
    }
    answer
}

fn refuse<T>(call: &Call, code: &str, detail: &str) -> Result<T, Refused> {
    Err(Box::new(problem::flow(400, code, detail, &call.request_id)))
}

fn parse(call: &Call) -> Result<Body, Refused> {
    let content_type = call.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let media_type = content_type.split(';').next().unwrap_or("").trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(Box::new(problem::platform(400, "A valid content-type must be specified")));
    }
    if matches!(call.body.trim_ascii(), b"" | b"null") {
        return refuse(call, "1405-400", "The request body is null or empty.");
    }
    serde_json::from_slice(&call.body).map_err(|error| {
        Box::new(problem::platform(400, &format!("The request body cannot be read: {error}")))
    })
}

fn check_auth(call: &Call, source: &Source, auth: &Map<String, Value>) -> Result<(), Refused> {
    let spec_name = auth.get("specName").and_then(Value::as_str).unwrap_or("");
    let Some(known) = source.auth(spec_name) else {
        let detail = format!("The auth spec name [{spec_name}] was not found for the connection spec.");
        return refuse(call, "1415-400", &detail);
    };
    // Anything less than the published schema may be wrong in a letter, and must not refuse what would work.
    if known.basis != Basis::AuthSpec {
        return Ok(());
    }
    let params = auth.get("params").and_then(Value::as_object);
    let is_missing = |name: &&&str| params.and_then(|params| params.get(**name)).is_none_or(Value::is_null);
    let missing: Vec<&str> = known.required.iter().filter(is_missing).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let detail = format!(
        "The request could not be processed. Error from flow provider: required auth params are missing: {}",
        missing.join(", ")
    );
    refuse(call, "1100-400", &detail)
}

/// The simulator's stand-in for credentials that the third party refuses.
fn is_usable(auth: &Map<String, Value>) -> bool {
    let params = auth.get("params").and_then(Value::as_object);
    !params.is_some_and(|params| params.values().any(|value| value == "invalid"))
}

fn mask(params: &mut Map<String, Value>) {
    for (name, value) in params {
        if is_secret(name) {
            *value = MASK.into();
        }
    }
}

/// Whether a connection spec would mark this auth param with `format: password`.
pub(super) fn is_secret(param: &str) -> bool {
    let name = param.to_ascii_lowercase();
    let place =
        ["url", "uri", "endpoint", "name", "id"].iter().any(|end| name.ends_with(end)) && name != "sasuri";
    let signs =
        ["secret", "password", "token", "key", "passphrase", "credentials", "connectionstring", "sasuri"];
    !place && signs.iter().any(|sign| name.contains(sign))
}

/// `GET /connections`.
pub(super) fn find(state: &State, call: &Call, caller: Caller<'_>) -> Response<Payload> {
    let query = match ListQuery::parse(call.query.as_deref().unwrap_or("")) {
        Ok(query) => query,
        Err(Refusal { code, detail }) => return problem::flow(400, code, &detail, &call.request_id),
    };
    let visible_until = visible_until(state.find_lag());
    state.store(|store| list(store, &query, caller, visible_until))
}

/// Connections created after this moment are not listed yet.
fn visible_until(lag: Duration) -> i64 {
    let now = Timestamp::now().as_millisecond();
    now.saturating_sub(milliseconds(lag))
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn list(store: &Store, query: &ListQuery, caller: Caller<'_>, visible_until: i64) -> Response<Payload> {
    let description = query.equal_to("description").map(Text::Description);
    let text = description.or_else(|| query.equal_to("name").map(Text::Name));
    let matching = store
        .newest_first(caller.scope, text)
        .filter(|(_, connection)| connection.created_at <= visible_until && query.matches(connection));
    if query.count {
        return json_answer(StatusCode::OK, json!({ "count": matching.count() }).to_string());
    }
    let (page, next) = query.page(matching);
    let items: Result<Vec<Box<RawValue>>, _> = page.iter().map(|connection| connection.to_json()).collect();
    page_of(items.and_then(|items| serde_json::to_string(&items)), next)
}

/// `{"items":[…],"_links":{…}}`.
pub(super) fn page_of(items: Result<String, serde_json::Error>, next: Option<String>) -> Response<Payload> {
    let Ok(items) = items else { return problem::platform(500, "The items cannot be shown") };
    let links = next.map_or_else(|| json!({}), |href| json!({ "next": { "href": href } }));
    json_answer(StatusCode::OK, format!(r#"{{"items":{items},"_links":{links}}}"#))
}

/// `GET /connections/{id}`.
pub(super) fn get(state: &State, call: &Call, caller: Caller<'_>) -> Response<Payload> {
    let item = state.store(|store| store.get(call.id(), caller.scope).map(Connection::to_json));
    match item {
        Some(item) => page_of(item.map(|item| format!("[{item}]")), None),
        None => problem::not_found(call.id(), "connections", &call.request_id),
    }
}

/// `GET /connections/{id}/test`.
pub(super) fn test(state: &State, call: &Call, caller: Caller<'_>) -> Response<Payload> {
    match state.store(|store| store.get(call.id(), caller.scope).map(|found| found.usable)) {
        Some(usable) => json_answer(StatusCode::OK, json!({ "result": usable }).to_string()),
        None => problem::not_found(call.id(), "connections", &call.request_id),
    }
}

/// `DELETE /connections/{id}`.
pub(super) fn delete(state: &State, call: &Call, caller: Caller<'_>) -> Response<Payload> {
    if !state.store_mut(|store| store.delete(call.id(), caller.scope)) {
        return problem::not_found(call.id(), "connections", &call.request_id);
    }
    let mut answer = Response::new(Payload::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}
