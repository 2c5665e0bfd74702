//! Everything that one worker needs, with nobody else in it: a place on the broker, and a simulator.

use connection_worker::simulator::Options;
use lapin::BasicProperties;
use serde_json::{Value, json};

use super::broker::{Broker, Vhost};
use super::simulator::Sim;
use super::worker::WorkerProcess;

/// A broker's corner and a simulator, both for one test.
#[derive(Debug)]
pub(crate) struct Corner {
    pub(crate) vhost: Vhost,
    pub(crate) sim: Sim,
}

impl Corner {
    /// Sets one up on the broker of the run.
    pub(crate) async fn new() -> Self {
        Self { vhost: Broker::shared().await.vhost().await, sim: Sim::start(Options::default()).await }
    }

    /// The queue of jobs.
    pub(crate) fn jobs(&self) -> String {
        self.vhost.queue("jobs")
    }

    /// The queue of replies.
    pub(crate) fn replies(&self) -> String {
        self.vhost.queue("replies")
    }

    /// The variables of a worker that works here; retries come soon.
    pub(crate) fn env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AMQP_URL", self.vhost.amqp_url()),
            ("JOB_QUEUE", self.jobs()),
            ("REPLY_QUEUE", self.replies()),
            ("FLOW_URL", self.sim.flow_url()),
            ("IMS_URL", self.sim.url()),
            ("IMS_CLIENT_ID", "client".to_owned()),
            ("IMS_CLIENT_SECRET", "client-secret".to_owned()),
            ("IMS_ORG_ID", "1234@AdobeOrg".to_owned()),
            ("SANDBOX_NAME", "dev".to_owned()),
            ("RETRY_BASE", "1ms".to_owned()),
            ("RETRY_MAX", "10ms".to_owned()),
        ]
    }

    /// A worker with these variables in place of, or besides, those of [`Corner::env`]; it may not be ready yet.
    pub(crate) fn start_worker(&self, changes: &[(&str, &str)]) -> WorkerProcess {
        let env = self.env();
        let mut env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        env.extend_from_slice(changes);
        WorkerProcess::start(&env)
    }

    /// The same, and ready.
    pub(crate) async fn worker(&self, changes: &[(&str, &str)]) -> WorkerProcess {
        let mut worker = self.start_worker(changes);
        worker.wait_ready().await;
        worker
    }

    /// Puts a job on the queue, with its id as `message_id` too.
    pub(crate) async fn send(&self, job: &Value) {
        let id = job["jobId"].as_str().unwrap_or_default();
        let properties = BasicProperties::default().with_message_id(id.into());
        self.vhost.publish(&self.jobs(), properties, job.to_string().as_bytes()).await;
    }

    /// Leaves nothing behind on a broker that is not ours; one of our own goes as a whole.
    pub(crate) async fn end(self, worker: WorkerProcess) {
        drop(worker);
        if !self.vhost.broker().is_ours() {
            for queue in [self.jobs(), self.replies()] {
                for end in ["", ".dead", ".undeliverable"] {
                    self.vhost.delete_queue(&format!("{queue}{end}")).await;
                }
            }
        }
    }
}

/// A job that the simulator does, with this id and this name of the connection.
pub(crate) fn job(id: &str, name: &str) -> Value {
    json!({
        "jobId": id,
        "source": "hubspot",
        "connection": {
            "name": name,
            "auth": { "params": { "clientId": "id-1234", "clientSecret": "secret-1234",
                                  "accessToken": "access-1234", "refreshToken": "refresh-1234" } }
        }
    })
}
