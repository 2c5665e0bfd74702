//! A worker's whole world: a virtual host behind a proxy, a simulator, jobs and what became of them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use connection_worker::simulator::Options;
use connection_worker::simulator::latency::Latency;
use lapin::BasicProperties;
use serde_json::{Value, json};

use super::broker::{Broker, Counts, Message, Vhost};
use super::eventually::eventually;
use super::proxy::Proxy;
use super::simulator::Sim;
use super::worker::WorkerProcess;

/// The worker's own names, by default.
pub(crate) const JOBS: &str = "connections.jobs";
pub(crate) const REPLIES: &str = "connections.replies";

/// What the worker calls its two connections.
pub(crate) const CONSUME: &str = "connection-worker consume";
pub(crate) const PUBLISH: &str = "connection-worker publish";

/// For anything that happens within seconds, on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Everything around a worker.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) vhost: Vhost,
    /// Between worker and broker.
    pub(crate) proxy: Proxy,
    pub(crate) sim: Sim,
}

/// The replies to a number of jobs, by job.
#[derive(Debug, Default)]
pub(crate) struct Replies(pub(crate) BTreeMap<String, Vec<Message>>);

impl Rig {
    /// On the broker of the run; nothing if that is a foreign one, which cannot be looked into.
    pub(crate) async fn start(latency: Duration) -> Option<Self> {
        let broker = Broker::shared().await;
        if broker.is_ours() { Some(Self::on(&broker, latency).await) } else { None }
    }

    /// On any node of our own; every answer of the simulator takes `latency`.
    pub(crate) async fn on(broker: &Broker, latency: Duration) -> Self {
        let vhost = broker.vhost().await;
        let proxy = Proxy::start(broker.addr().await).await.unwrap();
        let ms = u64::try_from(latency.as_millis()).unwrap();
        let sim = Sim::start(Options { latency: Latency::Fixed { ms }, ..Options::default() }).await;
        Self { vhost, proxy, sim }
    }

    /// Starts a worker on the far side of the proxy; `env` comes on top of what it needs at least.
    pub(crate) fn worker(&self, env: &[(&str, &str)]) -> WorkerProcess {
        let amqp_url = self.vhost.amqp_url_at(self.proxy.addr());
        let flow_env = self.flow_env();
        let mut all = flow_env.each();
        all.push(("AMQP_URL", &amqp_url));
        all.extend(env);
        WorkerProcess::start(&all)
    }

    /// What a worker needs besides `AMQP_URL`.
    pub(crate) fn flow_env(&self) -> Env {
        Env(vec![
            ("FLOW_URL", self.sim.flow_url()),
            ("IMS_URL", self.sim.url()),
            ("IMS_CLIENT_ID", "worker-id".to_owned()),
            ("IMS_CLIENT_SECRET", "client-secret".to_owned()),
            ("SANDBOX_NAME", "dev".to_owned()),
            ("IMS_ORG_ID", "1234@AdobeOrg".to_owned()),
        ])
    }

    /// Declares every queue of the worker, as somebody who knows only their names would.
    pub(crate) async fn declare_queues(&self) {
        for queue in [JOBS, REPLIES, "connections.jobs.dead", "connections.jobs.undeliverable"] {
            self.vhost.declare_classic(queue).await;
        }
    }

    /// Publishes the jobs `job-<n>`; the queue has to be there.
    pub(crate) async fn submit(&self, numbers: Range<usize>) {
        let jobs = numbers.map(|number| {
            let properties = BasicProperties::default()
                .with_delivery_mode(2)
                .with_correlation_id(format!("correlation-{number}").into());
            (properties, job(number).to_string().into_bytes())
        });
        self.vhost.publish_all(JOBS, jobs).await;
    }

    /// How many connections the simulator has created.
    pub(crate) async fn created(&self) -> u64 {
        self.sim.report().await["created"].as_u64().unwrap()
    }

    /// Waits until this many connections exist: by then, jobs are under way.
    pub(crate) async fn wait_created(&self, at_least: u64) {
        eventually("connections are created", PATIENCE, async || {
            let created = self.created().await;
            if created >= at_least { Ok(()) } else { Err(created) }
        })
        .await;
    }

    /// Waits until the job queue is just so.
    pub(crate) async fn wait_counts(&self, ready: u64, unacked: u64) {
        eventually("the job queue is as expected", PATIENCE, async || {
            let counts = self.vhost.counts(JOBS).await;
            if counts == (Counts { ready, unacked }) { Ok(()) } else { Err(counts) }
        })
        .await;
    }

    /// Takes replies until each of the jobs has at least one.
    pub(crate) async fn wait_answered(&self, numbers: Range<usize>, replies: &mut Replies) {
        eventually("every job is answered", PATIENCE, async || {
            replies.add(self.vhost.drain(REPLIES).await);
            let missing: Vec<_> = numbers.clone().filter(|number| replies.of(*number).is_empty()).collect();
            if missing.is_empty() { Ok(()) } else { Err(missing) }
        })
        .await;
    }
}

impl Replies {
    /// Sorts messages by the job that they answer.
    pub(crate) fn add(&mut self, messages: Vec<Message>) {
        for message in messages {
            let job_id = message.json()["jobId"].as_str().expect("a reply names its job").to_owned();
            self.0.entry(job_id).or_default().push(message);
        }
    }

    /// All replies to one job.
    pub(crate) fn of(&self, number: usize) -> &[Message] {
        self.0.get(&job_id(number)).map_or(&[], Vec::as_slice)
    }

    /// Fails the test unless every reply says `created`.
    pub(crate) fn assert_all_created(&self) {
        for message in self.0.values().flatten() {
            let reply = message.json();
            assert_eq!(reply["status"], "created", "{reply}");
        }
    }
}

/// Variables whose values are made up at run time.
#[derive(Debug)]
pub(crate) struct Env(Vec<(&'static str, String)>);

impl Env {
    /// As a process takes them.
    pub(crate) fn each(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }
}

pub(crate) fn job_id(number: usize) -> String {
    format!("job-{number}")
}

/// A job that is fine.
pub(crate) fn job(number: usize) -> Value {
    json!({
        "jobId": job_id(number),
        "connection": {
            "name": format!("connection {number}"),
            "auth": { "specName": "Basic Authentication", "params": {
                "clientId": "id", "clientSecret": "s3cret", "accessToken": "access", "refreshToken": "refresh"
            } },
            "connectionSpec": { "id": "cc6a4487-9e91-433e-a3a3-9cf6626c1806", "version": "1.0" }
        }
    })
}
