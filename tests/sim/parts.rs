//! How a worker is put together, as `app.rs` does it, and with which settings: the one file that knows the worker's parts.

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use connection_worker::admission::Admission;
use connection_worker::broker::Error;
use connection_worker::broker::session::Session;
use connection_worker::checks::{AdmittedChecks, Checks};
use connection_worker::cli::{Cli, Command};
use connection_worker::config::RunConfig;
use connection_worker::handler::Handler;
use connection_worker::metrics::Metrics;
use connection_worker::organisations::Allowed;
use connection_worker::worker::{ReplyRoutes, SessionEnd, Terms, Worker};
use tokio_util::sync::CancellationToken;

use crate::broker::link::SimLink;
use crate::flow::door::Door;

/// The queue of the jobs, from which the names of the worker's other queues are derived.
pub(crate) const JOBS: &str = "jobs";

/// The queue of the replies.
pub(crate) const REPLIES: &str = "replies";

/// The product's settings: its defaults, but for those that are given.
pub(crate) fn settings(args: &[String]) -> RunConfig {
    let told = [
        ("--amqp-url", "amqp://nowhere"),
        ("--job-queue", JOBS),
        ("--reply-queue", REPLIES),
        ("--flow-url", "http://127.0.0.1:1"),
        ("--ims-url", "http://127.0.0.1:1"),
        ("--ims-client-id", "client"),
        ("--ims-client-secret", "secret"),
        ("--ims-org-id", "org0@AdobeOrg"),
        ("--sandbox-name", "box0"),
    ];
    let told = told.iter().flat_map(|(name, value)| [*name, *value]);
    let line = ["connection-worker", "run"].into_iter().chain(told).chain(args.iter().map(String::as_str));
    let Command::Run(options) = Cli::try_parse_from(line).unwrap().command else { panic!("it is run") };
    options.validate().unwrap().0
}

/// A worker with nothing in its memory.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    worker: Arc<Worker<Door>>,
    admission: Admission,
    config: RunConfig,
}

impl Parts {
    pub(crate) fn new(config: &RunConfig, flow: Door) -> Self {
        let config = config.clone();
        let metrics = Metrics::new().unwrap();
        let admission = Admission::new(config.admission.clone(), metrics.admission.clone());
        let admitted = AdmittedChecks::new(flow.clone(), admission.clone());
        let checks = Checks::new(admitted, config.checks, metrics.checks.clone());
        let handler = Handler::new(flow, admission.clone(), config.rules, metrics.attempts.clone());
        let routes = ReplyRoutes::new(config.session.link.queues.clone(), &config.reply_to_allow);
        let terms =
            Terms { defaults: config.defaults.clone(), limits: config.limits, allowed: Allowed::all() };
        let concurrency = config.session.intake.prefetch;
        let worker = Worker::new(handler, checks, routes, terms, metrics, concurrency);
        Self { worker: Arc::new(worker), admission, config }
    }

    /// What goes on beside the sessions. Never ends.
    pub(crate) async fn tend(&self) {
        self.admission.run_background().await;
    }

    /// Starts a session on a link.
    pub(crate) async fn open(&self, link: SimLink, careful: bool) -> Result<Session<SimLink>, Error> {
        let (queues, intake) = (&self.config.session.link.queues, &self.config.session.intake);
        if careful {
            Session::start_careful(link, queues, intake).await
        } else {
            Session::start(link, queues, intake).await
        }
    }

    /// Works until the session is lost or the worker is stopped.
    pub(crate) async fn work(&self, session: Session<SimLink>, stop: &CancellationToken) -> SessionEnd {
        self.worker.run(session, stop, self.grace()).await
    }

    fn grace(&self) -> Duration {
        self.config.drain_grace
    }
}
