//! Builds the parts from the configuration, keeps a broker session open, and drains when told to.

use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBackoff;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::admin::{Admin, Readiness};
use crate::admission::Admission;
use crate::broker;
use crate::broker::rabbitmq::RabbitMq;
use crate::broker::session::{Session, SessionSettings};
use crate::broker::topology::DELIVERY_LIMIT;
use crate::checks::{AdmittedChecks, Checks};
use crate::config::{Access, RunConfig};
use crate::flow::client::FlowClient;
use crate::flow::token::{ImsClient, Keyring, TokenSource};
use crate::flow::{BuildError, FlowApi};
use crate::handler::Handler;
use crate::metrics::Metrics;
use crate::organisations::Allowed;
use crate::reload::{Parties, Reload};
use crate::retry::doubling;
use crate::shutdown::Hangups;
use crate::telemetry::Chain;
use crate::traces::{self, Traces};
use crate::worker::{ReplyRoutes, SessionEnd, Terms, Worker};

/// First ceiling of the pause between sessions. Short, because most outages of a connection are.
const RECONNECT_BASE: Duration = Duration::from_millis(200);

/// Highest ceiling of that pause. A restarted broker must not meet all workers at once; a waiting one must not
/// make jobs wait for long.
const RECONNECT_MAX: Duration = Duration::from_secs(1);

/// A session that lived this long was a success: the next failure starts with a short pause again.
const SETTLED_SESSION: Duration = Duration::from_secs(10);

/// Why the worker ends without having been told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The metrics cannot be registered.
    #[error("cannot set up the metrics")]
    Metrics(#[from] prometheus::Error),
    /// The HTTP client or the token cannot be set up.
    #[error("cannot set up the Flow Service client")]
    Flow(#[from] BuildError),
    /// The operating system does not let the worker listen for SIGHUP.
    #[error("cannot listen for SIGHUP")]
    Signal(#[source] std::io::Error),
    /// The admin port cannot be bound.
    #[error("cannot listen on {addr} (ADMIN_ADDR)")]
    Admin {
        /// The address.
        addr: std::net::SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The broker cannot be used as it is configured; a person must mend something.
    #[error("the broker cannot be used as configured")]
    Misconfigured(#[source] broker::Error),
    /// Traces cannot be exported.
    #[error("cannot export traces")]
    Traces(#[from] traces::StartError),
    /// There was no working session for too long.
    #[error("no working broker session for {after:?} (BROKER_GIVE_UP)")]
    GaveUp {
        /// How long.
        after: Duration,
        /// What went wrong last.
        source: broker::Error,
    },
}

/// Runs the worker until `stop` is cancelled; gives the number of jobs that were still running at the end.
pub async fn run(config: RunConfig, stop: CancellationToken) -> Result<usize, Error> {
    let metrics = Metrics::new()?;
    let admission = Admission::new(config.admission, metrics.admission.clone());
    let ims = ImsClient::new(&config.ims, metrics.http.clone())?;
    let Doors { keyring, allowed, reload } = open_doors(config.access, ims, &admission, &metrics)?;
    let flow = FlowClient::new(config.flow, keyring, metrics.http.clone())?;
    let admitted = AdmittedChecks::new(flow.clone(), admission.clone());
    let checks = Checks::new(admitted, config.checks, metrics.checks.clone());
    let handler = Handler::new(flow, admission.clone(), config.rules, metrics.attempts.clone());
    let routes = ReplyRoutes::new(config.session.link.queues.clone(), &config.reply_to_allow);
    let concurrency = config.session.intake.prefetch;
    let terms = Terms { defaults: config.defaults, limits: config.limits, allowed };
    let traces = Traces::start(config.traces, metrics.traces.clone())?;
    let worker = Worker::new(handler, checks, routes, terms, metrics.clone(), concurrency);
    let worker = Arc::new(worker.with_traces(traces.clone()));

    let readiness = Readiness::new(stop.clone());
    let addr = config.admin_addr;
    let admin = Admin::bind(addr).await.map_err(|source| Error::Admin { addr, source })?;
    let bound = admin.local_addr().map_err(|source| Error::Admin { addr, source })?;
    info!(admin_addr = %bound, version = env!("CARGO_PKG_VERSION"), "started");

    let served = CancellationToken::new();
    let end = served.clone().cancelled_owned();
    let admin = tokio::spawn(admin.serve(metrics.clone(), admission.clone(), readiness.clone(), end));
    let tending = tokio::spawn({
        let (admission, runtime) = (admission.clone(), metrics.runtime.clone());
        async move { tokio::join!(admission.run_background(), runtime.watch()) }
    });
    let reloading = reload.map(|(reload, hangups)| tokio::spawn(reload.watch(hangups)));
    let supervisor = Supervisor {
        worker,
        settings: config.session,
        metrics,
        readiness,
        stop,
        grace: config.drain_grace,
        give_up: config.broker_give_up,
        queue_metrics: config.queue_metrics,
    };
    let end = supervisor.supervise().await;
    served.cancel();
    admin.abort();
    tending.abort();
    if let Some(reloading) = reloading {
        reloading.abort();
    }
    traces.finish().await;
    end
}

/// What jobs go through to reach Flow Service, and who exchanges that while they do.
struct Doors {
    keyring: Keyring,
    allowed: Allowed,
    reload: Option<(Reload, Hangups)>,
}

fn open_doors(
    access: Access,
    ims: ImsClient,
    admission: &Admission,
    metrics: &Metrics,
) -> Result<Doors, Error> {
    match access {
        Access::One(credentials) => {
            let source = TokenSource::new(credentials, &ims, None)?;
            Ok(Doors { keyring: Keyring::one(source), allowed: Allowed::all(), reload: None })
        }
        Access::Each(file, organisations) => {
            let hangups = Hangups::listen().map_err(Error::Signal)?;
            let (keyring, allowed) = (Keyring::for_each(), Allowed::only(organisations.values()));
            let parties = Parties {
                keyring: keyring.clone(),
                ims,
                admission: admission.clone(),
                allowed: allowed.clone(),
                metrics: metrics.organisations.clone(),
            };
            let reload = Reload::new(file, organisations, parties)?;
            Ok(Doors { keyring, allowed, reload: Some((reload, hangups)) })
        }
    }
}

/// Opens one session after the other.
struct Supervisor<F> {
    worker: Arc<Worker<F>>,
    settings: SessionSettings,
    metrics: Metrics,
    readiness: Readiness,
    stop: CancellationToken,
    grace: Duration,
    give_up: Duration,
    /// Whether to look how much is in the queues.
    queue_metrics: bool,
}

impl<F: FlowApi> Supervisor<F> {
    async fn supervise(self) -> Result<usize, Error> {
        let mut history = History::new();
        loop {
            let Some(opened) = self.stop.run_until_cancelled(self.open(&history)).await else {
                return Ok(self.worker.abandon());
            };
            let failure = match opened {
                Ok(session) => {
                    history.opened_once = true;
                    let started = Instant::now();
                    match self.work(session).await {
                        SessionEnd::Drained { unfinished } => return Ok(unfinished),
                        SessionEnd::Lost(failure) => {
                            history.lost(&failure, started.elapsed());
                            failure
                        }
                    }
                }
                Err(failure) if failure.is_config_fault() && !history.opened_once => {
                    return Err(Error::Misconfigured(failure));
                }
                Err(failure) => failure,
            };
            self.metrics.broker.session_failed(&failure);
            if history.last_good.elapsed() >= self.give_up {
                return Err(Error::GaveUp { after: self.give_up, source: failure });
            }
            let pause = history.pause();
            report(&failure, pause);
            if self.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return Ok(self.worker.abandon());
            }
        }
    }

    async fn open(&self, history: &History) -> Result<Session<RabbitMq>, broker::Error> {
        let SessionSettings { link: settings, intake } = &self.settings;
        let link = RabbitMq::open(settings).await?;
        match history.unreadable {
            0 => Session::start(link, &settings.queues, intake).await,
            _ => Session::start_careful(link, &settings.queues, intake).await,
        }
    }

    async fn work(&self, session: Session<RabbitMq>) -> SessionEnd {
        let careful = session.is_careful();
        info!(
            queue = self.settings.link.queues.jobs,
            prefetch = self.settings.intake.prefetch,
            careful,
            "consuming"
        );
        self.metrics.broker.session_opened();
        self.readiness.set(true);
        let depths = session.depths();
        let end = tokio::select! {
            end = self.worker.run(session, &self.stop, self.grace) => end,
            never = depths.watch(&self.metrics.queues), if self.queue_metrics => match never {},
        };
        self.metrics.queues.unknown();
        self.readiness.set(false);
        self.metrics.broker.session_closed();
        end
    }
}

/// What the supervisor remembers of the sessions before.
struct History {
    pauses: ExponentialBackoff,
    opened_once: bool,
    last_good: Instant,
    /// Sessions in a row that a single message ended, most likely one that the AMQP client cannot read.
    unreadable: u32,
}

impl History {
    fn new() -> Self {
        Self {
            pauses: doubling(RECONNECT_BASE, RECONNECT_MAX),
            opened_once: false,
            last_good: Instant::now(),
            unreadable: 0,
        }
    }

    fn lost(&mut self, failure: &broker::Error, lived: Duration) {
        self.unreadable = match failure {
            broker::Error::Unreadable { .. } | broker::Error::TaskFailed => self.unreadable.saturating_add(1),
            // How the end of a connection shows is a matter of chance: such a message may be behind it.
            _ if self.unreadable > 0 && lived < SETTLED_SESSION => self.unreadable,
            _ => 0,
        };
        if lived >= SETTLED_SESSION {
            self.last_good = Instant::now();
            self.pauses = doubling(RECONNECT_BASE, RECONNECT_MAX);
        }
    }

    /// Drawn evenly from zero to its ceiling. Short while each session brings the broker closer to parking a message
    /// that the client cannot read.
    fn pause(&mut self) -> Duration {
        let ceiling = match self.unreadable {
            1..=DELIVERY_LIMIT => RECONNECT_BASE,
            _ => self.pauses.next().unwrap_or(RECONNECT_MAX),
        };
        ceiling.mul_f64(fastrand::f64())
    }
}

/// A fault that a person must mend is an error even while the worker goes on trying.
fn report(failure: &broker::Error, pause: Duration) {
    let pause_seconds = pause.as_secs_f64();
    if failure.is_config_fault() {
        error!(error = %Chain(failure), pause_seconds, "no broker session, trying again");
    } else {
        warn!(error = %Chain(failure), pause_seconds, "no broker session, trying again");
    }
}
