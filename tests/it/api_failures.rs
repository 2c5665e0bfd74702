//! What becomes of a job when Flow Service or IMS fails, for every kind of failure.

use std::collections::HashMap;

use connection_worker::simulator::Options;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::corner::{BOLD, SOON, job};
use crate::support::eventually::eventually;
use crate::support::scene::Scene;

/// Three attempts for a job at the most, no long pauses, and no job that pays for what others have met.
fn quick(env: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    [&[("RETRY_ATTEMPTS", "3")], &BOLD[..], &SOON[..], env].concat()
}

/// A port that nobody listens on.
const REFUSED: &str = "http://127.0.0.1:1";

/// What Flow Service is made to do with a job, and what is to come of it.
struct Case {
    id: &'static str,
    fault: Value,
    /// How many times it is done; for ever if not given.
    count: Option<u64>,
    code: &'static str,
    http_status: Option<u16>,
    flow_code: Option<&'static str>,
    attempts: u64,
}

/// A failure that ends the job at once.
fn fatal(
    id: &'static str,
    fault: Value,
    code: &'static str,
    http_status: u16,
    flow_code: &'static str,
) -> Case {
    let flow_code = (!flow_code.is_empty()).then_some(flow_code);
    Case { id, fault, count: None, code, http_status: Some(http_status), flow_code, attempts: 1 }
}

/// A call without an answer.
fn unanswered(id: &'static str, fault: Value) -> Case {
    Case { http_status: None, ..lasting(id, fault, "ambiguous", 0, "") }
}

/// A failure that goes on for as long as the job is tried.
fn lasting(
    id: &'static str,
    fault: Value,
    code: &'static str,
    http_status: u16,
    flow_code: &'static str,
) -> Case {
    Case { attempts: 3, ..fatal(id, fault, code, http_status, flow_code) }
}

/// A failure that passes.
fn passing(id: &'static str, fault: Value, count: u64) -> Case {
    let case = fatal(id, fault, "created", 0, "");
    Case { count: Some(count), http_status: None, attempts: count + 1, ..case }
}

fn status(status: u16, form: &str, code: &str) -> Value {
    json!({ "kind": "status", "status": status, "form": form, "code": code })
}

fn raw(status: u16, content_type: &str, body: &str) -> Value {
    json!({ "kind": "status", "status": status, "form": "raw", "contentType": content_type, "body": body })
}

fn answer(status: u16, body: &Value) -> Value {
    raw(status, "application/json", &body.to_string())
}

fn refusals() -> Vec<Case> {
    let rejected = |id, fault, http_status, flow_code| fatal(id, fault, "rejected", http_status, flow_code);
    let unauthorized =
        |id, fault, http_status, flow_code| fatal(id, fault, "unauthorized", http_status, flow_code);
    let problem =
        json!({ "type": "/placeholder/type/uri", "status": 400, "title": "BadRequestError", "detail": "no" });
    vec![
        rejected("400-flow", status(400, "flow", "1100-400"), 400, "1100-400"),
        rejected("400-spec-id", status(400, "flow", "1413-400"), 400, "1413-400"),
        rejected("400-older", answer(400, &json!({ "errorMessage": "no", "errorDetails": "no" })), 400, ""),
        rejected("400-terse", answer(400, &json!({ "message": "Please provide a valid spec id" })), 400, ""),
        rejected("400-gateway", status(400, "gateway", "400003"), 400, "400003"),
        rejected(
            "400-number",
            answer(400, &json!({ "error_code": 400_003, "message": "no" })),
            400,
            "400003",
        ),
        rejected("400-platform", answer(400, &problem), 400, ""),
        rejected("400-echo", json!({ "kind": "echo", "status": 400 }), 400, "1100-400"),
        rejected("401-of-the-source", status(401, "flow", "1001-401"), 401, "1001-401"),
        rejected("403-of-the-source", status(403, "flow", "1002-403"), 403, "1002-403"),
        rejected("404-sandbox", status(404, "flow", "2103-404"), 404, "2103-404"),
        rejected("415", status(415, "flow", "1004-415"), 415, "1004-415"),
        rejected("422", answer(422, &json!({ "message": "'version' is required for spec info" })), 422, ""),
        unauthorized("401-wrong-organisation", status(401, "flow", "2001-401"), 401, "2001-401"),
        unauthorized("403-permission", status(403, "flow", "2120-403"), 403, "2120-403"),
    ]
}

/// Answers that are not Flow Service's: nothing was done, and no job is to blame.
fn foreign_answers() -> Vec<Case> {
    let foreign = |id, fault, http_status| lasting(id, fault, "unavailable", http_status, "");
    let html = |status| raw(status, "text/html", "<html>no</html>");
    let redirect = |status| json!({ "kind": "redirect", "status": status, "location": REFUSED });
    let no_route = json!({ "message": "no Route matched with those values" });
    vec![
        foreign("302", redirect(302), 302),
        foreign("308", redirect(308), 308),
        foreign("400-html", html(400), 400),
        foreign("400-empty", raw(400, "text/plain", ""), 400),
        foreign("403-html", html(403), 403),
        foreign("404-html", html(404), 404),
        foreign("404-of-another", answer(404, &no_route), 404),
        foreign("405", raw(405, "text/plain", "Method Not Allowed"), 405),
        foreign("407", html(407), 407),
        foreign("413", html(413), 413),
        foreign("421", html(421), 421),
        foreign("423", html(423), 423),
        foreign("425", html(425), 425),
        foreign("431", html(431), 431),
        foreign("451", html(451), 451),
    ]
}

/// Calls that created nothing, and whose answer leaves that open.
fn unknown_outcomes() -> Vec<Case> {
    let ambiguous =
        |id, fault, http_status, flow_code| lasting(id, fault, "ambiguous", http_status, flow_code);
    vec![
        ambiguous("408", status(408, "flow", "1006-408"), 408, "1006-408"),
        ambiguous("409", raw(409, "text/html", "<html>conflict</html>"), 409, ""),
        ambiguous("500", status(500, "flow", "1102-500"), 500, "1102-500"),
        ambiguous("500-gateway", status(500, "gateway", "503000"), 500, "503000"),
        ambiguous("502", raw(502, "text/html", "<html>Bad Gateway</html>"), 502, ""),
        ambiguous("503-service", status(503, "flow", "1103-503"), 503, "1103-503"),
        ambiguous("503-empty", raw(503, "text/html", ""), 503, ""),
        ambiguous("504", status(504, "flow", "1104-504"), 504, "1104-504"),
        ambiguous("without-id", answer(200, &json!({ "etag": "\"1\"" })), 200, ""),
        ambiguous("empty-id", answer(201, &json!({ "id": "" })), 201, ""),
        ambiguous("no-content", raw(202, "text/plain", ""), 202, ""),
        unanswered("closed", json!({ "kind": "close" })),
    ]
}

/// Calls that created the connection, and whose answer does not tell.
fn unknown_successes() -> Vec<Case> {
    let done = |id, fault| Case { attempts: 2, ..passing(id, fault, 1) };
    vec![
        done("truncated", json!({ "kind": "truncate" })),
        done("invalid-json", json!({ "kind": "invalid_json" })),
        done("huge", json!({ "kind": "huge", "bytes": 10_000_000_000_u64 })),
        done("after-500", status(500, "flow", "1102-500")),
        done("after-504", status(504, "flow", "1104-504")),
        done("after-closed", json!({ "kind": "close" })),
        // A firewall that has taken the answer away.
        done("after-403-html", raw(403, "text/html", "<html>no</html>")),
    ]
}

fn repeated() -> Vec<Case> {
    let throttle = |retry_after: Option<&str>| json!({ "kind": "throttle", "retryAfter": retry_after });
    vec![
        passing("429-once", throttle(Some("0")), 1),
        passing("429-without-retry-after", throttle(None), 2),
        passing("429-nonsense", throttle(Some("soon")), 1),
        passing("429-in-the-past", throttle(Some("Sun, 06 Nov 1994 08:49:37 GMT")), 1),
        passing("503-gateway", status(503, "gateway", "503010"), 2),
        passing("503-delayed", raw(503, "application/json", r#"{"error_code":"503071"}"#), 1),
        passing("403-profile-not-read", status(403, "gateway", "503020"), 1),
        lasting("429-on-and-on", throttle(None), "throttled", 429, "429001"),
        lasting("503-on-and-on", status(503, "gateway", "503030"), "unavailable", 503, "503030"),
        lasting("403-on-and-on", status(403, "gateway", "503020"), "unavailable", 403, "503020"),
    ]
}

/// What the sender is told; the ids are left out, and whether there is a message and a request id is left in.
fn told(reply: &Value) -> Value {
    let error = &reply["error"];
    let message = error["message"].as_str().unwrap_or_default();
    for secret in ["hub-client-secret", "hub-access-token", "hub-refresh-token", "eyJ"] {
        assert!(!message.contains(secret), "{reply}");
    }
    json!({
        "status": reply["status"],
        "code": error["code"],
        "explained": !message.is_empty(),
        "httpStatus": error["httpStatus"],
        "flowCode": error["flowCode"],
        "traceable": error["requestId"].is_string(),
        "retryable": error["retryable"],
        "attempts": reply["attempts"],
    })
}

impl Case {
    fn rule(&self) -> Value {
        // Connections are named after their jobs.
        let mut rule = json!({ "name": format!("connection {}", self.id), "fault": self.fault });
        if let Some(count) = self.count {
            rule["count"] = count.into();
        }
        rule
    }

    fn expected(&self) -> Value {
        if self.code == "created" {
            return told(&json!({ "status": "created", "attempts": self.attempts }));
        }
        json!({
            "status": "failed",
            "code": self.code,
            "explained": true,
            "httpStatus": self.http_status,
            "flowCode": self.flow_code,
            "traceable": self.http_status.is_some(),
            "retryable": (self.code == "throttled" || self.code == "unavailable"),
            "attempts": self.attempts,
        })
    }
}

/// How often Flow Service was asked to create each connection, by the name of the job.
async fn calls(scene: &Scene) -> HashMap<String, u64> {
    let mut calls = HashMap::new();
    for request in scene.sim.requests().await {
        let body: Value = serde_json::from_str(request["body"].as_str().unwrap()).unwrap();
        let name = body["name"].as_str().unwrap().trim_start_matches("connection ").to_owned();
        *calls.entry(name).or_default() += 1;
    }
    calls
}

/// Runs all cases at once, through one worker.
async fn run(cases: &[Case]) -> Scene {
    let scene = Scene::start(&quick(&[])).await;
    scene.sim.fault(cases.iter().map(Case::rule).collect()).await;
    scene.submit_all(cases.iter().map(|case| job(case.id))).await;
    let replies: HashMap<String, Value> = scene
        .replies(cases.len())
        .await
        .into_iter()
        .map(|reply| reply.json())
        .map(|reply| (reply["jobId"].as_str().unwrap().to_owned(), reply))
        .collect();
    let calls = calls(&scene).await;
    for case in cases {
        let reply = &replies[case.id];
        assert_eq!(told(reply), case.expected(), "{}: {reply:#}", case.id);
        assert_eq!(calls[case.id], case.attempts, "{}: calls", case.id);
    }
    scene.settled().await;
    assert_eq!(scene.count("amqp_sessions_total").await, 1);
    scene
}

#[tokio::test]
async fn a_refusal_ends_the_job_at_once() {
    let scene = run(&refusals()).await;
    assert_eq!(scene.sim.report().await["created"], 0);
}

#[tokio::test]
async fn an_answer_of_something_else_is_no_verdict_on_a_job() {
    let cases = foreign_answers();
    let scene = run(&cases).await;
    let report = scene.sim.report().await;
    assert_eq!((&report["created"], &report["requests"]["other"]), (&json!(0), &json!(0)), "{report}");
    assert_eq!(
        scene.vhost.depth(&scene.dead_queue()).await,
        u32::try_from(cases.len()).unwrap(),
        "a replay helps"
    );
}

#[tokio::test]
async fn a_failure_that_certainly_did_nothing_is_tried_again() {
    let cases = repeated();
    let scene = run(&cases).await;
    assert_eq!(
        scene.sim.report().await["created"],
        cases.iter().filter(|case| case.code == "created").count()
    );
}

#[tokio::test]
async fn a_connection_that_was_created_without_word_is_found() {
    let cases = unknown_successes();
    let scene = Scene::start(&quick(&[])).await;
    let rule = |case: &Case| {
        let mut rule = case.rule();
        if case.id.starts_with("after") {
            rule["when"] = "after".into();
        }
        rule
    };
    scene.sim.fault(cases.iter().map(rule).collect()).await;
    scene.submit_all(cases.iter().map(|case| job(case.id))).await;
    for reply in scene.replies(cases.len()).await {
        let reply = reply.json();
        let case = cases.iter().find(|case| reply["jobId"] == case.id).unwrap();
        assert_eq!(told(&reply), case.expected(), "{}: {reply:#}", case.id);
        assert_eq!(reply["connection"]["recovered"], true, "{}", case.id);
    }
    assert!(calls(&scene).await.values().all(|calls| *calls == 1), "{:?}", calls(&scene).await);
    let report = scene.sim.report().await;
    let numbers = (&report["created"], &report["duplicates"]["extra"]);
    assert_eq!(numbers, (&cases.len().into(), &0.into()), "{report}");
    scene.settled().await;
}

#[tokio::test]
async fn what_a_look_up_does_not_find_is_created_after_all() {
    let cases: Vec<Case> = unknown_outcomes()
        .into_iter()
        .map(|case| Case { attempts: 2, ..passing(case.id, case.fault, 1) })
        .collect();
    let scene = run(&cases).await;
    let report = scene.sim.report().await;
    let numbers = (&report["created"], &report["duplicates"]["extra"]);
    assert_eq!(numbers, (&cases.len().into(), &0.into()), "{report}");
    let number = u64::try_from(cases.len()).unwrap();
    assert_eq!(scene.count("creates_in_doubt_total").await, number);
    assert_eq!(scene.count("duplicate_connections_total").await, 0);
}

#[tokio::test]
async fn an_outcome_that_stays_unknown_is_ambiguous_and_the_job_is_parked() {
    let cases = unknown_outcomes();
    let scene = run(&cases).await;
    assert_eq!(scene.sim.report().await["created"], 0);
    for parked in scene.vhost.take(&scene.dead_queue(), cases.len(), PATIENCE).await {
        assert_eq!(parked.header("dead-reason").as_deref(), Some("exhausted"));
        assert_eq!(parked.header("job-attempts").as_deref(), Some("3"));
        let id = parked.json()["jobId"].clone();
        assert!(cases.iter().any(|case| id == case.id && parked.json() == job(case.id)), "{id}");
    }
}

#[tokio::test]
async fn a_call_without_an_answer_ends_with_its_deadline_and_is_looked_for() {
    let scene = Scene::start(&quick(&[("FLOW_TIMEOUT", "1s")])).await;
    let late = json!({ "kind": "delay", "ms": 60_000 });
    let rules = json!([
        { "name": "connection hangs", "count": 1, "fault": { "kind": "hang" } },
        { "name": "connection late", "when": "after", "count": 1, "fault": late },
    ]);
    scene.sim.fault(rules).await;
    scene.submit_all([job("hangs"), job("late")]).await;
    for reply in scene.replies(2).await {
        let reply = reply.json();
        assert_eq!(told(&reply), passing("", Value::Null, 1).expected(), "{reply}");
        assert_eq!(reply["connection"]["recovered"], reply["jobId"] == "late", "{reply}");
    }
    assert_eq!(calls(&scene).await, HashMap::from([("hangs".to_owned(), 2), ("late".to_owned(), 1)]));
    assert_eq!(scene.sim.report().await["created"], 2);
}

#[tokio::test]
async fn a_flow_service_that_cannot_be_reached_makes_jobs_unavailable() {
    let scene = Scene::start(&quick(&[("FLOW_URL", REFUSED)])).await;
    let reply = scene.ask(&job("refused")).await;
    let expected = Case { http_status: None, ..lasting("", Value::Null, "unavailable", 0, "") }.expected();
    assert_eq!(told(&reply), expected, "{reply}");
    scene.settled().await;
}

#[tokio::test]
async fn an_ims_that_cannot_be_reached_makes_jobs_unavailable() {
    let scene = Scene::start(&quick(&[("IMS_URL", REFUSED)])).await;
    let reply = scene.ask(&job("no-token")).await;
    let expected = Case { http_status: None, ..lasting("", Value::Null, "unavailable", 0, "") }.expected();
    assert_eq!(told(&reply), expected, "{reply}");
    assert_eq!(scene.sim.report().await["requests"]["create"], 0);
}

#[tokio::test]
async fn a_secret_that_ims_refuses_makes_jobs_unauthorized() {
    let options = Options { client_secrets: vec!["another".to_owned()], ..Options::default() };
    let scene = Scene::with(options, &quick(&[("RETRY_ATTEMPTS", "1")])).await;
    let reply = scene.ask(&job("no-token")).await;
    let error = &reply["error"];
    assert_eq!(
        (&error["code"], &error["flowCode"]),
        (&"unauthorized".into(), &"invalid_client".into()),
        "{reply}"
    );
    assert_eq!(error["retryable"], false);
    assert_eq!(scene.sim.report().await["requests"]["create"], 0);
}

#[tokio::test]
async fn an_expired_token_is_replaced_and_the_job_done() {
    let scene = Scene::start(&quick(&[])).await;
    assert_eq!(scene.ask(&job("before")).await["status"], "created");
    scene.sim.expire_tokens().await;
    let reply = scene.ask(&job("after")).await;
    assert_eq!((&reply["status"], &reply["attempts"]), (&"created".into(), &1.into()), "{reply}");
    let report = scene.sim.report().await;
    assert_eq!((&report["tokensIssued"], &report["created"]), (&2.into(), &2.into()), "{report}");
    assert_eq!(
        calls(&scene).await["after"],
        2,
        "the call that was refused, and the one with the fresh token"
    );
}

#[tokio::test]
async fn a_token_that_is_refused_for_good_is_replaced_once() {
    let scene = Scene::start(&quick(&[("RETRY_ATTEMPTS", "1")])).await;
    scene.sim.fault(json!({ "fault": status(401, "gateway", "401013") })).await;
    let reply = scene.ask(&job("refused")).await;
    assert_eq!(told(&reply), fatal("", Value::Null, "unauthorized", 401, "401013").expected(), "{reply}");
    let report = scene.sim.report().await;
    assert_eq!((&report["tokensIssued"], &report["requests"]["create"]), (&2.into(), &2.into()), "{report}");
}

#[tokio::test]
async fn an_expired_job_is_not_done() {
    let scene = Scene::start(&quick(&[])).await;
    let mut expired = job("expired");
    expired["expiresAt"] = (Timestamp::now() - SignedDuration::from_secs(1)).to_string().into();
    let reply = scene.ask(&expired).await;
    let expected =
        Case { http_status: None, attempts: 0, ..fatal("", Value::Null, "expired", 0, "") }.expected();
    assert_eq!(told(&reply), expected, "{reply}");
    assert_eq!(scene.sim.report().await["requests"]["create"], 0);
}

#[tokio::test]
async fn a_job_that_expires_before_it_can_be_tried_again_is_given_up() {
    let scene = Scene::start(&quick(&[])).await;
    scene.sim.fault(json!({ "fault": { "kind": "throttle", "retryAfter": "40" } })).await;
    let mut expiring = job("expiring");
    expiring["expiresAt"] = (Timestamp::now() + SignedDuration::from_secs(30)).to_string().into();
    let reply = scene.ask(&expiring).await;
    assert_eq!(told(&reply), fatal("", Value::Null, "expired", 429, "429050").expected(), "{reply}");
    assert_eq!(scene.sim.report().await["requests"]["create"], 1);
}

/// When each call for a job came.
async fn times(scene: &Scene, id: &str) -> Vec<Timestamp> {
    let requests = scene.sim.requests().await;
    let of_job =
        requests.iter().filter(|call| call["body"].as_str().unwrap().contains(&format!("connection {id}\"")));
    of_job.map(|request| request["at"].as_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn retry_after_is_a_floor() {
    let env = quick(&[("RETRY_AFTER_MAX", "2s")]);
    let scene = Scene::start(&env).await;
    // Whole seconds, as an HTTP date has them, and not before the job is there.
    let date = Timestamp::from_second(Timestamp::now().as_second() + 2).unwrap();
    let throttle = |id: &str, retry_after: &str| {
        let fault = json!({ "kind": "throttle", "retryAfter": retry_after });
        json!({ "name": format!("connection {id}"), "count": 1, "fault": fault })
    };
    let http_date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let rules = json!([throttle("seconds", "1"), throttle("date", &http_date), throttle("ages", "86400")]);
    scene.sim.fault(rules).await;
    scene.submit_all([job("seconds"), job("date"), job("ages")]).await;
    for reply in scene.replies(3).await {
        let reply = reply.json();
        assert_eq!((&reply["status"], &reply["attempts"]), (&"created".into(), &2.into()), "{reply}");
    }
    for (id, floor) in [("seconds", 1), ("ages", 2)] {
        let times = times(&scene, id).await;
        let waited = times[1].duration_since(times[0]);
        assert!(waited >= SignedDuration::from_secs(floor), "{id}: {waited}");
    }
    // Two clocks are at work here: the time of day, and the one that timers run on.
    let slack = SignedDuration::from_millis(20);
    assert!(times(&scene, "date").await[1] >= date - slack, "{date}");
}

#[tokio::test]
async fn an_outage_costs_a_bounded_number_of_calls() {
    const JOBS: u64 = 20;
    let scene = Scene::start(&quick(&[])).await;
    scene.sim.fault(json!({ "fault": status(503, "gateway", "503000") })).await;
    scene.submit_all((0..JOBS).map(|n| job(&format!("job-{n}")))).await;
    let replies = eventually("all are answered", PATIENCE, async || {
        let depth = scene.vhost.depth(&scene.reply_queue()).await;
        if u64::from(depth) == JOBS { Ok(()) } else { Err(depth) }
    });
    replies.await;
    let calls = scene.sim.report().await["requests"]["create"].as_u64().unwrap();
    assert!(
        (JOBS..=3 * JOBS).contains(&calls),
        "{calls} calls for {JOBS} jobs of three attempts at the most"
    );
}
