//! `dead-letters` from the hands of an operator: what it shows, what it moves, and what it leaves alone.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use lapin::BasicProperties;
use lapin::options::BasicGetOptions;
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::broker::Counts;
use crate::support::command::{Ran, on_terminal, run};
use crate::support::corner::{Corner, job};
use crate::support::eventually::eventually;
use crate::support::worker::WorkerProcess;

/// A corner whose queues are there, and no worker.
struct Yard {
    corner: Corner,
}

impl Yard {
    /// As the worker makes them.
    async fn new() -> Self {
        let mut limited = queue_type("quorum");
        limited.insert("x-delivery-limit".into(), AMQPValue::LongUInt(1_000_000));
        Self::with(limited).await
    }

    /// With a dead-letter queue of the user's own.
    async fn with(arguments: FieldTable) -> Self {
        let corner = Corner::new().await;
        corner.vhost.declare_quorum(&corner.jobs_queue()).await;
        corner.vhost.declare(&corner.dead_queue(), arguments).await;
        Self { corner }
    }

    async fn run(&self, args: &[&str]) -> Ran {
        dead_letters(&self.corner, args).await
    }

    /// The ids that `list` shows, in order.
    async fn listed(&self, args: &[&str]) -> Vec<String> {
        let ran = self.run(&[&["list"], args].concat()).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ids(&ran)
    }

    /// Parks a job with these headers.
    async fn park(&self, id: &str, headers: &[(&str, &str)]) {
        self.park_raw(with_headers(headers), job(id).to_string().as_bytes()).await;
    }

    async fn park_raw(&self, properties: BasicProperties, body: &[u8]) {
        self.corner.vhost.publish(&self.corner.dead_queue(), properties, body).await;
    }

    /// Parks the jobs `job-0` and so on.
    async fn park_many(&self, n: usize) {
        let letters = (0..n).map(|number| {
            let properties = with_headers(&[("dead-reason", "exhausted"), ("job-attempts", "5")]);
            (properties, job(&format!("job-{number}")).to_string().into_bytes())
        });
        self.corner.vhost.publish_all(&self.corner.dead_queue(), letters).await;
    }

    async fn dead(&self) -> u32 {
        self.corner.vhost.depth(&self.corner.dead_queue()).await
    }

    async fn jobs(&self) -> u32 {
        self.corner.vhost.depth(&self.corner.jobs_queue()).await
    }

    async fn end(self) {
        for queue in [self.corner.jobs_queue(), self.corner.dead_queue()] {
            self.corner.vhost.delete_queue(&queue).await;
        }
    }
}

async fn dead_letters(corner: &Corner, args: &[&str]) -> Ran {
    let env = [("AMQP_URL", corner.amqp_url.as_str()), ("JOB_QUEUE", &corner.jobs_queue())];
    run(&[&["dead-letters"], args].concat(), &env).await
}

fn printed(ran: &Ran) -> Vec<Value> {
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(ran: &Ran) -> Vec<String> {
    printed(ran).iter().map(|line| line["jobId"].as_str().unwrap_or("-").to_owned()).collect()
}

fn with_headers(headers: &[(&str, &str)]) -> BasicProperties {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert((*name).into(), AMQPValue::LongString((*value).into()));
    }
    BasicProperties::default().with_delivery_mode(2).with_headers(table)
}

fn queue_type(kind: &str) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
    arguments
}

fn ago(duration: SignedDuration) -> String {
    (Timestamp::now() - duration).to_string()
}

/// One message for each way in which a message is parked.
async fn park_one_of_each(yard: &Yard) {
    let (hour, day) = (ago(SignedDuration::from_hours(1)), ago(SignedDuration::from_hours(24)));
    let exhausted = [
        ("dead-reason", "exhausted"),
        ("dead-at", hour.as_str()),
        ("job-attempts", "5"),
        ("job-last-error", "HTTP 503"),
    ];
    yard.park("tired", &exhausted).await;
    yard.park("broken", &[("dead-reason", "internal"), ("dead-at", &day)]).await;
    let malformed = with_headers(&[("dead-reason", "malformed"), ("job-last-error", "not JSON")]);
    yard.park_raw(malformed, b"garbage").await;
    // As RabbitMQ parks it.
    let mut death = FieldTable::default();
    death.insert("reason".into(), AMQPValue::LongString("expired".into()));
    death.insert("queue".into(), AMQPValue::LongString("connections.jobs".into()));
    death.insert("count".into(), AMQPValue::LongLongInt(1));
    death.insert("time".into(), AMQPValue::Timestamp(1_700_000_000));
    let mut table = FieldTable::default();
    table.insert("x-first-death-reason".into(), AMQPValue::LongString("expired".into()));
    let deaths = FieldArray::from(vec![AMQPValue::FieldTable(death)]);
    table.insert("x-death".into(), AMQPValue::FieldArray(deaths));
    let body = json!({ "jobId": "late", "source": "salesforce", "connection": { "name": "n" } });
    let properties = BasicProperties::default().with_headers(table);
    yard.park_raw(properties, body.to_string().as_bytes()).await;
}

#[tokio::test]
async fn a_list_tells_what_is_known_of_each_message() {
    let yard = Yard::new().await;
    park_one_of_each(&yard).await;
    let ran = yard.run(&["list"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let lines = printed(&ran);
    let column = |name: &str| -> Vec<Value> { lines.iter().map(|line| line[name].clone()).collect() };
    assert_eq!(column("jobId"), [json!("tired"), json!("broken"), json!(null), json!("late")]);
    assert_eq!(column("reason"), ["exhausted", "internal", "malformed", "expired"]);
    assert_eq!(column("attempts"), [json!(5), json!(null), json!(null), json!(null)]);
    assert_eq!(column("source"), [json!("hubspot"), json!("hubspot"), json!(null), json!("salesforce")]);
    assert_eq!(column("lastError"), [json!("HTTP 503"), json!(null), json!("not JSON"), json!(null)]);
    assert_eq!(lines[3]["parkedAt"], "2023-11-14T22:13:20Z", "the broker says when");
    let sum = format!(
        "4 messages in {}: 1 exhausted, 1 expired, 1 internal, 1 malformed",
        yard.corner.dead_queue()
    );
    assert!(ran.stderr.contains(&sum), "{ran:?}");
    yard.end().await;
}

#[tokio::test]
async fn filters_choose() {
    let yard = Yard::new().await;
    park_one_of_each(&yard).await;
    for (args, expected) in [
        (&["--reason", "exhausted,expired"][..], &["tired", "late"][..]),
        (&["--reason", "exhausted", "--reason", "malformed"], &["tired", "-"]),
        (&["--older-than", "2h"], &["broken", "late"]),
        (&["--newer-than", "2h"], &["tired"]),
        (&["--older-than", "2h", "--newer-than", "3d"], &["broken"]),
        (&["--source", "hubspot"], &["tired", "broken"]),
        (&["--source", "hubspot", "--reason", "internal"], &["broken"]),
        (&["late", "broken"], &["broken", "late"]),
        (&["--reason", "other"], &[]),
    ] {
        assert_eq!(yard.listed(args).await, expected, "{args:?}");
    }
    let ran = yard.run(&["list", "late", "nobody"]).await;
    assert_eq!((ran.code, ids(&ran).len()), (Some(1), 1), "{ran:?}");
    assert!(ran.stderr.contains("not found: nobody"), "{ran:?}");
    assert_eq!(yard.dead().await, 4);
    yard.end().await;
}

#[tokio::test]
async fn looking_changes_neither_order_nor_content() {
    assert_unchanged_by_looking(Yard::new().await, 2500).await;
}

#[tokio::test]
async fn looking_changes_nothing_in_a_queue_of_any_kind() {
    for kind in ["classic", "quorum"] {
        assert_unchanged_by_looking(Yard::with(queue_type(kind)).await, 500).await;
    }
}

async fn assert_unchanged_by_looking(yard: Yard, n: usize) {
    yard.park_many(n).await;
    let expected: Vec<String> = (0..n).map(|number| format!("job-{number}")).collect();
    assert_eq!(yard.listed(&[]).await, expected);
    assert_eq!(yard.listed(&[]).await, expected, "a list leaves all in its place");
    assert_eq!(yard.run(&["show", "job-120"]).await.code, Some(0));
    let left = yard.corner.vhost.take(&yard.corner.dead_queue(), n, PATIENCE).await;
    let left: Vec<String> = left
        .into_iter()
        .map(|message| {
            assert_eq!(message.header("dead-reason").as_deref(), Some("exhausted"));
            message.json()["jobId"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(left, expected);
    yard.end().await;
}

#[tokio::test]
async fn a_terminal_gets_a_table() {
    let yard = Yard::new().await;
    park_one_of_each(&yard).await;
    let env = [("AMQP_URL", yard.corner.amqp_url.as_str()), ("JOB_QUEUE", &yard.corner.jobs_queue())];
    let shown = on_terminal(&["dead-letters", "list"], &env, "").await;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let rows: Vec<&str> = shown.stdout.lines().collect();
    assert!(rows[0].starts_with("JOB ") && rows[0].ends_with("LAST ERROR"), "{shown:?}");
    assert!(rows[1].starts_with("tired ") && rows[1].contains(" 60m ") && rows[1].ends_with("HTTP 503"));
    assert!(rows[3].starts_with("- ") && rows[3].contains("malformed"), "{shown:?}");
    let lines = on_terminal(&["dead-letters", "list", "--json"], &env, "").await;
    assert!(lines.stdout.starts_with(r#"{"jobId":"tired""#), "{lines:?}");
    yard.end().await;
}

#[tokio::test]
async fn a_page_tells_all_but_secrets() {
    let yard = Yard::new().await;
    let headers = [
        ("dead-reason", "exhausted"),
        ("job-attempts", "5"),
        ("job-last-error", "HTTP 503\n\u{1b}[2J"),
        ("authorization", "a-header-of-the-sender"),
    ];
    let properties = with_headers(&headers).with_correlation_id("c-1".into()).with_reply_to("mine".into());
    yard.park_raw(properties, job("a").to_string().as_bytes()).await;
    yard.park_raw(with_headers(&[("dead-reason", "malformed")]), b"garbage").await;
    let ran = yard.run(&["show", "a"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for text in
        ["exhausted", "hubspot", "c-1", "mine", "HTTP 503  [2J", "authorization", "Basic Authentication"]
    {
        assert!(ran.stdout.contains(text), "no {text} in {}", ran.stdout);
    }
    assert!(ran.stdout.contains(r#""clientSecret": "[hidden]""#), "{}", ran.stdout);
    assert!(!ran.stdout.contains("hub-") && !ran.stdout.contains("a-header-of"), "{}", ran.stdout);
    let ran = yard.run(&["show", "--reason", "malformed"]).await;
    assert!(ran.stdout.contains("body, 7 bytes: no job, not shown"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("garbage"), "{}", ran.stdout);
    assert_eq!(yard.run(&["show", "nobody"]).await.code, Some(1));
    yard.end().await;
}

#[tokio::test]
async fn a_replayed_job_is_a_fresh_one_that_may_have_been_tried() {
    let yard = Yard::new().await;
    let history = [
        ("dead-reason", "exhausted"),
        ("dead-at", "2030-01-31T12:00:00Z"),
        ("job-attempts", "5"),
        ("job-first-seen-at", "2030-01-31T11:00:00Z"),
        ("job-last-error", "HTTP 503"),
        ("job-trials", "1"),
        ("job-user-id", "sender"),
        ("job-expiration", "60000"),
        ("traceparent", "00-1"),
        ("x-first-death-reason", "expired"),
    ];
    let properties = with_headers(&history)
        .with_message_id("m-1".into())
        .with_correlation_id("c-1".into())
        .with_reply_to("mine".into())
        .with_timestamp(1_700_000_000);
    let body = job("a").to_string();
    yard.park_raw(properties, body.as_bytes()).await;
    yard.park("b", &history).await;
    let ran = yard.run(&["replay", "a"]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{ran:?}");
    let (jobs, dead) = (yard.corner.jobs_queue(), yard.corner.dead_queue());
    let sum = format!("1 of 2 messages put back on {jobs} from {dead}: 1 exhausted");
    assert!(ran.stderr.contains(&sum), "{ran:?}");
    let replayed = yard.corner.vhost.take(&jobs, 1, PATIENCE).await.remove(0);
    assert_eq!(replayed.body, body.as_bytes());
    let headers = replayed.properties.headers().as_ref().unwrap().inner();
    let headers: Vec<_> = headers
        .keys()
        .filter(|name| name.as_str() != "x-delivery-count") // the queue's own, and new
        .map(|name| (name.to_string(), replayed.header(name.as_str())))
        .collect();
    let expected = [
        ("job-attempts", "0"),
        ("job-expiration", "60000"),
        ("job-user-id", "sender"),
        ("traceparent", "00-1"),
    ]
    .map(|(name, value)| (name.to_owned(), Some(value.to_owned())));
    assert_eq!(headers, expected);
    let properties = &replayed.properties;
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), "m-1");
    assert_eq!(properties.correlation_id().as_ref().unwrap().as_str(), "c-1");
    assert_eq!(properties.reply_to().as_ref().unwrap().as_str(), "mine");
    assert_eq!((*properties.timestamp(), *properties.delivery_mode()), (Some(1_700_000_000), Some(2)));
    assert_eq!(yard.listed(&[]).await, ["b"]);
    yard.end().await;
}

#[tokio::test]
async fn replayed_jobs_are_done_by_a_running_worker() {
    let corner = Corner::new().await;
    let worker = corner.worker(&[]).await;
    let yard = Yard { corner };
    for id in ["a", "b", "c"] {
        yard.park(id, &[("dead-reason", "exhausted"), ("job-attempts", "5")]).await;
    }
    // Anybody may look meanwhile.
    assert_eq!(yard.listed(&[]).await, ["a", "b", "c"]);
    assert_eq!(yard.run(&["replay", "b"]).await.code, Some(0));
    let reply = yard.corner.reply().await.json();
    assert_eq!((&reply["jobId"], &reply["status"]), (&json!("b"), &json!("created")), "{reply}");
    let ran = yard.run(&["replay", "--all"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let replies = yard.corner.replies(2).await;
    let answered: BTreeSet<String> = replies
        .iter()
        .map(|reply| {
            assert_eq!(reply.json()["status"], "created");
            reply.json()["jobId"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(answered, BTreeSet::from(["a".to_owned(), "c".to_owned()]));
    assert_eq!(yard.dead().await, 0);
    let again = yard.run(&["replay", "--all"]).await;
    assert_eq!(again.code, Some(0), "there is nothing left to do: {again:?}");
    yard.corner.end(worker).await;
}

#[tokio::test]
async fn an_interrupted_replay_can_be_repeated() {
    const N: u32 = 2000;
    let yard = Yard::new().await;
    yard.park_many(N as usize).await;
    let env = [("AMQP_URL", yard.corner.amqp_url.as_str()), ("JOB_QUEUE", &yard.corner.jobs_queue())];
    let mut replay = WorkerProcess::spawn(&["dead-letters", "replay", "--all"], &env);
    eventually("some jobs are replayed", PATIENCE, async || yard.jobs().await >= 50).await;
    replay.signal(Signal::SIGINT);
    assert_eq!(replay.wait(PATIENCE).await.code(), Some(1), "{}", replay.logs());
    assert!(replay.stderr().contains("; interrupted, "), "{}", replay.logs());
    let (jobs, dead) = (yard.jobs().await, yard.dead().await);
    assert!(jobs < N && dead > 0, "it was stopped in the middle: {jobs} and {dead}");
    assert_eq!(jobs + dead, N, "every message is in one place");

    let again = yard.run(&["replay", "--all"]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stderr.contains(&format!("{dead} messages put back")), "{again:?}");
    assert_eq!((yard.jobs().await, yard.dead().await), (N, 0));
    let jobs = yard.corner.vhost.take(&yard.corner.jobs_queue(), N as usize, PATIENCE).await;
    let ids: BTreeSet<String> = jobs.iter().map(|job| job.json()["jobId"].to_string()).collect();
    assert_eq!(ids.len(), N as usize, "each job once");
    yard.end().await;
}

/// The hardest of ends: at worst some messages are in both queues.
#[tokio::test]
async fn a_killed_replay_loses_nothing() {
    const N: usize = 2000;
    let yard = Yard::new().await;
    yard.park_many(N).await;
    let env = [("AMQP_URL", yard.corner.amqp_url.as_str()), ("JOB_QUEUE", &yard.corner.jobs_queue())];
    let replay = WorkerProcess::spawn(&["dead-letters", "replay", "--all"], &env);
    eventually("some jobs are replayed", PATIENCE, async || yard.jobs().await >= 50).await;
    replay.signal(Signal::SIGKILL);
    drop(replay);
    eventually("the broker has put back what was held", PATIENCE, async || {
        let held = yard.jobs().await + yard.dead().await;
        if held as usize >= N { Ok(()) } else { Err(held) }
    })
    .await;
    assert_eq!(yard.run(&["replay", "--all"]).await.code, Some(0));
    let jobs = yard.corner.vhost.drain(&yard.corner.jobs_queue()).await;
    let ids: BTreeSet<String> = jobs.iter().map(|job| job.json()["jobId"].to_string()).collect();
    assert_eq!((ids.len(), yard.dead().await), (N, 0));
    assert!(jobs.len() <= N + 64, "no more than were in flight came twice: {}", jobs.len());
    yard.end().await;
}

#[tokio::test]
async fn what_the_job_queue_does_not_take_stays() {
    let corner = Corner::new().await;
    let yard = Yard { corner };
    yard.corner.vhost.declare_quorum(&yard.corner.dead_queue()).await;
    yard.park_many(3).await;
    let ran = yard.run(&["replay", "--all"]).await;
    assert_eq!(ran.code, Some(78), "{ran:?}");
    assert!(ran.stderr.contains(&format!("there is no queue {}", yard.corner.jobs_queue())), "{ran:?}");
    assert_eq!(yard.dead().await, 3);

    let mut full = FieldTable::default();
    full.insert("x-max-length".into(), AMQPValue::LongUInt(1));
    full.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    yard.corner.vhost.declare(&yard.corner.jobs_queue(), full).await;
    let ran = yard.run(&["replay", "--all"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("refused, they stay"), "{ran:?}");
    assert_eq!(yard.jobs().await + yard.dead().await, 3, "{ran:?}");
    yard.end().await;
}

#[tokio::test]
async fn a_drop_deletes_what_was_chosen_and_needs_a_yes() {
    let yard = Yard::new().await;
    yard.park_many(1500).await;
    park_one_of_each(&yard).await;
    let ran = yard.run(&["drop", "--all"]).await;
    assert_eq!(ran.code, Some(64), "{ran:?}");
    assert!(ran.stderr.contains("to delete, say --yes"), "{ran:?}");
    let queue = yard.corner.dead_queue();
    let ran = yard.run(&["drop", "--yes", "job-3", "job-1300", "late"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let sum = format!("3 of 1504 messages deleted from {queue}: 2 exhausted, 1 expired");
    assert!(ran.stderr.contains(&sum), "{ran:?}");
    let left: Vec<String> = (0..1500)
        .filter(|number| ![3, 1300].contains(number))
        .map(|number| format!("job-{number}"))
        .chain(["tired", "broken", "-"].map(str::to_owned))
        .collect();
    assert_eq!(yard.listed(&[]).await, left);
    let ran = yard.run(&["drop", "--yes", "--reason", "exhausted"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(yard.listed(&[]).await, ["broken", "-"]);
    assert_eq!(yard.run(&["drop", "--yes", "--all"]).await.code, Some(0));
    assert_eq!(yard.dead().await, 0);
    yard.end().await;
}

#[tokio::test]
async fn a_drop_asks_on_a_terminal() {
    let yard = Yard::new().await;
    yard.park_many(3).await;
    let env = [("AMQP_URL", yard.corner.amqp_url.as_str()), ("JOB_QUEUE", &yard.corner.jobs_queue())];
    let question = format!("Delete 2 messages from {}? [y/N]", yard.corner.dead_queue());
    for (answer, code, left) in [("n\n", 1, 3), ("\n", 1, 3), ("y\n", 0, 1)] {
        let ran = on_terminal(&["dead-letters", "drop", "job-0", "job-2"], &env, answer).await;
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.stdout.contains(&question), "{ran:?}");
        assert_eq!(yard.dead().await, left, "{answer:?}");
    }
    assert_eq!(yard.listed(&[]).await, ["job-1"]);
    yard.end().await;
}

/// As in `dead-letters list | head`.
#[tokio::test]
async fn a_reader_who_has_seen_enough_is_no_error() {
    let yard = Yard::new().await;
    yard.park_many(2500).await;
    let mut shell = std::process::Command::new("sh");
    let script = format!("'{}' dead-letters list | head -n 1", env!("CARGO_BIN_EXE_connection-worker"));
    shell.args(["-c", &script]).env_clear().env("PATH", "/usr/bin:/bin");
    shell.env("AMQP_URL", &yard.corner.amqp_url).env("JOB_QUEUE", yard.corner.jobs_queue());
    let mut listing = WorkerProcess::spawn_command(shell);
    assert!(listing.wait(PATIENCE).await.success());
    assert!(listing.stdout().starts_with(r#"{"jobId":"job-0""#), "{}", listing.logs());
    assert_eq!(listing.stderr(), "");
    eventually("all is back", PATIENCE, async || yard.dead().await == 2500).await;
    yard.end().await;
}

/// A message that somebody else holds is neither shown nor waited for.
#[tokio::test]
async fn others_may_read_the_queue_meanwhile() {
    let yard = Yard::new().await;
    yard.park_many(3).await;
    let other = yard.corner.vhost.channel().await;
    let dead = yard.corner.dead_queue();
    let held = other.basic_get(dead.as_str().into(), BasicGetOptions::default()).await.unwrap().unwrap();
    assert_eq!(yard.listed(&[]).await, ["job-1", "job-2"]);
    drop(held);
    other.close(200, "OK".into()).await.unwrap();
    eventually("it is put back", PATIENCE, async || yard.dead().await == 3).await;
    assert_eq!(yard.listed(&[]).await.len(), 3);
    if yard.corner.vhost.broker().is_ours() {
        let expected = Counts { ready: 3, unacked: 0 };
        assert_eq!(yard.corner.vhost.counts(&dead).await, expected, "nothing is held any more");
    }
    yard.end().await;
}

#[tokio::test]
async fn command_lines_that_cannot_be_are_usage_errors() {
    let env = [("AMQP_URL", "amqp://127.0.0.1:1/")];
    for (args, said) in [
        (&["replay"][..], "dead-letters replay: say which messages"),
        (&["drop", "--yes"], "dead-letters drop: say which messages"),
        (&["show"], "dead-letters show: say which messages"),
        (&["replay", "--all", "a"], "--all cannot be combined"),
        (&["list", "--reason", "sad"], "crash_loop"),
        (&["list", "--source", "nowhere"], "nowhere"),
        (&["list", "--older-than", "soon"], "such as 90m, 12h or 3d"),
        (&["list", "--amqp-url", "rabbit"], "AMQP_URL (--amqp-url)"),
    ] {
        let ran = run(&[&["dead-letters"], args].concat(), &env).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(64), ""), "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(said), "{args:?}: {ran:?}");
    }
}

#[tokio::test]
async fn a_missing_queue_and_a_broker_that_is_away_are_told_apart() {
    let corner = Corner::new().await;
    for args in [&["list"][..], &["show", "a"], &["replay", "--all"], &["drop", "--yes", "--all"]] {
        let ran = dead_letters(&corner, args).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(78), ""), "{ran:?}");
        assert!(ran.stderr.contains(&format!("there is no queue {}", corner.dead_queue())), "{ran:?}");
    }
    let away = run(&["dead-letters", "list"], &[("AMQP_URL", "amqp://127.0.0.1:1/")]).await;
    assert_eq!(away.code, Some(69), "{away:?}");
}

/// Its arrival breaks the connection: nothing behind it can be reached, and nothing before it is harmed.
#[tokio::test]
async fn a_message_that_cannot_be_read_is_told_of() {
    let yard = Yard::new().await;
    if !yard.corner.vhost.broker().is_ours() {
        return; // it takes the broker's own shell to publish such a message
    }
    yard.park_many(2).await;
    let queue = yard.corner.dead_queue();
    yard.corner.vhost.publish_improper(&queue, "{correlation_id, <<255,254>>}").await;
    let ran = yard.run(&["list"]).await;
    assert_eq!(ran.code, Some(65), "{ran:?}");
    assert_eq!(ids(&ran), ["job-0", "job-1"]);
    assert!(ran.stderr.contains(&format!("cannot read a message in {queue}, after 2")), "{ran:?}");
    eventually("all is back", PATIENCE, async || yard.dead().await == 3).await;
    yard.end().await;
}
