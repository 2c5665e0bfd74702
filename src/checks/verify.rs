//! Looking at a connection once it exists: whether it is enabled, and whether it works. It is answered as created in any
//! case; what is found out here only goes along.

use std::time::Duration;

use backon::ExponentialBackoff;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Checks;
use crate::contract::job::Job;
use crate::contract::reply::UnverifiedReason;
use crate::flow::{ConnectionRequest, CreateBody, Created, Failure, FailureKind, FlowApi};
use crate::retry::doubling;
use crate::retry::verdict::Verdict as Outlook;

/// First and highest ceiling of the pause between two looks. Adobe's samples show a provider's second write 3 to 4 s after
/// the create; what is enabled at once costs one look.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));

/// What is looked at after the create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// Nothing.
    Off,
    /// Its state, until that is `enabled`.
    Enabled,
    /// Its test.
    Test,
    /// Its state, and then its test.
    Both,
}

/// What was found out about a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The state that it was last seen in.
    pub state: Option<String>,
    /// Why it is not verified, if it is not.
    pub unverified: Option<UnverifiedReason>,
}

/// How long to go on looking.
struct Patience {
    end: Instant,
    pauses: ExponentialBackoff,
}

impl Patience {
    fn new(time: Duration) -> Self {
        Self { end: Instant::now() + time, pauses: doubling(PAUSES.0, PAUSES.1) }
    }

    /// What is answered, if that comes in time.
    async fn answer<T>(&self, question: impl Future<Output = T>) -> Option<T> {
        timeout_at(self.end, question).await.ok()
    }

    /// Waits before the next look; false if there is to be none.
    async fn pause(&mut self, failure: Option<&Failure>) -> bool {
        // What was just created may not be found at once.
        // Nor is there a use in waiting for checks that are held back: they fail for all.
        let is_held_back =
            |failure: &Failure| failure.kind == FailureKind::Unavailable && failure.http_status.is_none();
        let hopeless = |failure: &Failure| {
            is_held_back(failure)
                || (failure.kind.verdict() == Outlook::Fail && failure.http_status != Some(404))
        };
        if let Some(failure) = failure {
            info!(error = %failure, failure = failure.kind.as_str(), "a look at the connection failed");
            if hopeless(failure) {
                return false;
            }
        }
        let ceiling = self.pauses.next().unwrap_or(PAUSES.1);
        // At least half of it: unlike after a failure, a draw near zero would only be a call in vain.
        let pause = ceiling.mul_f64(0.5 + fastrand::f64() / 2.0);
        let pause = pause.max(failure.and_then(|failure| failure.retry_after).unwrap_or_default());
        if Instant::now() + pause >= self.end {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }
}

impl<F: FlowApi> Checks<F> {
    /// Looks at a connection as the settings say; nothing if they say nothing. Ends early when `stop` is cancelled.
    pub async fn verify(&self, job: &Job, created: &Created, stop: &CancellationToken) -> Option<Verdict> {
        if self.settings.verification == Verification::Off {
            return None;
        }
        let mut state = None;
        // On the heap: it would make the task of every job larger.
        let looking = Box::pin(self.look(job, created, &mut state));
        let looked = stop.run_until_cancelled(looking).await;
        let unverified = looked.unwrap_or(Err(UnverifiedReason::Unavailable)).err();
        self.metrics.verified(unverified);
        if let Some(reason) = unverified {
            warn!(
                connection_id = created.id,
                state,
                reason = reason.as_str(),
                "the connection exists and is not verified"
            );
        }
        Some(Verdict { state, unverified })
    }

    async fn look(
        &self,
        job: &Job,
        created: &Created,
        state: &mut Option<String>,
    ) -> Result<(), UnverifiedReason> {
        let request = ConnectionRequest {
            ims_org_id: job.ims_org_id.clone(),
            sandbox_name: job.sandbox_name.clone(),
            connection_id: created.id.clone(),
            body: CreateBody(job.body.clone()),
        };
        let mut patience = Patience::new(self.settings.verify_timeout);
        let verification = self.settings.verification;
        if matches!(verification, Verification::Enabled | Verification::Both) {
            self.enabled(&request, &mut patience, state).await?;
        }
        if matches!(verification, Verification::Test | Verification::Both) {
            self.tested(&request, &mut patience).await?;
        }
        Ok(())
    }

    /// Looks until the connection is enabled. Any other state but `disabled` may pass.
    async fn enabled(
        &self,
        request: &ConnectionRequest,
        patience: &mut Patience,
        state: &mut Option<String>,
    ) -> Result<(), UnverifiedReason> {
        while let Some(answer) = patience.answer(self.flow.state(request)).await {
            let failure = match answer {
                Ok(seen) => match state.insert(seen).as_str() {
                    "enabled" => return Ok(()),
                    "disabled" => break,
                    _ => None,
                },
                Err(failure) => Some(failure),
            };
            if !patience.pause(failure.as_ref()).await {
                break;
            }
        }
        Err(if state.is_some() { UnverifiedReason::NotEnabled } else { UnverifiedReason::Unavailable })
    }

    /// Has the connection tried until there is an answer, whatever it is.
    async fn tested(
        &self,
        request: &ConnectionRequest,
        patience: &mut Patience,
    ) -> Result<(), UnverifiedReason> {
        while let Some(answer) = patience.answer(self.flow.test(request)).await {
            match answer {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(UnverifiedReason::TestFailed),
                Err(failure) if patience.pause(Some(&failure)).await => {}
                Err(_) => break,
            }
        }
        Err(UnverifiedReason::Unavailable)
    }
}
