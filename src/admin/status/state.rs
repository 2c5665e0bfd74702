//! What is shown: the numbers of this moment, in the page's order.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::held_back;
use crate::admin::Served;
use crate::admission::{BreakerScope, HeldBack};
use crate::contract::reply::ErrorCode;
use crate::metrics::numbers::Numbers;

/// The state of the worker, as JSON.
pub(super) fn of(served: &Served) -> Value {
    let numbers = served.metrics.numbers();
    let held = served.admission.held_back();
    let held_level = held_back::level(&held, &served.admission.configured());
    let outcome = |outcome: &str| numbers.sum("jobs_completed_total", &[("outcome", outcome)]);
    let failed: f64 = ErrorCode::ALL.iter().map(|code| outcome(code.as_str())).sum();
    let of_flow = |name: &str| numbers.sum(name, &[("upstream", "flow")]);
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "at": now().to_string(),
        "health": health(served.readiness.get(), held_level, &numbers),
        "heldBack": held_back::of(&held, waiting(&numbers)),
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
            "rejected": numbers.sum("calls_rejected_total", &[]),
        },
        "retryBudget": numbers.sum("retry_budget_ratio", &[]),
        "tokenExpires": from_now(numbers.sum("token_expiry_timestamp_seconds", &[])),
        "breakers": breakers(&held, &numbers),
        "organisations": organisations(&numbers),
        "organisationsHeldBack": held_back::organisations(&held),
        "answers": counted(&numbers, "http_requests_total", "status", Some(("upstream", "flow"))),
        "outcomes": counted(&numbers, "jobs_completed_total", "outcome", None),
        "queues": queues(&numbers),
        "lastFailures": served.metrics.failures.latest(),
    })
}

/// One word for all of it, and what it stands on.
fn health(is_ready: bool, held: Option<(&str, &str)>, numbers: &Numbers) -> Value {
    let is_set = |name: &str, role: &str| numbers.sum(name, &[("role", role)]) > 0.0;
    let connection =
        |role: &str| match (is_set("amqp_connection_up", role), is_set("amqp_connection_blocked", role)) {
            (true, true) => "blocked",
            (true, false) => "up",
            (false, _) => "down",
        };
    let connections = [connection("consume"), connection("publish")];
    let (level, word) = match (is_ready, held) {
        (false, _) => ("bad", "not taking jobs"),
        (true, _) if connections.contains(&"blocked") => ("bad", "the broker takes no replies"),
        (true, Some(held)) => held,
        (true, None) => ("good", "taking jobs"),
    };
    json!({
        "ready": is_ready,
        "level": level,
        "word": word,
        "consume": connections[0],
        "publish": connections[1],
    })
}

fn breakers(held: &[HeldBack], numbers: &Numbers) -> Value {
    let rows = BreakerScope::ALL.into_iter().map(|scope| {
        let open = held.iter().filter(|held| held.scope == scope).count();
        let opened = numbers.sum("circuit_breaker_opened_total", &[("breaker", scope.as_str())]);
        json!({ "breaker": scope.as_str().replace('_', "-"), "open": open, "opened": opened })
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
        // 0 stands for no limit, or for none that is known yet.
        let above_zero = |limit: f64| Some(limit).filter(|limit| *limit > 0.0);
        let (limit, rate) = (above_zero(limit.floor()), above_zero(of(&rates, name)));
        json!({ "organisation": name, "inFlight": of(&calls, name), "limit": limit, "rate": rate })
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

/// Jobs that wait in the overflow and in the held queue; nothing while nobody looks.
fn waiting(numbers: &Numbers) -> Option<(f64, f64)> {
    let ready = |queue| numbers.sum("queue_messages_ready", &[("queue", queue)]);
    are_seen(numbers).then(|| (ready("overflow"), ready("held")))
}

fn are_seen(numbers: &Numbers) -> bool {
    numbers.sum("queues_seen_timestamp_seconds", &[]) > 0.0
}

/// Messages that are ready; nothing while nobody looks.
fn queues(numbers: &Numbers) -> Value {
    if !are_seen(numbers) {
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
