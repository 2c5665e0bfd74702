//! The attempts of one delivery of a job.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{Handled, Handler, Past};
use crate::contract::job::Job;
use crate::flow::{CreateRequest, Created, Failure, FailureKind, FindRequest, FlowApi, Found};
use crate::metrics::attempts::LookupResult;
use crate::retry::doubt::Doubt;
use crate::retry::policy::{Attempts, Next, Wait};
use crate::retry::tier::Tier;
use crate::retry::verdict::Verdict;

/// One delivery, while it is worked on.
pub(super) struct Attempting<'a, F> {
    handler: &'a Handler<F>,
    job: &'a Job,
    past: Past,
    started: Instant,
    time_left: Option<Duration>,
    stop: &'a CancellationToken,
    attempts: Attempts,
    doubt: Doubt,
    /// The job's age when this delivery came.
    age_before: Duration,
}

/// Why an attempt ended without a connection.
enum Setback {
    Failure(Failure),
    /// The worker is stopping.
    Stopped,
    /// A call may still be under way: to be looked for again after this wait.
    Unsettled(Tier),
    /// The job's time is up.
    Expired,
}

impl From<Failure> for Setback {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl<'a, F: FlowApi> Attempting<'a, F> {
    pub(super) fn new(
        handler: &'a Handler<F>,
        job: &'a Job,
        past: Past,
        started: Instant,
        time_left: Option<Duration>,
        stop: &'a CancellationToken,
    ) -> Self {
        let attempts = Attempts::new(&handler.rules.policy, past.attempts, fastrand::Rng::new());
        // Without its mark a connection cannot be found, so there is no use in doubting.
        let doubt = if job.marked_description.is_some() { past.doubt } else { Doubt::None };
        let age_before = past.first_seen_at.map(since).unwrap_or_default();
        Self { handler, job, past, started, time_left, stop, attempts, doubt, age_before }
    }

    /// Tries until the job is done, or is better off elsewhere.
    pub(super) async fn run(mut self) -> Handled {
        loop {
            if self.stop.is_cancelled() {
                return self.stopped(Duration::ZERO, None);
            }
            let before = self.attempts.made();
            self.attempts.start();
            let failure = match self.attempt().await {
                Ok((created, recovered)) => {
                    return Handled::Created { created, recovered, attempts: self.attempts.made() };
                }
                Err(Setback::Failure(failure)) => failure,
                // An attempt that ends before its call is none.
                Err(Setback::Stopped) if before == self.past.attempts => return Handled::HandedBack,
                Err(Setback::Stopped) => {
                    return Handled::Later { tier: Tier::TenSeconds, attempts: before, failure: None };
                }
                Err(Setback::Unsettled(tier)) => {
                    return Handled::Later { tier, attempts: before, failure: None };
                }
                Err(Setback::Expired) => return Handled::Expired { failure: None, attempts: before },
            };
            self.handler.metrics.failed(failure.kind);
            let (delay, failure) = match self.after(failure) {
                Ok(wait) => wait,
                Err(end) => return end,
            };
            let waking = Instant::now() + delay;
            if self.sleep(delay).await.is_err() {
                return self.stopped(waking.saturating_duration_since(Instant::now()), Some(failure));
            }
        }
    }

    /// One attempt: whatever is in doubt is looked into, and then the connection is created.
    async fn attempt(&mut self) -> Result<(Created, bool), Setback> {
        let doubted = self.doubt != Doubt::None;
        while self.doubt != Doubt::None {
            if let Some(found) = self.look_up().await? {
                return Ok((found, true));
            }
            if self.doubt == Doubt::Open {
                self.settle().await?;
                self.doubt = Doubt::Settled;
            } else {
                self.doubt = Doubt::None;
            }
        }
        if self.time_left().is_some_and(|left| left.is_zero()) {
            return Err(Setback::Expired);
        }
        let request = CreateRequest {
            ims_org_id: self.job.ims_org_id.as_str().to_owned(),
            sandbox_name: self.job.sandbox_name.as_str().to_owned(),
            body: self.job.body.clone(),
        };
        match self.handler.flow.create(&request).await {
            Ok(created) if doubted => Ok(self.only_one(created).await),
            Ok(created) => Ok((created, false)),
            Err(failure) => {
                self.doubt = doubt_after(&failure);
                if self.doubt != Doubt::None {
                    self.handler.metrics.ambiguous();
                }
                Err(failure.into())
            }
        }
    }

    /// Looks for the connection until it is found, or was not found often enough.
    async fn look_up(&self) -> Result<Option<Created>, Setback> {
        let lookups = self.handler.rules.lookups;
        for look in 1..=lookups.looks {
            if let Some(Found { connection, duplicates }) = self.find().await? {
                info!(connection_id = connection.id, "the connection was created before");
                self.tell_duplicates(&connection, &duplicates);
                return Ok(Some(connection));
            }
            if look < lookups.looks {
                self.sleep(lookups.pause).await?;
            }
        }
        Ok(None)
    }

    async fn find(&self) -> Result<Option<Found>, Failure> {
        let Some(description) = self.job.marked_description.clone() else { return Ok(None) };
        let request = FindRequest {
            ims_org_id: self.job.ims_org_id.as_str().to_owned(),
            sandbox_name: self.job.sandbox_name.as_str().to_owned(),
            job_id: self.job.id.clone(),
            description,
            connection_spec_id: self.job.connection_spec_id.clone(),
            since: self.past.first_seen_at,
        };
        let found = self.handler.flow.find(&request).await;
        self.handler.metrics.looked_up(match &found {
            Ok(Some(_)) => LookupResult::Found,
            Ok(None) => LookupResult::Absent,
            Err(_) => LookupResult::Failed,
        });
        found
    }

    /// Waits until a call that nobody has heard from must be over.
    async fn settle(&self) -> Result<(), Setback> {
        match self.handler.rules.policy.place(self.handler.rules.lookups.settle, self.started.elapsed()) {
            Wait::Held(delay) => self.sleep(delay).await,
            Wait::Queued(tier) => Err(Setback::Unsettled(tier)),
        }
    }

    async fn sleep(&self, delay: Duration) -> Result<(), Setback> {
        let slept = self.stop.run_until_cancelled(tokio::time::sleep(delay)).await;
        slept.ok_or(Setback::Stopped)
    }

    /// A create after a doubt is the one way to make a second connection, when an earlier call took effect after all
    /// look-ups. So one more look-up follows; if there are two, the older one counts, for every delivery of the job.
    async fn only_one(&self, created: Created) -> (Created, bool) {
        self.handler.metrics.created_in_doubt();
        match self.find().await {
            Ok(Some(Found { connection, duplicates })) if !duplicates.is_empty() => {
                self.tell_duplicates(&connection, &duplicates);
                let recovered = connection.id != created.id;
                (connection, recovered)
            }
            Ok(_) => (created, false),
            Err(failure) => {
                warn!(error = %failure, "it could not be checked whether the connection is the only one");
                (created, false)
            }
        }
    }

    fn tell_duplicates(&self, oldest: &Created, duplicates: &[String]) {
        if duplicates.is_empty() {
            return;
        }
        self.handler.metrics.duplicates_found(duplicates.len());
        error!(
            connection_id = oldest.id,
            duplicates = duplicates.join(" "),
            "the job has more than one connection; the oldest counts, the others should be deleted"
        );
    }

    /// How long to wait in hand before the next attempt; else, how the job ends here.
    fn after(&mut self, failure: Failure) -> Result<(Duration, Failure), Handled> {
        let attempts = self.attempts.made();
        let in_doubt = self.doubt != Doubt::None;
        let hopeless = in_doubt && self.job.marked_description.is_none();
        if failure.kind.verdict() == Verdict::Fail || hopeless {
            return Err(Handled::Failed { failure, in_doubt, limit: None, attempts });
        }
        let held = self.started.elapsed();
        let wait = match self.attempts.after_failure(failure.retry_after, held, self.age_before + held) {
            Next::Wait(wait) => wait,
            Next::GiveUp(limit) => {
                return Err(Handled::Failed { failure, in_doubt, limit: Some(limit), attempts });
            }
        };
        // In doubt the job is looked for even after its time: it may be done.
        if !in_doubt && self.time_left().is_some_and(|left| wait.delay() >= left) {
            return Err(Handled::Expired { failure: Some(failure), attempts });
        }
        self.handler.metrics.retry_scheduled(failure.kind, wait);
        info!(
            attempt = attempts,
            failure = failure.kind.as_str(),
            http_status = failure.http_status,
            delay_seconds = wait.delay().as_secs_f64(),
            in_doubt,
            wait = wait.place(),
            "the call failed and will be tried again"
        );
        match wait {
            Wait::Held(delay) => Ok((delay, failure)),
            Wait::Queued(tier) => Err(Handled::Later { tier, attempts, failure: Some(failure) }),
        }
    }

    /// The worker is stopping. What has been tried is not forgotten; what has not goes back as it came.
    fn stopped(&self, remaining: Duration, failure: Option<Failure>) -> Handled {
        let attempts = self.attempts.made();
        if attempts == self.past.attempts {
            return Handled::HandedBack;
        }
        Handled::Later { tier: Tier::at_least(remaining), attempts, failure }
    }

    fn time_left(&self) -> Option<Duration> {
        Some(self.time_left?.saturating_sub(self.started.elapsed()))
    }
}

/// What a failed create may have done.
fn doubt_after(failure: &Failure) -> Doubt {
    match (failure.kind.verdict(), failure.kind) {
        (Verdict::Reconcile, FailureKind::Timeout | FailureKind::NoAnswer) => Doubt::Open,
        (Verdict::Reconcile, _) => Doubt::Settled,
        (Verdict::Retry | Verdict::Fail, _) => Doubt::None,
    }
}

/// The time since an instant; none if it seems to lie ahead, because clocks differ.
fn since(instant: Timestamp) -> Duration {
    Duration::try_from(Timestamp::now().duration_since(instant)).unwrap_or_default()
}
