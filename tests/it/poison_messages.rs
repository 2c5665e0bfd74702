//! Anything can arrive in the queue. It is answered or parked, and nothing else happens.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use lapin::tcp::OwnedTLSConfig;
use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable, ShortString};
use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::broker::{Message, connect};
use crate::support::corner::job;
use crate::support::eventually::eventually;
use crate::support::scene::Scene;

mod kinds;

/// A message that is no job, or none that can be done.
struct Bad {
    /// What is bad about it.
    kind: String,
    /// Known by this id, if it can be read.
    job_id: Option<String>,
    body: Vec<u8>,
    /// What its sender is told.
    code: &'static str,
}

fn good(id: &str) -> Value {
    job(id)
}

impl Bad {
    /// A body in which no id can be read.
    fn bytes(kind: &str, body: &[u8]) -> Self {
        let kind = kind.escape_debug().take(60).collect();
        Self { kind, job_id: None, body: body.to_vec(), code: "invalid_job" }
    }

    /// A good job but for one field.
    fn with(path: &str, value: Value) -> Self {
        let kind = format!("{path}: {value}").chars().take(60).collect();
        // Not the kind itself: an id has its rules.
        let id = format!("bad-{}", uuid::Uuid::new_v4());
        let mut job = good(&id);
        let (parent, key) = path.rsplit_once('/').unwrap();
        job.pointer_mut(parent).unwrap()[key] = value;
        Self { kind, job_id: Some(id), body: job.to_string().into_bytes(), code: "invalid_job" }
    }

    /// A good job but for one field that is not there.
    fn without(path: &str) -> Self {
        let mut bad = Self::with("/sandboxName", json!("dev"));
        bad.take_away(path);
        Self { kind: format!("no {path}"), ..bad }
    }

    fn take_away(&mut self, path: &str) {
        let mut job: Value = serde_json::from_slice(&self.body).unwrap();
        let (parent, key) = path.rsplit_once('/').unwrap();
        job.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key).unwrap();
        self.body = job.to_string().into_bytes();
    }
}

fn all_kinds() -> Vec<Bad> {
    let tables = [
        kinds::unreadable(),
        kinds::wrong_ids(),
        kinds::wrong_kinds(),
        kinds::missing(),
        kinds::unknown(),
        kinds::wrong_values(),
        kinds::wrong_texts(),
    ];
    tables.into_iter().flatten().collect()
}

fn headers(entries: impl IntoIterator<Item = (String, AMQPValue)>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// Properties that are odd, and no reason to refuse a job.
fn odd_envelopes() -> Vec<BasicProperties> {
    let plain = BasicProperties::default;
    let nested = (0..20).fold(AMQPValue::Void, |inner, _| {
        AMQPValue::FieldTable(headers([(
            "a".to_owned(),
            AMQPValue::FieldArray(FieldArray::from(vec![inner])),
        )]))
    });
    let every_type = [
        AMQPValue::Boolean(true),
        AMQPValue::ShortShortInt(-1),
        AMQPValue::ShortInt(-1),
        AMQPValue::LongInt(-1),
        AMQPValue::LongLongInt(i64::MIN),
        AMQPValue::Float(f32::MIN),
        AMQPValue::Double(f64::MAX),
        AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 314 }),
        AMQPValue::Timestamp(u64::MAX),
        AMQPValue::ByteArray(b"\xff\0".to_vec().into()),
        AMQPValue::LongString(b"\xff\xfe".to_vec().into()),
        AMQPValue::Void,
        nested,
    ];
    let named = |values: Vec<AMQPValue>| {
        headers(values.into_iter().enumerate().map(|(n, value)| (format!("header-{n}"), value)))
    };
    let trace = |value: AMQPValue| plain().with_headers(headers([("traceparent".to_owned(), value)]));
    vec![
        plain().with_content_type("text/plain; charset=utf-16".into()),
        plain().with_content_type("\0".into()).with_content_encoding("gzip".into()),
        plain().with_type("connection.created".into()).with_app_id("\u{7f}\n".into()),
        plain().with_correlation_id("c".repeat(255).into()).with_message_id("🦀\r\n".into()),
        plain().with_message_id("m".repeat(255).into()),
        plain().with_timestamp(0),
        plain().with_timestamp(u64::MAX),
        plain().with_priority(255).with_delivery_mode(1),
        plain().with_cluster_id("c".repeat(255).into()),
        plain().with_expiration("600000".into()),
        plain().with_headers(named(every_type.into())),
        plain().with_headers(named(vec![text("x"); 2_000])),
        plain().with_headers(named(vec![text(&"x".repeat(100_000))])),
        trace(text(&"x".repeat(120_000))),
        trace(AMQPValue::LongString(b"\xff".to_vec().into())),
        trace(AMQPValue::LongInt(1)),
        trace(text("")),
        plain().with_headers(headers([
            ("job-attempts".to_owned(), text("many")),
            ("job-first-seen-at".to_owned(), AMQPValue::Void),
            ("job-last-error".to_owned(), AMQPValue::Boolean(true)),
            ("dead-reason".to_owned(), text("none")),
            ("x-death".to_owned(), text("none")),
            ("x-delivery-count".to_owned(), AMQPValue::LongInt(-7)),
            ("x-match".to_owned(), text("all")),
        ])),
    ]
}

/// Header bytes that make a message as large as one frame can carry, whatever is added to it.
const TO_THE_BRIM: usize = 130_500;

/// Properties with which a message that is parked as it is would do harm.
fn harmful_envelopes(scene: &Scene) -> Vec<(&'static str, BasicProperties)> {
    let plain = BasicProperties::default;
    let own = AMQPValue::FieldArray(FieldArray::from(vec![text(&scene.jobs_queue())]));
    vec![
        ("copies to the job queue", plain().with_headers(headers([("CC".to_owned(), own)]))),
        ("an end to its life", plain().with_expiration("1".repeat(7).into())),
        (
            "a header to the brim",
            plain().with_headers(headers([("h".to_owned(), text(&"x".repeat(TO_THE_BRIM)))])),
        ),
        (
            "headers to the brim",
            plain().with_headers(headers(
                (0..TO_THE_BRIM / 1_000).map(|n| (format!("h{n}"), text(&"x".repeat(985)))),
            )),
        ),
    ]
}

/// What a message is known by when it comes back.
const MARK: &str = "mark";

/// The same message, known by `mark` if it is parked.
fn marked(properties: BasicProperties, mark: &str) -> BasicProperties {
    let mut table = properties.headers().clone().unwrap_or_default();
    table.insert(MARK.into(), text(mark));
    properties.with_headers(table)
}

fn correlation_id(message: &Message) -> String {
    message.properties.correlation_id().as_ref().map(ShortString::to_string).unwrap_or_default()
}

/// Messages and what is to become of them, by what they are known by.
#[derive(Default)]
struct Ledger {
    messages: Vec<(BasicProperties, Vec<u8>)>,
    /// Code, or `created`.
    answered: BTreeMap<String, &'static str>,
    parked: HashMap<String, (BasicProperties, Vec<u8>)>,
    good: u64,
}

impl Ledger {
    fn good(&mut self, properties: BasicProperties) {
        self.good += 1;
        let id = format!("good-{}", self.good);
        let known = properties.correlation_id().as_ref().or(properties.message_id().as_ref());
        let known = known.map_or_else(|| id.clone(), ShortString::to_string);
        self.answered.insert(known, "created");
        self.messages.push((properties, good(&id).to_string().into_bytes()));
    }

    fn bad(&mut self, number: usize, bad: &Bad) {
        // Somebody can be answered.
        let known = format!("answer-{number} {}", bad.kind.replace(|c: char| !c.is_ascii_graphic(), "_"));
        let properties = BasicProperties::default().with_correlation_id(known.as_str().into());
        self.answered.insert(known, bad.code);
        self.messages.push((properties, bad.body.clone()));
        // Only the message itself says whom.
        match &bad.job_id {
            Some(id) => {
                self.answered.insert(id.clone(), bad.code);
                self.messages.push((BasicProperties::default(), bad.body.clone()));
            }
            None => self.park(&format!("park-{number} {}", bad.kind), BasicProperties::default(), &bad.body),
        }
    }

    fn park(&mut self, mark: &str, properties: BasicProperties, body: &[u8]) {
        let properties = marked(properties, mark);
        self.parked.insert(mark.to_owned(), (properties.clone(), body.to_vec()));
        self.messages.push((properties, body.to_vec()));
    }
}

#[tokio::test]
async fn a_bad_message_hurts_only_itself() {
    // One of them says that it was tried before: it is looked for, which is not to take a turn through the broker.
    let scene = Scene::start(&[("LOOKUP_SETTLE", "10ms")]).await;
    let mut ledger = Ledger::default();
    let bad = all_kinds();
    assert!(bad.len() >= 200, "{} kinds", bad.len());
    for (number, bad) in bad.iter().enumerate() {
        ledger.bad(number, bad);
        if number % 4 == 0 {
            ledger.good(BasicProperties::default());
        }
    }
    for properties in odd_envelopes() {
        ledger.good(properties.clone());
        if properties.correlation_id().is_none() && properties.message_id().is_none() {
            ledger.park(&format!("odd-{}", ledger.good), properties, b"no job");
        }
    }
    for (kind, properties) in harmful_envelopes(&scene) {
        ledger.park(kind, properties.clone(), b"no job");
        ledger.good(properties);
    }
    let total = ledger.messages.len() as u64;
    scene.vhost.publish_all(&scene.jobs_queue(), std::mem::take(&mut ledger.messages)).await;

    eventually("the worker is done with all of them", PATIENCE, async || {
        let settled = scene.count(r#"settlements_total{kind="ack",stale="false"}"#).await;
        let sessions = scene.count("amqp_sessions_total").await;
        if settled == total || sessions > 1 { Ok(()) } else { Err(settled) }
    })
    .await;
    assert_eq!(scene.count("amqp_sessions_total").await, 1, "a message has cost a session");
    scene.settled().await;
    check_answers(&scene, &ledger).await;
    check_parked(&scene, &ledger).await;
    for (series, expected) in [
        ("amqp_sessions_total", 1),
        ("amqp_session_failures_total", 0),
        ("panics_total", 0),
        ("jobs_in_flight", 0),
        (r#"settlements_total{kind="ack",stale="false"}"#, total),
        (r#"settlements_total{kind="requeue",stale="false"}"#, 0),
        (r#"jobs_completed_total{outcome="created"}"#, ledger.good),
        (r#"jobs_completed_total{outcome="parked"}"#, ledger.parked.len() as u64),
        (r#"jobs_completed_total{outcome="internal"}"#, 0),
    ] {
        assert_eq!(scene.count(series).await, expected, "{series}");
    }
    let peak = peak_memory(&scene);
    assert!(peak < 300 << 20, "{peak} bytes were held at once");
    let report = scene.sim.report().await;
    assert_eq!(report["requests"]["create"], ledger.good, "only good jobs reach Flow Service: {report}");
    assert_eq!(report["distinct"], ledger.good, "{report}");
}

/// The most memory that the worker ever had, as Linux counts it.
fn peak_memory(scene: &Scene) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", scene.worker.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

async fn check_answers(scene: &Scene, ledger: &Ledger) {
    let replies = scene.vhost.drain(&scene.reply_queue()).await;
    assert_eq!(replies.len(), ledger.answered.len());
    let mut unanswered: BTreeSet<&String> = ledger.answered.keys().collect();
    for message in &replies {
        let (known, reply) = (correlation_id(message), message.json());
        let expected = ledger.answered.get(&known).unwrap_or_else(|| panic!("{known}: {reply}"));
        assert!(unanswered.remove(&known), "{known} is answered twice");
        let code = reply["error"]["code"].as_str().unwrap_or("created");
        assert_eq!(code, *expected, "{known}: {reply}");
        let told = reply["error"]["message"].as_str().unwrap_or("…");
        assert!((1..20_000).contains(&told.len()), "{known}: {} bytes", told.len());
        assert!(!reply.to_string().contains("hub-client-secret"), "{known}: {reply}");
    }
    assert_eq!(unanswered, BTreeSet::new());
}

async fn check_parked(scene: &Scene, ledger: &Ledger) {
    let dead = scene.vhost.drain(&scene.dead_queue()).await;
    let mut missing: BTreeSet<&String> = ledger.parked.keys().collect();
    for message in &dead {
        let mark = message.header(MARK).expect("its own headers are left");
        assert!(missing.remove(&mark), "{mark:?} is parked twice");
        let (sent, body) = &ledger.parked[&mark];
        assert_eq!(message.body, *body, "{mark:?}");
        assert_eq!(message.header("dead-reason").as_deref(), Some("malformed"), "{mark:?}");
        assert!(message.header("job-last-error").is_some_and(|why| !why.is_empty()), "{mark:?}");
        let at = message.header("dead-at").unwrap_or_default();
        assert!(at.parse::<jiff::Timestamp>().is_ok(), "{mark:?}: {at}");
        let found = &message.properties;
        assert_eq!(found.expiration(), &None, "{mark:?} would vanish");
        assert_eq!(
            (
                found.content_type(),
                found.content_encoding(),
                found.priority(),
                found.timestamp(),
                found.kind()
            ),
            (sent.content_type(), sent.content_encoding(), sent.priority(), sent.timestamp(), sent.kind()),
            "{mark:?}"
        );
        assert_eq!(
            (found.app_id(), found.cluster_id(), *found.delivery_mode()),
            (sent.app_id(), sent.cluster_id(), Some(2)),
            "{mark:?}"
        );
    }
    assert_eq!(missing, BTreeSet::new());
}

#[tokio::test]
async fn a_bad_message_of_another_user_is_parked() {
    let scene = Scene::start(&[]).await;
    let broker = scene.vhost.broker();
    if !broker.is_ours() {
        return; // this needs a second user
    }
    let user = format!("sender-{}", uuid::Uuid::new_v4());
    broker.ctl(&["add_user", &user, "secret"]).await;
    broker.ctl(&["set_permissions", "-p", scene.vhost.name(), &user, ".*", ".*", ".*"]).await;
    let mut url = url::Url::parse(&scene.vhost.amqp_url()).unwrap();
    url.set_username(&user).unwrap();
    url.set_password(Some("secret")).unwrap();
    let connection = connect(url.as_str(), OwnedTLSConfig::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let properties = BasicProperties::default().with_user_id(user.as_str().into());
    let queue = scene.jobs_queue();
    channel
        .basic_publish(
            "".into(),
            queue.as_str().into(),
            BasicPublishOptions::default(),
            b"no job",
            properties,
        )
        .await
        .unwrap();
    let parked = scene.vhost.take(&scene.dead_queue(), 1, PATIENCE).await.remove(0);
    assert_eq!((parked.body.as_slice(), parked.header("job-user-id")), (&b"no job"[..], Some(user)));
    scene.settled().await;
    assert_eq!(scene.count("amqp_sessions_total").await, 1);
}
