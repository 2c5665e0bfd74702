//! Everything that one worker needs, with nobody else in it: a place on the broker, a simulator, and what the worker is
//! told about both. [`super::scene::Scene`] and [`super::rig::Rig`] stand on it.

use std::time::Duration;

use connection_worker::simulator::Options;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};

use super::PATIENCE;
use super::broker::{Broker, Message, Vhost};
use super::simulator::Sim;
use super::worker::WorkerProcess;

/// What jobs are done for unless they say otherwise.
pub(crate) const ORG: &str = "1234@AdobeOrg";
pub(crate) const SANDBOX: &str = "dev";

/// What the worker logs in with at IMS.
pub(crate) const CLIENT_ID: &str = "the-client-id";
pub(crate) const CLIENT_SECRET: &str = "p8e-the-client-secret";

/// For a worker of which no job waits for what others have met.
pub(crate) const BOLD: [(&str, &str); 3] =
    [("BREAKER_FAILURES", "0"), ("RETRY_BUDGET", "1"), ("ADAPTIVE_LIMITS", "off")];

/// For a worker whose broker is kept busy, by a test's load or by the machine: after the usual ten seconds it would be
/// left, and what is in hand would be answered or parked once more.
pub(crate) const BUSY_BROKER: (&str, &str) = ("AMQP_TIMEOUT", "60s");

/// For a worker whose retries are to come soon.
pub(crate) const SOON: [(&str, &str); 5] = [
    ("RETRY_BASE", "1ms"),
    ("RETRY_MAX", "10ms"),
    ("LOOKUPS", "2"),
    ("LOOKUP_PAUSE", "1ms"),
    ("LOOKUP_SETTLE", "10ms"),
];

/// The retry queues, by the end of their names.
pub(crate) const RETRY_TIERS: [&str; 4] = ["10s", "1m", "10m", "1h"];

/// A broker's corner and a simulator, both for one test.
#[derive(Debug)]
pub(crate) struct Corner {
    pub(crate) vhost: Vhost,
    pub(crate) sim: Sim,
    /// The worker's way to the broker.
    pub(crate) amqp_url: String,
}

impl Corner {
    /// Sets one up on the broker of the run.
    pub(crate) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    /// The same, with a simulator that behaves in its own way.
    pub(crate) async fn with(options: Options) -> Self {
        Self::on(&Broker::shared().await, options).await
    }

    /// The same, on any broker.
    pub(crate) async fn on(broker: &Broker, options: Options) -> Self {
        let vhost = broker.vhost().await;
        let amqp_url = vhost.amqp_url();
        Self { vhost, sim: Sim::start(options).await, amqp_url }
    }

    /// The queue that the worker takes jobs from.
    pub(crate) fn jobs_queue(&self) -> String {
        self.vhost.queue("connections.jobs")
    }

    /// The queue of replies to jobs that name none.
    pub(crate) fn reply_queue(&self) -> String {
        self.vhost.queue("connections.replies")
    }

    /// The queue of parked jobs.
    pub(crate) fn dead_queue(&self) -> String {
        format!("{}.dead", self.jobs_queue())
    }

    /// The queue of replies that no queue would take.
    pub(crate) fn undeliverable_queue(&self) -> String {
        format!("{}.undeliverable", self.jobs_queue())
    }

    /// The queue of jobs that wait for so long: one of [`RETRY_TIERS`].
    pub(crate) fn retry_queue(&self, tier: &str) -> String {
        format!("{}.retry.{tier}", self.jobs_queue())
    }

    /// The queue of jobs that wait for a slot.
    pub(crate) fn overflow_queue(&self) -> String {
        format!("{}.overflow", self.jobs_queue())
    }

    /// The queue of jobs whose calls are held back, or scarce.
    pub(crate) fn held_queue(&self) -> String {
        format!("{}.held", self.jobs_queue())
    }

    /// Declares the retry queues with a shorter wait than the worker would, and of the given type. It uses what is there.
    pub(crate) async fn declare_short_retries(&self, queue_type: &str, wait: Duration) {
        for tier in RETRY_TIERS {
            let mut arguments = FieldTable::default();
            let mut text = |key: &str, value: &str| {
                arguments.insert(key.into(), AMQPValue::LongString(value.into()));
            };
            text("x-queue-type", queue_type);
            text("x-dead-letter-exchange", "");
            text("x-dead-letter-routing-key", &self.jobs_queue());
            if queue_type == "quorum" {
                text("x-dead-letter-strategy", "at-least-once");
                text("x-overflow", "reject-publish");
            }
            let milliseconds = u32::try_from(wait.as_millis()).unwrap();
            arguments.insert("x-message-ttl".into(), AMQPValue::LongUInt(milliseconds));
            self.vhost.declare(&self.retry_queue(tier), arguments).await;
        }
    }

    /// Every queue of the worker.
    fn queues(&self) -> Vec<String> {
        let others = [
            self.jobs_queue(),
            self.overflow_queue(),
            self.held_queue(),
            self.reply_queue(),
            self.dead_queue(),
            self.undeliverable_queue(),
        ];
        RETRY_TIERS.map(|tier| self.retry_queue(tier)).into_iter().chain(others).collect()
    }

    /// Declares them all, as somebody who knows only their names would.
    pub(crate) async fn declare_queues(&self) {
        for queue in self.queues() {
            self.vhost.declare_classic(&queue).await;
        }
    }

    /// Starts a worker that works here, with `env` in place of, or besides, what it has to be told; an empty value takes
    /// a variable away. It may not be ready yet.
    pub(crate) fn start_worker(&self, env: &[(&str, &str)]) -> WorkerProcess {
        let told = self.settings();
        let told: Vec<(&str, &str)> = told.iter().map(|(name, value)| (*name, value.as_str())).collect();
        WorkerProcess::start(&[&told, env].concat())
    }

    /// What a worker is told that works here.
    pub(crate) fn settings(&self) -> [(&'static str, String); 9] {
        [
            ("AMQP_URL", self.amqp_url.clone()),
            ("JOB_QUEUE", self.jobs_queue()),
            ("REPLY_QUEUE", self.reply_queue()),
            ("FLOW_URL", self.sim.flow_url()),
            ("IMS_URL", self.sim.url()),
            ("IMS_CLIENT_ID", CLIENT_ID.to_owned()),
            ("IMS_CLIENT_SECRET", CLIENT_SECRET.to_owned()),
            ("IMS_ORG_ID", ORG.to_owned()),
            ("SANDBOX_NAME", SANDBOX.to_owned()),
        ]
    }

    /// The same, and ready.
    pub(crate) async fn worker(&self, env: &[(&str, &str)]) -> WorkerProcess {
        let mut worker = self.start_worker(env);
        worker.wait_ready().await;
        worker
    }

    /// Puts a job into the queue.
    pub(crate) async fn submit(&self, job: &Value) {
        self.submit_raw(BasicProperties::default(), job.to_string().as_bytes()).await;
    }

    /// Puts a job into the queue whose reply is to go elsewhere.
    pub(crate) async fn submit_for(&self, reply_to: &str, job: &Value) {
        let properties = BasicProperties::default().with_reply_to(reply_to.into());
        self.submit_raw(properties, job.to_string().as_bytes()).await;
    }

    /// Puts anything into the queue.
    pub(crate) async fn submit_raw(&self, properties: BasicProperties, body: &[u8]) {
        self.vhost.publish(&self.jobs_queue(), properties, body).await;
    }

    /// Puts many jobs into the queue at once.
    pub(crate) async fn submit_all(&self, jobs: impl IntoIterator<Item = Value>) {
        let messages = jobs.into_iter().map(|job| (BasicProperties::default(), job.to_string().into_bytes()));
        self.vhost.publish_all(&self.jobs_queue(), messages).await;
    }

    /// The next reply, from the reply queue.
    pub(crate) async fn reply(&self) -> Message {
        self.replies(1).await.remove(0)
    }

    /// The next `n` replies, from the reply queue.
    pub(crate) async fn replies(&self, n: usize) -> Vec<Message> {
        self.vhost.take(&self.reply_queue(), n, PATIENCE).await
    }

    /// Submits a job and waits for its reply.
    pub(crate) async fn ask(&self, job: &Value) -> Value {
        self.submit(job).await;
        let reply = self.reply().await.json();
        assert_eq!(reply["jobId"], job["jobId"], "{reply}");
        reply
    }

    /// Waits until nothing is left in the job queue, and nothing taken from it is unsettled.
    pub(crate) async fn settled(&self) {
        for queue in [self.jobs_queue(), self.overflow_queue(), self.held_queue()] {
            self.vhost.settled(&queue, PATIENCE).await;
        }
    }

    /// Leaves nothing behind on a broker that is not ours; one of our own goes as a whole.
    pub(crate) async fn end(self, worker: WorkerProcess) {
        drop(worker);
        self.remove().await;
    }

    /// The same, when the worker has ended.
    pub(crate) async fn remove(self) {
        if !self.vhost.broker().is_ours() {
            for queue in self.queues() {
                self.vhost.delete_queue(&queue).await;
            }
        }
    }
}

/// A job as the tutorial has it, for HubSpot.
pub(crate) fn job(id: &str) -> Value {
    job_named(id, &format!("connection {id}"))
}

/// The same, for a connection of this name.
pub(crate) fn job_named(id: &str, name: &str) -> Value {
    json!({
        "jobId": id,
        "connection": {
            "name": name,
            "description": "connection for HubSpot",
            "auth": {
                "specName": "Basic Authentication",
                "params": {
                    "clientId": "hub-client",
                    "clientSecret": "hub-client-secret",
                    "accessToken": "hub-access-token",
                    "refreshToken": "hub-refresh-token",
                },
            },
            "connectionSpec": { "id": "cc6a4487-9e91-433e-a3a3-9cf6626c1806", "version": "1.0" },
        },
    })
}
