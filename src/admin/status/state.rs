//! What is shown: the numbers of this moment, in the page's order.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::admin::Served;
use crate::contract::reply::ErrorCode;
use crate::metrics::numbers::Numbers;

/// The state of the worker, as JSON.
pub(super) fn of(served: &Served) -> Value {
    let numbers = served.metrics.numbers();
    let outcome = |outcome: &str| numbers.sum("jobs_completed_total", &[("outcome", outcome)]);
    let failed: f64 = ErrorCode::ALL.iter().map(|code| outcome(code.as_str())).sum();
    let of_flow = |name: &str| numbers.sum(name, &[("upstream", "flow")]);
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "at": now().to_string(),
        "health": health(served.readiness.get(), &numbers),
        "jobs": {
            "inFlight": numbers.sum("jobs_in_flight", &[]),
            "received": numbers.sum("jobs_received_total", &[]),
            "created": outcome("created"),
            "failed": failed,
            "parked": numbers.sum("dead_lettered_total", &[]),
            "lastCreated": ago(numbers.sum("last_success_timestamp_seconds", &[])),
        },
        "calls": {
            "total": of_flow("http_requests_total"),
            "inFlight": of_flow("http_requests_in_flight"),
            "seconds": of_flow("http_request_duration_seconds_sum"),
            "limited": numbers.sum("http_requests_total", &[("upstream", "flow"), ("status", "429")]),
            "retries": numbers.sum("retries_scheduled_total", &[]),
            "denied": numbers.sum("calls_denied_total", &[]),
        },
        "retryBudget": numbers.sum("retry_budget_ratio", &[]),
        "tokenExpires": from_now(numbers.sum("token_expiry_timestamp_seconds", &[])),
        "breakers": breakers(&numbers),
        "organisations": organisations(&numbers),
        "organisationsDown": numbers.sum("organisations_down", &[]),
        "answers": counted(&numbers, "http_requests_total", "status", Some(("upstream", "flow"))),
        "outcomes": counted(&numbers, "jobs_completed_total", "outcome", None),
        "queues": queues(&numbers),
        "lastFailures": served.metrics.failures.latest(),
    })
}

/// One word for all of it, and what it stands on.
fn health(is_ready: bool, numbers: &Numbers) -> Value {
    let is_set = |name: &str, role: &str| numbers.sum(name, &[("role", role)]) > 0.0;
    let connection =
        |role: &str| match (is_set("amqp_connection_up", role), is_set("amqp_connection_blocked", role)) {
            (true, true) => "blocked",
            (true, false) => "up",
            (false, _) => "down",
        };
    let connections = [connection("consume"), connection("publish")];
    let is_paused = numbers.sum("consuming_paused", &[]) > 0.0;
    let (level, word) = match (is_ready, is_paused) {
        (false, _) => ("bad", "not taking jobs"),
        (true, true) => ("bad", "paused: no call could be made"),
        (true, false) if connections.contains(&"blocked") => ("bad", "the broker takes no replies"),
        (true, false) if numbers.sum("organisations_down", &[]) > 0.0 => {
            ("doubtful", "some organisations are down")
        }
        (true, false) => ("good", "taking jobs"),
    };
    json!({
        "ready": is_ready,
        "level": level,
        "word": word,
        "consume": connections[0],
        "publish": connections[1],
    })
}

fn breakers(numbers: &Numbers) -> Value {
    const NAME: &str = "circuit_breaker_state";
    let is_in = |breaker, state| numbers.sum(NAME, &[("breaker", breaker), ("state", state)]) > 0.0;
    let rows = numbers.by(NAME, "breaker").into_keys().map(|breaker| {
        let state = ["open", "half_open"].into_iter().find(|state| is_in(breaker, state));
        json!({ "breaker": breaker, "state": state.unwrap_or("closed").replace('_', " ") })
    });
    rows.collect()
}

fn organisations(numbers: &Numbers) -> Value {
    let limits = numbers.by("organisation_concurrency_limit", "organisation");
    let rates = numbers.by("organisation_rate_limit", "organisation");
    let calls = numbers.by("organisation_calls_in_flight", "organisation");
    let of = |numbers: &std::collections::BTreeMap<&str, f64>, name| {
        numbers.get(name).copied().unwrap_or_default()
    };
    let rows = limits.iter().map(|(name, limit)| {
        // 0 stands for no limit.
        let rate = Some(of(&rates, name)).filter(|rate| *rate > 0.0);
        json!({ "organisation": name, "inFlight": of(&calls, name), "limit": limit.floor(), "rate": rate })
    });
    rows.collect()
}

/// What has been counted at all, by a label.
fn counted(numbers: &Numbers, name: &str, label: &str, only: Option<(&str, &str)>) -> Value {
    let values = numbers.by(name, label);
    let counts = values.into_keys().map(|value| {
        let labels: Vec<(&str, &str)> = [(label, value)].into_iter().chain(only).collect();
        (value, numbers.sum(name, &labels))
    });
    counts
        .filter(|(_, count)| *count > 0.0)
        .map(|(value, count)| json!({ "what": value, "count": count }))
        .collect()
}

/// Messages that are ready; nothing while nobody looks.
fn queues(numbers: &Numbers) -> Value {
    if numbers.sum("queues_seen_timestamp_seconds", &[]) == 0.0 {
        return json!([]);
    }
    let queues = numbers.by("queue_messages_ready", "queue");
    queues.into_iter().map(|(queue, ready)| json!({ "queue": queue, "ready": ready })).collect()
}

/// To the second.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

fn ago(unix_time: f64) -> Value {
    let since = now().as_second() - whole(unix_time);
    if unix_time > 0.0 {
        json!(format!("{:#} ago", SignedDuration::from_secs(since.max(0))))
    } else {
        Value::Null
    }
}

fn from_now(unix_time: f64) -> Value {
    let left = whole(unix_time) - now().as_second();
    if unix_time > 0.0 {
        json!(format!("in {:#}", SignedDuration::from_secs(left.max(0))))
    } else {
        Value::Null
    }
}

#[expect(clippy::cast_possible_truncation, reason = "Unix time has 33 bits")]
fn whole(seconds: f64) -> i64 {
    seconds as i64
}
