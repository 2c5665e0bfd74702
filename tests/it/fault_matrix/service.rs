//! Flow Service and the way to it: every kind of bad answer, calls that do not get through, brown-outs and outages.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::case::{CONCURRENCY, Case, LOAD, on_both_types};
use crate::support::PATIENCE;
use crate::support::corner::BOLD;
use crate::support::eventually::eventually;
use crate::support::worker::WorkerProcess;

/// A call without an answer ends after this.
const TIMEOUT: (&str, &str) = ("FLOW_TIMEOUT", "2s");

/// Longer than a job is held for, and too short to hold up the others for long.
const RETRY_AFTER_MAX: (&str, &str) = ("RETRY_AFTER_MAX", "6s");

const THREE_ATTEMPTS: (&str, &str) = ("RETRY_ATTEMPTS", "3");

/// Retries that outlast an outage of some seconds.
const PATIENT: [(&str, &str); 3] = [("RETRY_BASE", "100ms"), ("RETRY_MAX", "1s"), ("RETRY_ATTEMPTS", "100")];

const SOME: usize = 20;

fn status(status: u16, form: &str, code: &str) -> Value {
    json!({ "kind": "status", "status": status, "form": form, "code": code })
}

fn page(status: u16) -> Value {
    json!({ "kind": "status", "status": status, "form": "raw", "body": "<html>no</html>" })
}

fn always(fault: Value) -> Value {
    Value::Object([("fault".to_owned(), fault)].into_iter().collect())
}

fn once(fault: Value) -> Value {
    let mut rule = always(fault);
    rule["count"] = 1.into();
    rule
}

/// Once, and after the connection has been created.
fn done_once(fault: Value) -> Value {
    let mut rule = once(fault);
    rule["when"] = "after".into();
    rule
}

/// Faults that pass: the connection is there in the end.
fn passing() -> Vec<(&'static str, Value)> {
    let delay = |ms: u64| json!({ "kind": "delay", "ms": ms });
    vec![
        ("slow", once(delay(500))),
        ("done-and-slow", done_once(delay(500))),
        ("done-and-too-slow", done_once(delay(60_000))),
        ("never", once(json!({ "kind": "hang" }))),
        ("truncated", once(json!({ "kind": "truncate" }))),
        ("invalid-json", once(json!({ "kind": "invalid_json" }))),
        ("ten-megabytes", once(json!({ "kind": "huge", "bytes": 10_000_000 }))),
        ("closed", once(json!({ "kind": "close" }))),
        ("done-and-closed", done_once(json!({ "kind": "close" }))),
        ("401-token", once(status(401, "gateway", "401013"))),
        ("408", once(status(408, "flow", "1006-408"))),
        ("409", once(page(409))),
        ("500", once(status(500, "flow", "1102-500"))),
        ("done-and-500", done_once(status(500, "flow", "1102-500"))),
        ("502", once(page(502))),
        ("503", once(status(503, "flow", "1103-503"))),
        ("503-gateway", once(status(503, "gateway", "503010"))),
        ("504", once(status(504, "flow", "1104-504"))),
        ("done-and-504", done_once(status(504, "flow", "1104-504"))),
    ]
}

/// `Retry-After` as services have been seen to send it.
const RETRY_AFTERS: [Option<&str>; 6] =
    [None, Some("1"), Some("-5"), Some("31536000"), Some("soon"), Some("Sun, 06 Nov 1994 08:49:37 GMT")];

/// Faults that do not pass, with the code that the sender is told.
fn lasting() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("400", "rejected", always(status(400, "flow", "1100-400"))),
        ("401-source", "rejected", always(status(401, "flow", "1001-401"))),
        ("403", "unauthorized", always(status(403, "flow", "2120-403"))),
        ("404", "rejected", always(status(404, "flow", "2103-404"))),
    ]
}

/// Faults that use up a job's attempts.
fn exhausting(redirect_to: &str) -> Vec<(&'static str, &'static str, Value)> {
    let redirect = json!({ "kind": "redirect", "status": 307, "location": redirect_to });
    vec![
        ("redirect-loop", "unavailable", always(redirect)),
        ("422-of-another", "unavailable", always(page(422))),
        ("429-on-and-on", "throttled", always(json!({ "kind": "throttle" }))),
        ("500-on-and-on", "ambiguous", always(status(500, "flow", "1102-500"))),
        ("503-on-and-on", "unavailable", always(status(503, "gateway", "503030"))),
    ]
}

#[tokio::test]
async fn whatever_flow_service_answers_each_job_comes_to_what_it_should() {
    on_both_types(async |queue_type| {
        let settings = [&BOLD[..], &[TIMEOUT, THREE_ATTEMPTS, RETRY_AFTER_MAX]].concat();
        let mut case = Case::start(queue_type, &settings).await;
        for (id, rule) in passing() {
            case.submit_ill(id, rule, "created").await;
        }
        for (number, retry_after) in RETRY_AFTERS.into_iter().enumerate() {
            let throttle = json!({ "kind": "throttle", "retryAfter": retry_after });
            case.submit_ill(&format!("429-{number}"), once(throttle), "created").await;
        }
        let here = format!("{}/connections", case.rig.sim.flow_url());
        for (id, code, rule) in lasting() {
            case.submit_ill(id, rule, code).await;
        }
        for (id, code, rule) in exhausting(&here) {
            case.submit_ill(id, rule, code).await;
            *case.dead.entry("exhausted").or_default() += 1;
        }
        case.submit(SOME).await;
        case.check().await;
        assert_eq!(case.rig.sim.report().await["requests"]["other"], 0, "no redirect is followed");
    })
    .await;
}

/// Under load, and while the connections that are kept for the next call are idle.
#[tokio::test]
async fn calls_that_are_reset_held_up_or_chopped_create_each_connection_once() {
    on_both_types(async |queue_type| {
        let mut case = Case::start(queue_type, &[TIMEOUT]).await;
        case.api_is_lossy = true;
        case.begin().await;
        for _ in 0..3 {
            let made = case.rig.created().await;
            case.api.cut();
            case.api.restore();
            case.rig.wait_created(made + 5).await;
        }
        case.check().await;

        case.api.cut();
        case.api.restore();
        case.submit(SOME).await;
        case.check().await;

        case.begin().await;
        case.api.freeze();
        wait_timeouts(&case.workers[0], 1).await;
        case.api.restore();
        case.check().await;

        case.api.slice();
        case.submit(SOME).await;
        case.check().await;
    })
    .await;
}

async fn wait_timeouts(worker: &WorkerProcess, at_least: u64) {
    let timeouts = r#"connection_worker_http_requests_total{method="POST",status="timeout",upstream="flow"}"#;
    worker.wait_count(timeouts, at_least, PATIENCE).await;
}

/// A name that does not resolve, a port that nobody listens on, and one that does not speak TLS.
#[tokio::test]
async fn a_service_that_cannot_be_reached_creates_nothing() {
    on_both_types(async |queue_type| {
        let row = async |url: String| {
            let settings = [&BOLD[..], &[("FLOW_URL", &url), THREE_ATTEMPTS]].concat();
            let mut case = Case::start(queue_type, &settings).await;
            for number in 0..SOME {
                case.submit_ill(&format!("lost-{number}"), always(json!({ "kind": "hang" })), "unavailable")
                    .await;
            }
            case.dead.insert("exhausted", SOME);
            case.check().await;
            assert_eq!(case.rig.sim.report().await["requests"]["create"], 0);
        };
        let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let answering = plain.local_addr().unwrap();
        tokio::spawn(async move {
            // Whatever it is sent, it says something else and hangs up.
            while let Ok((stream, _)) = plain.accept().await {
                stream.try_write(b"HTTP/1.1 400 Bad Request\r\n\r\n").ok();
            }
        });
        let urls = [
            "https://flow.invalid".to_owned(),
            "http://127.0.0.1:1".to_owned(),
            format!("https://{answering}"),
        ];
        join_all(urls.map(row)).await;
    })
    .await;
}

/// A third of the calls fails, some of them after the create; then all of them, until it is over.
#[tokio::test]
async fn a_brown_out_and_an_outage_park_nothing() {
    on_both_types(async |queue_type| {
        let mut case = Case::start(queue_type, &PATIENT).await;
        case.rig
            .sim
            .fault(json!([
                { "rate": 0.15, "when": "after", "fault": status(500, "flow", "1102-500") },
                { "rate": 0.15, "fault": status(503, "gateway", "503010") },
            ]))
            .await;
        case.submit(LOAD).await;
        case.check().await;
        let report = case.rig.sim.report().await;
        let calls = report["requests"]["create"].as_u64().unwrap();
        assert!(calls <= 2 * u64::try_from(LOAD).unwrap(), "{calls} calls for {LOAD} jobs");

        case.rig.sim.clear_faults().await;
        case.begin().await;
        let down = json!({ "endpoint": "any", "fault": status(503, "gateway", "503010") });
        case.rig.sim.fault(down).await;
        // Which one opens first, that of creates or that of look-ups, is chance.
        eventually("a breaker opens", PATIENCE, async || {
            let open = ["create", "look_up"]
                .map(|breaker| format!("connection_worker_circuit_breakers_open{{breaker=\"{breaker}\"}}"));
            let [create, look_up] = &open;
            let counts = (case.workers[0].count(create).await, case.workers[0].count(look_up).await);
            if counts == (0, 0) { Err(counts) } else { Ok(()) }
        })
        .await;
        case.rig.sim.clear_faults().await;
        case.check().await;
        let most = case.rig.sim.report().await["maxCreatesInFlight"].to_string();
        assert!(most.parse::<u64>().unwrap() <= CONCURRENCY.1.parse().unwrap(), "{most} calls at a time");
    })
    .await;
}
