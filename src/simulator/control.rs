//! The simulator's own API, under `/simulator/`: nothing of it exists at Adobe. The parent module lists its calls.

use std::time::Duration;

use hyper::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::fault::Rule;
use super::latency::Latency;
use super::payload::Payload;
use super::problem::json_answer;
use super::{MAX_SECRETS, Options, State, locked};

/// Where the control API begins.
pub(super) const PREFIX: &str = "/simulator/";

/// As many recorded requests as are shown when no number is given.
const DEFAULT_SHOWN: usize = 10;

/// What can be changed while the simulator runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Settings {
    pub(super) latency: Latency,
    #[serde(default)]
    find_lag_ms: u64,
    #[serde(default)]
    enable_after_ms: u64,
}

impl Settings {
    pub(super) fn new(options: &Options) -> Self {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            latency: options.latency,
            find_lag_ms: milliseconds(options.find_lag),
            enable_after_ms: milliseconds(options.enable_after),
        }
    }

    pub(super) fn find_lag(&self) -> Duration {
        Duration::from_millis(self.find_lag_ms)
    }

    pub(super) fn enable_after(&self) -> Duration {
        Duration::from_millis(self.enable_after_ms)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Secrets {
    #[serde(default)]
    client_id: Option<String>,
    client_secrets: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Client {
    client_id: String,
}

/// Answers a control request; `path` is what follows the prefix.
pub(super) fn answer(
    state: &State,
    method: &Method,
    path: &str,
    query: Option<&str>,
    body: &[u8],
) -> Response<Payload> {
    let done = match (method.as_str(), path) {
        ("GET", "faults") => Ok(json!({ "faults": state.faults.list() })),
        ("POST", "faults") => add_faults(state, body),
        ("DELETE", "faults") => {
            state.faults.replace(Vec::new());
            Ok(json!({ "faults": [] }))
        }
        ("DELETE", path) if path.starts_with("faults/") => return remove_fault(state, path),
        ("POST", "tokens/expire") => expire(state, body),
        ("POST", "secrets") => set_secrets(state, body),
        ("GET", "settings") => Ok(json!(*locked(&state.settings))),
        ("PUT", "settings") => set_settings(state, body),
        ("GET", "report") => Ok(report(state)),
        ("GET", "requests") => recorded(state, query.unwrap_or("")),
        ("POST", "reset") => {
            reset(state);
            Ok(json!({}))
        }
        _ => return refuse(StatusCode::NOT_FOUND, "the simulator has no such control call"),
    };
    match done {
        Ok(body) => json_answer(StatusCode::OK, body.to_string()),
        Err(reason) => refuse(StatusCode::BAD_REQUEST, &reason),
    }
}

fn refuse(status: StatusCode, reason: &str) -> Response<Payload> {
    json_answer(status, json!({ "error": reason }).to_string())
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn add_faults(state: &State, body: &[u8]) -> Result<Value, String> {
    let given: Value = read(body)?;
    let given = if given.is_array() { given } else { Value::Array(vec![given]) };
    let rules: Vec<Rule> = serde_json::from_value(given).map_err(|error| error.to_string())?;
    for rule in &rules {
        rule.check().map_err(|error| error.to_string())?;
    }
    Ok(json!({ "faults": state.faults.add(rules) }))
}

fn remove_fault(state: &State, path: &str) -> Response<Payload> {
    let id = path.strip_prefix("faults/").and_then(|id| id.parse().ok());
    if id.is_some_and(|id| state.faults.remove(id)) {
        return json_answer(StatusCode::OK, json!({ "faults": state.faults.list() }).to_string());
    }
    refuse(StatusCode::NOT_FOUND, "there is no rule with this id")
}

/// Of one client, or of all.
fn expire(state: &State, body: &[u8]) -> Result<Value, String> {
    match read::<Option<Client>>(if body.is_empty() { b"null" } else { body })? {
        None => state.tokens.expire(),
        Some(Client { client_id }) => state.tokens.expire_of(&client_id),
    }
    Ok(json!({}))
}

fn set_secrets(state: &State, body: &[u8]) -> Result<Value, String> {
    let Secrets { client_id, client_secrets } = read(body)?;
    if client_secrets.len() > MAX_SECRETS {
        return Err(format!("a credential has at most {MAX_SECRETS} client secrets"));
    }
    match client_id {
        None => state.tokens.set_secrets(client_secrets),
        Some(id) if state.tokens.set_secrets_of(&id, client_secrets) => {}
        Some(_) => return Err("there is no such client".to_owned()),
    }
    Ok(json!({}))
}

fn set_settings(state: &State, body: &[u8]) -> Result<Value, String> {
    let settings: Settings = read(body)?;
    let shown = json!(settings);
    *locked(&state.settings) = settings;
    Ok(shown)
}

fn report(state: &State) -> Value {
    let mut report = Map::new();
    state.store(|store| store.add_to(&mut report));
    state.counts.add_to(&mut report);
    Value::Object(report)
}

fn recorded(state: &State, query: &str) -> Result<Value, String> {
    let limit = form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == "limit")
        .map(|(_, value)| value.parse::<usize>());
    let limit = limit.transpose().map_err(|_| "`limit` must be a number")?.unwrap_or(DEFAULT_SHOWN);
    Ok(json!({ "requests": state.requests.last(limit) }))
}

fn reset(state: &State) {
    let options = &state.options;
    state.tokens.reset(options);
    state.faults.replace(options.faults.clone());
    *locked(&state.settings) = Settings::new(options);
    state.store_mut(super::store::Store::reset);
    state.counts.reset();
    state.requests.reset();
}
