//! The loop: takes deliveries from a session and gives each a task of its own, until the session is lost or the
//! worker is told to stop.
//!
//! The deliveries in flight, from all queues together, are the limit of concurrency. A job that cannot run waits in here only
//! while nothing behind it could: else it is moved to the overflow (it waits for a slot) or to the held queue (its calls are
//! held back), and comes back from there.

mod answer;
mod arrival;
mod decision;
mod job;
mod passage;
mod past;
mod refusal;
mod reply;
mod room;
mod route;
mod shift;
mod suspect;
mod suspicion;
mod waiting;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::field::Empty;
use tracing::{Instrument, Span, error, error_span, info, warn};

pub use route::{ReplyRoutes, Route};

use self::job::Unsettled;
use self::passage::Passage;
use self::shift::Shift;
use crate::broker;
use crate::broker::delivery::{Delivery, Settlement};
use crate::broker::link::{Link, Publish};
use crate::broker::session::Session;
use crate::checks::{AdmittedChecks, Checks};
use crate::contract::ids::JobId;
use crate::contract::{Defaults, Limits};
use crate::fair_share::FairShare;
use crate::flow::FlowApi;
use crate::handler::Handler;
use crate::metrics::Metrics;
use crate::organisations::Allowed;
use crate::telemetry::Chain;
use crate::traces::{self, Received, Traces};

/// An orderly close may take what is left of the grace period, but no longer than this,
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// and at least this long, even after it: without it the broker finds out by itself that the worker is gone.
const CLOSE_MIN: Duration = Duration::from_secs(1);

/// What the worker is made of.
#[derive(Debug)]
pub struct Worker<F> {
    handler: Handler<F>,
    checks: Checks<AdmittedChecks<F>>,
    routes: ReplyRoutes,
    terms: Terms,
    metrics: Metrics,
    traces: Traces,
    fair_share: FairShare,
    passage: Mutex<Passage>,
    tasks: TaskTracker,
    /// Deliveries whose task ended without settling them, since the start.
    unsettled: AtomicUsize,
}

/// On what terms jobs are taken.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What they may leave out.
    pub defaults: Defaults,
    /// What is accepted at all.
    pub limits: Limits,
    /// For whom, and where.
    pub allowed: Allowed,
}

/// How a session ended.
#[derive(Debug)]
pub enum SessionEnd {
    /// The worker was told to stop.
    Drained {
        /// Jobs that were still running when the grace period ended, or that ended with a session lost meanwhile. They go
        /// back to the queue although their outcome is unknown.
        unfinished: usize,
    },
    /// The session is no good any more; what was unsettled comes again.
    Lost(broker::Error),
}

impl<F: FlowApi> Worker<F> {
    /// A worker that works on at most `concurrency` jobs at a time.
    pub fn new(
        handler: Handler<F>,
        checks: Checks<AdmittedChecks<F>>,
        routes: ReplyRoutes,
        terms: Terms,
        metrics: Metrics,
        concurrency: u16,
    ) -> Self {
        metrics.jobs.limited_to(concurrency);
        Self {
            handler,
            checks,
            routes,
            terms,
            metrics,
            traces: Traces::default(),
            fair_share: FairShare::new(concurrency),
            passage: Mutex::new(Passage::new(concurrency, Instant::now())),
            tasks: TaskTracker::new(),
            unsettled: AtomicUsize::new(0),
        }
    }

    /// The same, with a part in the traces that its jobs belong to.
    #[must_use]
    pub fn with_traces(self, traces: Traces) -> Self {
        Self { traces, ..self }
    }

    /// Works on a session's jobs until it is lost or `stop` is cancelled; then drains within `grace`.
    pub async fn run<L: Link>(
        self: &Arc<Self>,
        session: Session<L>,
        stop: &CancellationToken,
        grace: Duration,
    ) -> SessionEnd {
        let (lost, losses) = mpsc::channel(1);
        let mut shift = Shift::new(self, session, stop, lost);
        match shift.work(losses).await {
            Ok(()) => self.drain(shift.end(), grace).await,
            Err(error) => SessionEnd::Lost(error),
        }
    }

    /// Gives a delivery its task. The task reports a session that is no good through `lost`.
    fn spawn<P: Publish>(
        self: &Arc<Self>,
        delivery: Delivery,
        in_hand: u16,
        publisher: Arc<P>,
        waits: CancellationToken,
        lost: mpsc::Sender<broker::Error>,
    ) -> JoinHandle<()> {
        // An error's span, so that no filter that shows a line of the job hides whose it is. The job's own id comes when
        // its body is read, which is not done here: one that kills the worker must get as far as its task.
        let Delivery { properties, redelivered, .. } = &delivery;
        let message_id = properties.message_id();
        let received = Received {
            queue: self.routes.jobs(),
            message_id,
            correlation_id: properties.correlation_id(),
            size: delivery.body.len(),
            redelivered: *redelivered,
        };
        let trace = self.traces.begin(&received, |name| properties.header(name));
        let trace_id = trace.id().map(tracing::field::display);
        let span = error_span!("job", job_id = Empty, message_id, redelivered, trace_id);
        let worker = Arc::clone(self);
        let task = async move {
            // In one expression: a future with a name of its own would be held twice.
            let processed =
                AssertUnwindSafe(worker.process(delivery, in_hand, &*publisher, &waits)).catch_unwind().await;
            let failure = match processed {
                Ok(Ok(())) => return,
                Ok(Err(Unsettled(error))) => error,
                Err(_payload) => {
                    worker.metrics.jobs.panicked();
                    broker::Error::TaskFailed
                }
            };
            worker.unsettled.fetch_add(1, Ordering::Relaxed);
            // Only the first report ends the session; a drain listens to none.
            if let Err(TrySendError::Full(error) | TrySendError::Closed(error)) = lost.try_send(failure) {
                warn!(error = %Chain(&error), "a further job ends with its session");
            }
        };
        self.tasks.spawn(trace.around(task).instrument(span))
    }

    /// Waits until no job is in hand. Safe to drop.
    async fn idle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Ends without a session to drain: gives the number of jobs under way, which nobody can be told about.
    pub fn abandon(&self) -> usize {
        let running = self.tasks.len();
        if running > 0 {
            error!(running, "stopping while the broker is away; the running jobs will be delivered again");
        }
        running
    }

    /// Takes no more, gives back what has not begun, lets the rest finish, closes.
    async fn drain<L: Link>(&self, mut session: Session<L>, grace: Duration) -> SessionEnd {
        let started = Instant::now();
        let unsettled_before = self.unsettled.load(Ordering::Relaxed);
        self.metrics.broker.draining();
        info!(running = self.tasks.len(), grace_seconds = grace.as_secs_f64(), "draining");
        if tokio::time::timeout(grace, hand_back_untaken(&mut session)).await.is_err() {
            warn!(
                "the broker did not let the worker stop consuming in time; what has not begun comes again anyway"
            );
        }
        self.tasks.close();
        let left = grace.saturating_sub(started.elapsed());
        let in_time = tokio::time::timeout(left, self.tasks.wait()).await.is_ok();
        let running = if in_time { 0 } else { self.tasks.len() };
        let unfinished = running + self.unsettled.load(Ordering::Relaxed) - unsettled_before;
        let left = grace.saturating_sub(started.elapsed()).clamp(CLOSE_MIN, CLOSE_MAX);
        match tokio::time::timeout(left, session.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(error = %Chain(&error), "the session did not close in order"),
            Err(_) => warn!("the session did not close in time"),
        }
        if unfinished > 0 {
            error!(unfinished, "the worker stops before all jobs were done; they will be delivered again");
        }
        SessionEnd::Drained { unfinished }
    }
}

/// Notes in the log and in the trace which job the task is about.
fn name_job(id: &JobId) {
    Span::current().record("job_id", id.as_str());
    traces::job_id(id.as_str());
}

/// Takes no more, and gives back what has arrived and not begun.
async fn hand_back_untaken<L: Link>(session: &mut Session<L>) {
    let untaken = session.pause().await.unwrap_or_else(|error| {
        warn!(error = %Chain(&error), "could not stop consuming");
        Vec::new()
    });
    for delivery in untaken {
        if let Err(error) = delivery.settle(Settlement::Requeue).await {
            warn!(error = %Chain(&error), "a job that had not begun could not be handed back; it comes again anyway");
        }
    }
}
