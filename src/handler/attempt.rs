//! The attempts of one delivery of a job.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{Handled, Handler, Learned, Past, create_of};
use crate::admission::Rejected;
use crate::clock;
use crate::contract::job::Job;
use crate::flow::{CreateBody, CreateRequest, Created, Failure, FailureKind, FlowApi};
use crate::retry::doubt::Doubt;
use crate::retry::policy::{Attempts, Next, Wait};
use crate::retry::tier::Tier;
use crate::retry::verdict::Verdict;
use crate::traces;

/// One delivery, while it is worked on.
#[expect(clippy::struct_excessive_bools, reason = "they are independent facts")]
pub(super) struct Attempting<'a, F> {
    pub(super) handler: &'a Handler<F>,
    pub(super) job: &'a Job,
    pub(super) past: Past,
    pub(super) started: Instant,
    time_left: Option<Duration>,
    pub(super) stop: &'a CancellationToken,
    attempts: Attempts,
    pub(super) doubt: Doubt,
    /// Whether there ever was a serious doubt that only look-ups have resolved.
    doubted: bool,
    /// Whether every attempt up to now certainly did nothing.
    undone: bool,
    /// The job's age when this delivery came.
    pub(super) age_before: Duration,
    /// Whether this or an earlier delivery has made a call.
    pub(super) begun: bool,
    /// Whether look-ups have found nothing since the last create.
    looked: bool,
    /// Whether this delivery has made a create.
    tried: bool,
    /// Whether the answer to one that it made was lost.
    pub(super) creates_here: bool,
    /// The job's number, by which it gets its permits.
    pub(super) number: u64,
}

/// Why an attempt ended without a connection.
pub(super) enum Setback {
    Failure(Failure),
    /// The worker is stopping.
    Stopped,
    /// A call may still be under way: to be looked for again after this wait.
    Unsettled(Tier),
    /// The job's time is up.
    Expired,
    /// No call may be made for now.
    Rejected(Rejected),
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
        number: u64,
        stop: &'a CancellationToken,
    ) -> Self {
        let attempts = Attempts::new(&handler.rules.policy, past.attempts, fastrand::Rng::new());
        // Without its mark a connection cannot be found, so there is no use in doubting.
        let doubt = if job.marked_description.is_some() { past.doubt } else { Doubt::None };
        let age_before = past.first_seen_at.map(since).unwrap_or_default();
        let doubted = doubt.is_serious();
        Self {
            handler,
            job,
            past,
            started,
            time_left,
            stop,
            attempts,
            doubt,
            doubted,
            undone: !past.doubt.is_serious(),
            age_before,
            begun: past.attempts > 0,
            looked: past.looked,
            tried: false,
            creates_here: false,
            number,
        }
    }

    /// Tries until the job is done, or is better off elsewhere.
    pub(super) async fn run(&mut self) -> Handled {
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
                Err(Setback::Stopped) => return self.later(Tier::TenSeconds, before, None),
                Err(Setback::Unsettled(tier)) => return self.later(tier, before, None),
                Err(Setback::Expired) => return Handled::Expired { failure: None, attempts: before },
                Err(Setback::Rejected(rejected)) => return self.not_admitted(rejected, before),
            };
            self.handler.metrics.failed(failure.kind);
            let (delay, failure) = match self.after(failure) {
                Ok(wait) => wait,
                Err(end) => return self.unless_found(end).await,
            };
            let waking = Instant::now() + delay;
            if self.sleep(delay).await.is_err() {
                return self.stopped(waking.saturating_duration_since(Instant::now()), Some(failure));
            }
        }
    }

    /// One attempt: whatever is in doubt is looked into, and then the connection is created.
    async fn attempt(&mut self) -> Result<(Created, bool), Setback> {
        while self.doubt != Doubt::None {
            let has_looked = self.looked && matches!(self.doubt, Doubt::Open(_));
            if !has_looked && let Some(found) = self.look_up().await? {
                return Ok((found, true));
            }
            self.looked = true;
            if let Doubt::Open(_) = self.doubt {
                self.settle().await?;
                self.doubt = Doubt::Settled;
            } else {
                self.doubt = Doubt::None;
            }
        }
        self.in_time()?;
        let permit = self.permit(create_of(self.job, self.attempts.made() > 1)).await?;
        // It may have been waited for; whoever drops it gives it back.
        self.in_time()?;
        let request = CreateRequest {
            ims_org_id: self.job.ims_org_id.as_str().to_owned(),
            sandbox_name: self.job.sandbox_name.as_str().to_owned(),
            body: CreateBody(self.job.body.clone()),
            attempts_before: self.attempts.made().saturating_sub(1),
        };
        let created = self.handler.flow.create(&request).await;
        permit.ended(created.as_ref().err());
        self.tried = true;
        self.handler.note(self.job, created.as_ref().err());
        match created {
            Ok(created) if self.doubted => Ok(self.only_one(created).await),
            Ok(created) => Ok((created, false)),
            Err(failure) => {
                self.doubt = self.doubt_after(&failure);
                if self.doubt != Doubt::None {
                    (self.doubted, self.undone, self.looked) = (true, false, false);
                    self.creates_here = true;
                }
                if self.doubt.is_serious() {
                    self.handler.metrics.ambiguous();
                }
                Err(failure.into())
            }
        }
    }

    /// Whether a create may still be begun.
    fn in_time(&self) -> Result<(), Setback> {
        if self.time_left().is_some_and(|left| left.is_zero()) {
            return Err(Setback::Expired);
        }
        if self.stop.is_cancelled() {
            return Err(Setback::Stopped);
        }
        Ok(())
    }

    /// Waits until a call that nobody has heard from must be over.
    async fn settle(&self) -> Result<(), Setback> {
        match self.handler.rules.policy.place(self.doubt.unsettled(), self.started.elapsed()) {
            Wait::Held(delay) => self.sleep(delay).await,
            Wait::Queued(tier) => Err(Setback::Unsettled(tier)),
        }
    }

    pub(super) async fn sleep(&self, delay: Duration) -> Result<(), Setback> {
        let slept = self.stop.run_until_cancelled(tokio::time::sleep(delay)).await;
        slept.ok_or(Setback::Stopped)
    }

    /// How long to wait in hand before the next attempt; else, how the job ends here.
    fn after(&mut self, failure: Failure) -> Result<(Duration, Failure), Handled> {
        let attempts = self.attempts.made();
        let in_doubt = self.doubt.is_serious();
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
        traces::retry(attempts, failure.kind.as_str(), failure.kind.verdict(), wait.delay(), wait.place());
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
            Wait::Queued(tier) => Err(self.later(tier, attempts, Some(failure))),
        }
    }

    /// The worker is stopping. What has been tried is not forgotten; what has not goes back as it came.
    fn stopped(&self, remaining: Duration, failure: Option<Failure>) -> Handled {
        let attempts = self.attempts.made();
        if attempts == self.past.attempts {
            return Handled::HandedBack;
        }
        self.later(Tier::at_least(remaining), attempts, failure)
    }

    pub(super) fn later(&self, tier: Tier, attempts: u32, failure: Option<Failure>) -> Handled {
        Handled::Later { tier, attempts, failure, learned: self.learned() }
    }

    pub(super) fn learned(&self) -> Learned {
        // Look-ups that found nothing after every call was over have shown that none did anything.
        let undone = self.undone || (self.doubted && !self.doubt.is_serious());
        Learned { unsettled: self.doubt.unsettled(), undone, looked: self.looked, tried: self.tried }
    }

    /// A job that ends in doubt because of a limit is looked for once more: its last attempt may have done it.
    async fn unless_found(&mut self, end: Handled) -> Handled {
        if !matches!(end, Handled::Failed { in_doubt: true, limit: Some(_), .. }) {
            return end;
        }
        match self.look_up().await {
            Ok(Some(created)) => {
                Handled::Created { created, recovered: true, attempts: self.attempts.made() }
            }
            Ok(None) | Err(_) => end,
        }
    }

    /// What a failed create may have done. A gateway that gave up, or a service that did, has not heard the end of it.
    fn doubt_after(&self, failure: &Failure) -> Doubt {
        let unheard = matches!(failure.kind, FailureKind::Timeout | FailureKind::NoAnswer)
            || matches!(failure.http_status, Some(408 | 502 | 504));
        match failure.kind.verdict() {
            Verdict::Reconcile if unheard => Doubt::Open(Instant::now() + self.handler.settle()),
            Verdict::Reconcile => Doubt::Settled,
            // Whoever answered has created nothing. But a firewall may have taken Flow Service's answer away.
            Verdict::Retry if failure.kind == FailureKind::ForeignAnswer => Doubt::Unlikely,
            Verdict::Retry | Verdict::Fail => Doubt::None,
        }
    }

    pub(super) fn time_left(&self) -> Option<Duration> {
        Some(self.time_left?.saturating_sub(self.started.elapsed()))
    }
}

/// The time since an instant; none if it seems to lie ahead, because clocks differ.
pub(super) fn since(instant: Timestamp) -> Duration {
    Duration::try_from(clock::now().duration_since(instant)).unwrap_or_default()
}
