//! No credential, token or payload leaves the worker, but in the request that it belongs to.
//!
//! What is not looked at, because it is meant to show what the sender wrote: the body and the sender's own headers of a
//! dead letter, which is the message as it came; names of fields; and what is no secret in a reply (`jobId`, the
//! connection's name, organisation, sandbox).

use std::time::Duration;

use connection_worker::contract::{self, Defaults, Envelope, Limits};
use connection_worker::simulator::Options;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::broker::{Broker, Message};
use crate::support::collector::Collector;
use crate::support::command::run;
use crate::support::corner::{BOLD, Corner, SOON};
use crate::support::eventually::eventually;
use crate::support::simulator::Sim;
use crate::support::worker::WorkerProcess;

mod canary;
mod commands;
mod job;
mod organisations;

use canary::{Canary, assert_absent};
use job::{SecretJob, names, rules};

/// Many of the calls hang, and are tried again.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the simulator's own access tokens begin.
const ISSUED_TOKEN: &str = "eyJhbGciOiJub25lIn0";

/// The headers that the worker puts on a dead letter.
const DEAD_HEADERS: [&str; 4] = ["dead-reason", "dead-at", "job-attempts", "job-last-error"];

/// The faults that come after the connection was created; it is looked up.
const CREATED_ALL_THE_SAME: usize = 3;

/// Few attempts, because every call fails.
const ATTEMPTS: (&str, &str) = ("RETRY_ATTEMPTS", "2");

/// A user of the broker with this password, and the worker's URL for it; a foreign broker keeps its own.
async fn amqp_url(corner: &Corner, user: &str, password: &Canary) -> String {
    let vhost = &corner.vhost;
    if !vhost.broker().is_ours() {
        return vhost.amqp_url();
    }
    let (name, password) = (vhost.name(), &password.value);
    vhost
        .broker()
        .eval(&format!(
            r#"ok = rabbit_auth_backend_internal:add_user(<<"{user}">>, <<"{password}">>, <<"tests">>),
               All = <<".*">>,
               rabbit_auth_backend_internal:set_permissions(<<"{user}">>, <<"{name}">>, All, All, All, <<"tests">>)."#
        ))
        .await;
    vhost.amqp_url().replacen("guest:guest", &format!("{user}:{password}"), 1)
}

/// What a message shows besides what its sender put there.
fn shown(message: &Message) -> String {
    format!("{:?} {}", message.properties, String::from_utf8_lossy(&message.body))
}

/// Sends a message with a secret in a header of the sender's own.
async fn send(corner: &Corner, header: &Canary, properties: BasicProperties, body: &[u8]) {
    let mut headers = FieldTable::default();
    headers.insert("authorization".into(), AMQPValue::LongString(header.value.as_str().into()));
    corner.submit_raw(properties.with_headers(headers), body).await;
}

/// Whether a message without properties can be answered: most have a `jobId` that can be read.
fn names_its_job(body: &[u8]) -> bool {
    let limits = Limits { max_bytes: 1 << 20 };
    let rejected = contract::parse(body, &Envelope::default(), &Defaults::default(), limits).unwrap_err();
    rejected.job_id.is_some()
}

/// Sends everything, and looks at everything that comes back.
async fn work(corner: &Corner, job: &SecretJob, canaries: &[Canary], worker: &WorkerProcess) {
    let header = Canary::new("header");
    let rules = rules();
    corner.sim.fault(rules.clone()).await;
    let identified = |id: &str| BasicProperties::default().with_message_id(id.into());
    let names = names(&rules);
    for name in &names {
        let id = name.replace(' ', "-");
        let body = job.json(&id, name).to_string();
        send(corner, &header, identified(&id), body.as_bytes()).await;
        let id = format!("{id}-elsewhere");
        let body = job.json(&id, name).to_string();
        send(corner, &header, identified(&id).with_reply_to("nowhere".into()), body.as_bytes()).await;
    }
    let spoilt = job.spoilt();
    let mut dead = 0;
    for body in &spoilt {
        send(corner, &header, identified("spoilt"), body).await;
        send(corner, &header, BasicProperties::default(), body).await;
        dead += usize::from(!names_its_job(body));
    }
    let canaries = [canaries, &[header]].concat();
    let n = names.len() + 2 * spoilt.len() - dead;
    let replies = corner.vhost.take(&corner.reply_queue(), n, PATIENCE).await;
    for reply in &replies {
        assert_absent(&canaries, "a reply", &shown(reply));
    }
    let failed = replies.iter().filter(|reply| reply.json()["status"] == "failed").count();
    assert_eq!(failed, replies.len() - 1 - CREATED_ALL_THE_SAME, "all others fail");
    let hidden = replies.iter().filter(|reply| shown(reply).contains("[redacted]")).count();
    assert!(hidden >= 7, "the echoes came back, with their secrets hidden: {hidden}");
    for reply in corner.vhost.take(&corner.undeliverable_queue(), names.len(), PATIENCE).await {
        assert_absent(&canaries, "an undeliverable reply", &shown(&reply));
    }
    corner.settled().await;
    let letters = corner.vhost.drain(&corner.dead_queue()).await;
    let malformed =
        letters.iter().filter(|letter| letter.header("dead-reason").as_deref() == Some("malformed"));
    assert_eq!(malformed.count(), dead);
    assert!(letters.len() > dead, "jobs that used up their attempts are parked, too");
    for letter in letters {
        let is_job = || letter.json()["connection"]["auth"] == job.auth;
        assert!(spoilt.contains(&letter.body) || is_job(), "a dead letter is the message as it came");
        for name in DEAD_HEADERS {
            assert_absent(&canaries, name, &letter.header(name).expect(name));
        }
    }
    for path in ["/metrics", "/livez", "/readyz", "/"] {
        assert_absent(&canaries, path, &worker.admin(path).await.unwrap().body);
    }
}

/// Looks at all that was exported about the jobs, once the worker has ended. `key` is what the collector lets it in for.
fn assert_untraced(collector: &Collector, canaries: &[Canary], key: &Canary) {
    let traces = collector.text();
    for part in ["process ", "send ", "POST", "GET", "error.type", "retry"] {
        assert!(traces.contains(&format!("\"{part}")), "{part} is not in the traces");
    }
    assert_absent(canaries, "a trace", &traces);
    assert!(!traces.contains(ISSUED_TOKEN), "an access token stands in a trace");
    assert_eq!(collector.headers()[0]["authorization"], key.value.as_str());
}

/// Ends the worker and looks at all that it ever printed.
async fn assert_silent(worker: WorkerProcess, canaries: &[Canary]) {
    let log = assert_quiet(worker, canaries).await;
    assert!(log.matches("job done").count() > 20, "the log is there");
}

/// The same, and gives what was printed.
async fn assert_quiet(mut worker: WorkerProcess, canaries: &[Canary]) -> String {
    worker.signal(Signal::SIGTERM);
    assert!(worker.wait(PATIENCE).await.success());
    let log = worker.logs();
    assert_absent(canaries, "the log", &log);
    assert!(!log.contains(ISSUED_TOKEN), "an access token stands in the log");
    log
}

/// The secrets went where they belong, or this would prove nothing.
async fn assert_arrived(sim: &Sim, job: &SecretJob, authorization: &str) {
    let requests = sim.requests().await;
    let body: Value = serde_json::from_str(requests[0]["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["auth"], job.auth);
    let sent = requests[0]["headers"]["authorization"].as_str().unwrap();
    assert!(sent.starts_with(&format!("Bearer {authorization}")), "{sent}");
}

#[tokio::test]
async fn secrets_stay_inside() {
    let corner = Corner::new().await;
    let job = SecretJob::new();
    let (password, secret) = (Canary::plain("amqppassword"), Canary::new("imssecret"));
    let (collector, key) = (Collector::start().await, Canary::plain("otlpkey"));
    let canaries = [job.canaries.clone(), vec![password.clone(), secret.clone(), key.clone()]].concat();
    let url = amqp_url(&corner, "secretive", &password).await;
    // IMS answers with what it was sent, before it gives a token; so do those between us and it.
    corner
        .sim
        .fault(json!([
            { "endpoint": "token", "count": 1, "fault": { "kind": "echo", "status": 400 } },
            { "endpoint": "token", "count": 1, "fault": { "kind": "echo", "status": 503 } },
            { "endpoint": "token", "count": 1, "fault": { "kind": "invalid_json" } },
        ]))
        .await;
    let env = [
        ("AMQP_URL", url.as_str()),
        ("IMS_CLIENT_SECRET", &secret.value),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()),
        ("OTEL_EXPORTER_OTLP_HEADERS", &format!("authorization={}", key.value)),
        ("FLOW_TIMEOUT", "1s"),
        ("RUST_LOG", "trace"),
    ];
    let worker = corner.worker(&[&env[..], &SOON, &BOLD, &[ATTEMPTS]].concat()).await;
    eventually("a token is issued", PATIENCE, async || {
        corner.submit(&job.json("token", "token")).await;
        let reply = &corner.reply().await;
        assert_absent(&canaries, "a reply", &shown(reply));
        if reply.json()["status"] == "created" { Ok(()) } else { Err(reply.json()) }
    })
    .await;
    assert_eq!(corner.sim.report().await["requests"]["token"], 4, "all of IMS' failures came");
    work(&corner, &job, &canaries, &worker).await;
    assert_arrived(&corner.sim, &job, ISSUED_TOKEN).await;
    assert_silent(worker, &canaries).await;
    assert_untraced(&collector, &canaries, &key);
}

#[tokio::test]
async fn a_fixed_token_stays_inside() {
    let job = SecretJob::new();
    let (password, token, key) =
        (Canary::plain("amqpfixed"), Canary::plain("fixedtoken"), Canary::plain("apikey"));
    let options = Options {
        access_token: Some(token.value.clone()),
        client_id: Some(key.value.clone()),
        ..Options::default()
    };
    let corner = Corner::with(options).await;
    let canaries = [job.canaries.clone(), vec![password.clone(), token.clone(), key.clone()]].concat();
    let url = amqp_url(&corner, "secretive-too", &password).await;
    let env = [
        ("AMQP_URL", url.as_str()),
        ("IMS_CLIENT_ID", ""),
        ("IMS_CLIENT_SECRET", ""),
        ("ACCESS_TOKEN", &token.value),
        ("API_KEY", &key.value),
        ("FLOW_TIMEOUT", "1s"),
        ("RUST_LOG", "trace,lapin=trace,hyper=trace,hyper_util=trace,reqwest=trace,rustls=trace"),
    ];
    let worker = corner.worker(&[&env[..], &SOON, &BOLD, &[ATTEMPTS]].concat()).await;
    work(&corner, &job, &canaries, &worker).await;
    assert_arrived(&corner.sim, &job, &token.value).await;

    // From here on every call ends with a bad token.
    corner.sim.clear_faults().await;
    corner.sim.expire_tokens().await;
    let late = job.json("late", "late").to_string();
    corner.submit_raw(BasicProperties::default(), late.as_bytes()).await;
    let reply = &corner.reply().await;
    assert_eq!(reply.json()["error"]["httpStatus"], 401);
    assert_absent(&canaries, "a reply", &shown(reply));
    assert_silent(worker, &canaries).await;
}

#[tokio::test]
async fn a_refused_or_unreachable_broker_shows_no_password() {
    let password = Canary::new("wrongpassword");
    let encoded: String = url::form_urlencoded::byte_serialize(password.value.as_bytes()).collect();
    let addr = Broker::shared().await.addr().await;
    for (addr, code) in [(addr.to_string(), 78), ("127.0.0.1:1".to_owned(), 69)] {
        let url = format!("amqp://guest:{encoded}@{addr}/");
        let env = [
            ("AMQP_URL", url.as_str()),
            ("ACCESS_TOKEN", "token"),
            ("API_KEY", "key"),
            ("ADMIN_ADDR", "127.0.0.1:0"),
            ("BROKER_GIVE_UP", "1s"),
            ("RUST_LOG", "trace"),
        ];
        let ran = run(&["run"], &env).await;
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert_absent(std::slice::from_ref(&password), "the log", &format!("{ran:?}"));
    }
}
