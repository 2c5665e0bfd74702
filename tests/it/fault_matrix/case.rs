//! One case of the matrix: workers in a place of their own on queues of one type, many jobs, and the invariants.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use connection_worker::contract::reply::reply_id;
use connection_worker::simulator::Options;
use connection_worker::simulator::latency::Latency;
use futures_util::future::join_all;
use lapin::BasicProperties;
use lapin::types::ShortString;
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::time::Instant;

use crate::support::broker::{Broker, Message};
use crate::support::corner::{ORG, RETRY_TIERS, SANDBOX, SOON, job};
use crate::support::counters::Counters;
use crate::support::eventually::eventually;
use crate::support::load::HEARTBEAT;
use crate::support::proxy::Proxy;
use crate::support::rig::{Replies, Rig};
use crate::support::simulator::flow_url_at;
use crate::support::worker::WorkerProcess;
use crate::support::{PATIENCE, tell};

/// What the simulator lets the test in with, to see every connection.
const AUDITOR: &str = "the-auditors-token";

/// With [`CONCURRENCY`], a load lasts long enough to be struck while it is under way.
const LATENCY: Duration = Duration::from_millis(150);

pub(super) const CONCURRENCY: (&str, &str) = ("CONCURRENCY", "10");

/// Jobs of one load.
pub(super) const LOAD: usize = 80;

/// The simulator is done with every call by then. Jobs wait in the retry queues for as long.
const SETTLE: Duration = Duration::from_secs(1);
const LOOKUP_SETTLE: (&str, &str) = ("LOOKUP_SETTLE", "1s");

/// What a job comes to, if all is well in the end.
const CREATED: &str = "created";

/// Runs a row on quorum queues and on classic ones, at the same time.
pub(super) async fn on_both_types(row: impl AsyncFn(&'static str)) {
    if Broker::shared().await.is_ours() {
        join_all(["quorum", "classic"].map(|queue_type| row(queue_type))).await;
    }
}

/// Jobs, who does them, and all that is known of them.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) queue_type: &'static str,
    pub(super) rig: Rig,
    /// Between workers and Flow Service.
    pub(super) api: Proxy,
    pub(super) workers: Vec<WorkerProcess>,
    env: Vec<(String, String)>,
    /// What each job is to come to: [`CREATED`], or the code of an error.
    jobs: BTreeMap<String, &'static str>,
    replies: Replies,
    /// Where replies are found besides the worker's own queues.
    pub(super) reply_queues: Vec<String>,
    /// Replies that are to be undeliverable.
    pub(super) undeliverable: usize,
    /// Jobs that are to be parked, by reason.
    pub(super) dead: BTreeMap<&'static str, usize>,
    dead_seen: Vec<Message>,
    /// Whether every worker that there ever was is still there, with its counters.
    is_complete: bool,
    /// Whether calls can get lost on their way.
    pub(super) api_is_lossy: bool,
    /// Look-ups of the test's own.
    audits: u64,
}

impl Case {
    /// On the broker of the run, with one worker.
    pub(super) async fn start(queue_type: &'static str, env: &[(&str, &str)]) -> Self {
        Self::on(&Broker::shared().await, queue_type, env).await
    }

    /// On any broker of our own.
    pub(super) async fn on(broker: &Broker, queue_type: &'static str, env: &[(&str, &str)]) -> Self {
        let latency = Latency::Fixed { ms: u64::try_from(LATENCY.as_millis()).unwrap() };
        let access_token = Some(AUDITOR.to_owned());
        let rig = Rig::with(broker, Options { latency, access_token, ..Options::default() }).await;
        let api = Proxy::start(rig.sim.addr()).await.unwrap();
        let settings = [&SOON[..], &[LOOKUP_SETTLE, CONCURRENCY, HEARTBEAT], env].concat();
        let mut case = Self {
            queue_type,
            rig,
            api,
            workers: Vec::new(),
            env: settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            jobs: BTreeMap::new(),
            replies: Replies::default(),
            reply_queues: Vec::new(),
            undeliverable: 0,
            dead: BTreeMap::new(),
            dead_seen: Vec::new(),
            is_complete: true,
            api_is_lossy: false,
            audits: 0,
        };
        case.declare_queues().await;
        case.add_worker().await;
        case
    }

    /// Quorum queues are those that the worker creates; but nobody waits for as long as its retry queues do.
    async fn declare_queues(&self) {
        self.rig.declare_short_retries(self.queue_type, SETTLE).await;
        if self.queue_type == "classic" {
            for queue in self.own_queues() {
                self.rig.vhost.declare_classic(&queue).await;
            }
        }
    }

    fn own_queues(&self) -> [String; 4] {
        let rig = &self.rig;
        [rig.reply_queue(), rig.undeliverable_queue(), rig.dead_queue(), rig.jobs_queue()]
    }

    fn start_worker(&self) -> WorkerProcess {
        let flow_url = flow_url_at(self.api.addr());
        let env = self.env.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let env: Vec<_> = std::iter::once(("FLOW_URL", flow_url.as_str())).chain(env).collect();
        self.rig.start_worker(&env)
    }

    /// One more worker, ready.
    pub(super) async fn add_worker(&mut self) {
        let mut worker = self.start_worker();
        worker.wait_ready().await;
        self.workers.push(worker);
    }

    /// Ends a worker with a signal; another one takes its place. Gives the exit code.
    pub(super) async fn replace_worker(&mut self, index: usize, signal: Signal) -> Option<i32> {
        self.is_complete = false;
        self.workers[index].signal(signal);
        let code = self.workers[index].wait(PATIENCE).await.code();
        self.workers[index] = self.start_worker();
        code
    }

    /// Submits jobs; gives their ids.
    pub(super) async fn submit(&mut self, number: usize) -> Vec<String> {
        let ids: Vec<_> = (0..number).map(|n| format!("job-{}", self.jobs.len() + n)).collect();
        for id in &ids {
            self.expect(id, CREATED);
        }
        let messages = ids.iter().map(|id| (persistent(), job(id).to_string().into_bytes()));
        self.rig.vhost.publish_all(&self.rig.jobs_queue(), messages).await;
        ids
    }

    /// Submits one message under the id of a job, of which `code` is to come.
    pub(super) async fn submit_as(
        &mut self,
        id: &str,
        code: &'static str,
        properties: BasicProperties,
        body: &[u8],
    ) {
        self.expect(id, code);
        self.rig.submit_raw(properties.with_delivery_mode(2), body).await;
    }

    /// Submits a job that meets a fault of Flow Service, and comes to `code`.
    pub(super) async fn submit_ill(&mut self, id: &str, mut rule: Value, code: &'static str) {
        // Connections are named after their jobs.
        rule["name"] = format!("connection {id}").into();
        self.rig.sim.fault(rule).await;
        self.submit_as(id, code, BasicProperties::default(), job(id).to_string().as_bytes()).await;
    }

    fn expect(&mut self, id: &str, code: &'static str) {
        assert!(self.jobs.insert(id.to_owned(), code).is_none(), "{id} was submitted before");
    }

    /// Submits a load and returns when some of it is done and some is under way.
    pub(super) async fn begin(&mut self) {
        let before = self.rig.created().await;
        self.submit(LOAD).await;
        let created = self.rig.wait_created(before + 10).await - before;
        assert!(created < LOAD as u64, "jobs are under way");
    }

    /// Submits jobs that all are in hand: their connections exist, and no worker hears of it before the way from the service is
    /// restored. A job that comes while a worker gathers its consumers may be taken back by the queue, and then waits for the
    /// answer to its look-up: so none comes before that is over.
    pub(super) async fn hold(&mut self, number: usize) {
        self.wait_consumers(u32::try_from(self.workers.len()).unwrap()).await;
        self.api.hold_answers();
        let before = self.rig.created().await;
        self.submit(number).await;
        self.rig.wait_created(before + u64::try_from(number).unwrap()).await;
    }

    /// Waits until the job queue has had so many consumers for a while, as the broker counts them: while one is started in place
    /// of several, it has for a moment as many as it will have.
    pub(super) async fn wait_consumers(&self, expected: u32) {
        const WHILE: Duration = Duration::from_secs(1);
        let queue = self.rig.jobs_queue();
        let mut since = None;
        eventually("the broker has so many consumers", PATIENCE, async || {
            let consumers = self.rig.vhost.consumers(&queue).await;
            if consumers != expected {
                since = None;
                return Err(consumers);
            }
            let since = *since.get_or_insert_with(Instant::now);
            if since.elapsed() >= WHILE { Ok(()) } else { Err(consumers) }
        })
        .await;
    }

    /// Waits until so many sessions of the first worker have failed.
    pub(super) async fn wait_failures(&self, at_least: u64) {
        self.workers[0].wait_count(super::FAILURES, at_least, PATIENCE).await;
    }

    /// All replies to jobs that were answered more than once.
    pub(super) fn repeated(&self) -> usize {
        self.replies.0.values().filter(|replies| replies.len() > 1).count()
    }

    /// Waits until all is quiet, and asserts every invariant.
    pub(super) async fn check(&mut self) {
        for worker in &mut self.workers {
            worker.wait_ready().await;
        }
        self.wait_answered().await;
        self.wait_settled().await;
        let counters = self.wait_idle().await;
        self.collect().await;
        self.assert_answers();
        self.assert_parked();
        let report = self.rig.sim.report().await;
        self.assert_connections().await;
        let audited = find_calls(&self.rig.sim.report().await) - find_calls(&report);
        self.assert_counters(&counters, &report);
        self.audits += audited;
    }

    /// No job is lost: each has an answer.
    async fn wait_answered(&mut self) {
        eventually("every job is answered", 2 * PATIENCE, async || {
            self.collect().await;
            let missing: Vec<_> = self.jobs.keys().filter(|id| !self.replies.0.contains_key(*id)).collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?}")) }
        })
        .await;
    }

    /// Reads what has come.
    async fn collect(&mut self) {
        let vhost = &self.rig.vhost;
        let own = [self.rig.reply_queue(), self.rig.undeliverable_queue()];
        for queue in own.iter().chain(&self.reply_queues) {
            // A row may have deleted it, for the next session to create.
            if vhost.exists(queue).await {
                self.replies.add(vhost.drain(queue).await);
            }
        }
        self.dead_seen.extend(vhost.drain(&self.rig.dead_queue()).await);
    }

    /// Nothing is left anywhere, ready or unacknowledged.
    async fn wait_settled(&self) {
        self.rig.settled().await;
        for tier in RETRY_TIERS {
            self.rig.vhost.settled(&self.rig.retry_queue(tier), PATIENCE).await;
        }
        self.rig.settled().await;
    }

    /// Waits until the workers have counted all that the broker knows already.
    async fn wait_idle(&self) -> Counters {
        eventually("the workers are idle", PATIENCE, async || {
            let mut counters = Counters::default();
            for worker in &self.workers {
                counters.add(&worker.metrics().await);
            }
            let (received, done) = (counters.sum("jobs_received_total", &[]), counters.ended());
            let idle = counters.sum("jobs_in_flight", &[]) == 0 && received == done;
            if idle { Ok(counters) } else { Err(format!("{received} received, {done} done")) }
        })
        .await
    }

    /// Every job came to what it had to, and all replies to it are one and the same.
    fn assert_answers(&self) {
        let known: BTreeSet<_> = self.jobs.keys().collect();
        assert_eq!(
            self.replies.0.keys().collect::<BTreeSet<_>>(),
            known,
            "jobs answered, and jobs submitted"
        );
        for (id, replies) in &self.replies.0 {
            let expected = Some(reply_id(id).to_string());
            for reply in replies {
                let message_id = reply.properties.message_id().as_ref().map(ShortString::to_string);
                assert_eq!(message_id, expected, "{id}: {reply:?}");
                assert_eq!(outcome(reply), self.jobs[id], "{id}: {}", reply.json());
            }
        }
        assert_eq!(self.undelivered(), self.undeliverable, "replies that are undeliverable");
    }

    fn undelivered(&self) -> usize {
        let replies = self.replies.0.values().flatten();
        replies.filter(|reply| reply.header("undeliverable-queue").is_some()).count()
    }

    fn assert_parked(&self) {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for message in &self.dead_seen {
            *seen.entry(message.header("dead-reason").unwrap_or_default()).or_default() += 1;
        }
        let expected = self.dead.iter().map(|(reason, number)| ((*reason).to_owned(), *number));
        assert_eq!(seen, expected.collect(), "dead letters by reason");
    }

    /// One connection for each job that is told of one, and it is told of that one.
    async fn assert_connections(&self) {
        let mut made: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for connection in self.rig.sim.connections(ORG, SANDBOX, AUDITOR).await {
            let text = |key: &str| connection[key].as_str().unwrap().to_owned();
            made.entry(text("name").replace("connection ", "")).or_default().push(text("id"));
        }
        let twice: Vec<_> = made.iter().filter(|(_, ids)| ids.len() > 1).collect();
        assert!(twice.is_empty(), "created more than once: {twice:?}");
        let created = self.jobs.iter().filter(|(_, code)| **code == CREATED).map(|(id, _)| id);
        assert_eq!(
            made.keys().collect::<Vec<_>>(),
            created.collect::<Vec<_>>(),
            "connections, and their jobs"
        );
        for (id, ids) in &made {
            for reply in &self.replies.0[id] {
                assert_eq!(reply.json()["connection"]["id"], ids[0].as_str(), "{id}: {}", reply.json());
            }
        }
        let report = self.rig.sim.report().await;
        assert_eq!(report["duplicates"]["extra"], 0, "{report}");
    }

    /// The counters say what the queues and the simulator say, as far as the worker can know.
    fn assert_counters(&self, counters: &Counters, report: &Value) {
        let undelivered = self.undelivered();
        let delivered = self.replies.0.values().map(Vec::len).sum::<usize>() - undelivered;
        let parked = undelivered + self.dead_seen.len();
        let lost = counters.unconfirmed("reply") + counters.abandoned();
        self.assert_within("replies", delivered, counters.confirmed("reply"), counters.unconfirmed("reply"));
        self.assert_within("parked", parked, counters.confirmed("parked"), counters.unconfirmed("parked"));
        self.assert_within("jobs answered", delivered + undelivered, counters.answered(), lost);
        self.assert_within("undeliverable", undelivered, counters.sum("replies_undeliverable_total", &[]), 0);
        self.assert_within("dead letters", self.dead_seen.len(), counters.sum("dead_lettered_total", &[]), 0);
        let created = number(&report["created"]);
        self.assert_within("connections", created, counters.calls("201"), counters.unanswered());
        assert_eq!(counters.sum("duplicate_connections_total", &[]), 0);

        let calls = number(&report["requests"]["create"]) + find_calls(report) - self.audits;
        let calls = usize::try_from(calls).unwrap();
        let sent = counters.calls("") - counters.calls("not_sent");
        if self.api_is_lossy {
            assert!(!self.is_complete || u64::try_from(calls).unwrap() <= sent, "{calls} calls of {sent}");
        } else {
            self.assert_within("calls", calls, sent, 0);
        }
        if counters.sum("amqp_session_failures_total", &[]) == 0 {
            let parked_unanswered = self.dead.get("malformed").copied().unwrap_or_default();
            let messages = u64::try_from(self.jobs.len() + parked_unanswered).unwrap();
            let acks = counters.sum("settlements_total", &[r#"kind="ack""#, r#"stale="false""#]);
            let published_again = counters.confirmed("retry") + counters.confirmed("moved");
            self.assert_acks(acks, messages + published_again);
        }
    }

    /// A session that was never lost acknowledges every message once.
    fn assert_acks(&self, acks: u64, messages: u64) {
        let exact = self.is_complete && acks == messages;
        assert!(exact || (!self.is_complete && acks <= messages), "{acks} acks for {messages} messages");
    }

    /// What was seen is what was counted, or up to `unknown` more. Workers that have ended took their counts along.
    fn assert_within(&self, what: &str, seen: impl TryInto<u64>, counted: u64, unknown: u64) {
        let seen = seen.try_into().unwrap_or_else(|_| panic!("{what}: a small number"));
        let most = if self.is_complete { counted + unknown } else { u64::MAX };
        assert!((counted..=most).contains(&seen), "{what}: {seen} seen, {counted} to {most} counted");
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tell(&format!("--- on {} queues", self.queue_type));
        }
    }
}

fn persistent() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}

fn outcome(reply: &Message) -> String {
    let reply = reply.json();
    let code = if reply["status"] == CREATED { &reply["status"] } else { &reply["error"]["code"] };
    code.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn find_calls(report: &Value) -> u64 {
    number(&report["requests"]["find"])
}
