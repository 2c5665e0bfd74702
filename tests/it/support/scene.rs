//! A worker at work: a part of the broker, a simulator and the real binary, wired together.

use std::collections::HashMap;
use std::time::Duration;

use connection_worker::simulator::Options;
use lapin::BasicProperties;
use serde_json::{Value, json};

use super::broker::{Broker, Message, Vhost};
use super::simulator::Sim;
use super::worker::WorkerProcess;

/// For anything that has to happen, on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What jobs are done for unless they say otherwise.
pub(crate) const ORG: &str = "1234@AdobeOrg";
pub(crate) const SANDBOX: &str = "dev";

/// What the worker logs in with at IMS.
pub(crate) const CLIENT_ID: &str = "the-client-id";
pub(crate) const CLIENT_SECRET: &str = "p8e-the-client-secret";

/// A worker and everything it talks to.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) vhost: Vhost,
    pub(crate) sim: Sim,
    pub(crate) worker: WorkerProcess,
}

impl Scene {
    /// Starts everything and waits until the worker is ready. `env` overrides what the worker is told; an empty value
    /// takes a variable away.
    pub(crate) async fn start(env: &[(&str, &str)]) -> Self {
        Self::with(Options::default(), env).await
    }

    /// The same, with a simulator that behaves in its own way.
    pub(crate) async fn with(options: Options, env: &[(&str, &str)]) -> Self {
        let vhost = Broker::shared().await.vhost().await;
        Self::on(vhost, Sim::start(options).await, env).await
    }

    /// The same, on a broker that something has been done to already.
    pub(crate) async fn on(vhost: Vhost, sim: Sim, env: &[(&str, &str)]) -> Self {
        let mut worker = Self::worker(&vhost, &sim, env);
        worker.wait_ready().await;
        Self { vhost, sim, worker }
    }

    /// Starts one more worker on the same queues and simulator; it is not waited for.
    pub(crate) fn worker(vhost: &Vhost, sim: &Sim, env: &[(&str, &str)]) -> WorkerProcess {
        let [amqp, flow, ims] = [vhost.amqp_url(), sim.flow_url(), sim.url()];
        let [jobs, replies] = ["connections.jobs", "connections.replies"].map(|name| vhost.queue(name));
        let mut all: HashMap<&str, &str> = HashMap::from([
            ("AMQP_URL", amqp.as_str()),
            ("JOB_QUEUE", &jobs),
            ("REPLY_QUEUE", &replies),
            ("FLOW_URL", &flow),
            ("IMS_URL", &ims),
            ("IMS_CLIENT_ID", CLIENT_ID),
            ("IMS_CLIENT_SECRET", CLIENT_SECRET),
            ("IMS_ORG_ID", ORG),
            ("SANDBOX_NAME", SANDBOX),
        ]);
        all.extend(env.iter().copied());
        all.retain(|_, value| !value.is_empty());
        WorkerProcess::start(&all.into_iter().collect::<Vec<_>>())
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
        self.vhost.queue("connections.jobs.dead")
    }

    /// The queue of replies that no queue would take.
    pub(crate) fn undeliverable_queue(&self) -> String {
        self.vhost.queue("connections.jobs.undeliverable")
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
        self.vhost.settled(&self.jobs_queue(), PATIENCE).await;
    }

    /// A count that the worker's metrics show; the name without the prefix that all of them have.
    pub(crate) async fn count(&self, series: &str) -> u64 {
        let value = self.worker.metric(&format!("connection_worker_{series}")).await;
        format!("{value:.0}").parse().expect("a count")
    }
}

/// A job as the tutorial has it, for HubSpot.
pub(crate) fn job(id: &str) -> Value {
    json!({
        "jobId": id,
        "connection": {
            "name": format!("connection {id}"),
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
