//! Keeps one token for everyone, and sees to it that one caller at a time fetches the next.
//!
//! Knows when a token is due, not where it comes from: that is [`Issue`], so that time can be fake in tests.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use secrecy::SecretString;
use tokio::sync::MutexGuard;
use tokio::time::Instant;

use super::AccessToken;
use crate::contract::ids::ImsOrgId;
use crate::flow::{Failure, FailureKind};
use crate::metrics::http::HttpMetrics;

/// A token is replaced this long before it expires: a call that starts with it must also end with it, and IMS may be down
/// for a while.
const MARGIN: Duration = Duration::from_secs(5 * 60);

/// A token that lives so short that [`MARGIN`] would eat most of it is replaced after four fifths of its life.
const SHORT_LIFE: f64 = 0.8;

/// A token "good for 0 s" would have us ask for one for each call.
const MIN_LIFETIME: Duration = Duration::from_secs(1);

/// After a failed fetch everyone gets the same failure for this long, or for as long as IMS asked for: those who waited
/// for the fetch must not each try again, one after the other, while IMS is down.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Whatever IMS asks for, it is tried again after this.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// A token that replaced a refused one is not itself replaced for this long. Where every token is refused (an organisation
/// that the worker has no access to) each job would otherwise cost a token, and Adobe throttles clients that ask for many.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(10);

/// Where tokens come from.
pub(super) trait Issue: Send + Sync {
    /// Fetches a token.
    fn issue(&self) -> impl Future<Output = Result<Issued, Failure>> + Send;
}

/// A token that was issued just now.
pub(super) struct Issued {
    pub(super) value: SecretString,
    pub(super) lifetime: Duration,
}

/// The token that everyone uses.
pub(super) struct Cache<I> {
    issuer: I,
    metrics: HttpMetrics,
    /// Whose token it is, if it is of one organisation: for the log.
    owner: Option<ImsOrgId>,
    held: Mutex<Option<Held>>,
    /// Held while a token is fetched.
    fetching: tokio::sync::Mutex<Fetching>,
}

#[derive(Clone)]
struct Held {
    token: Arc<AccessToken>,
    due: Instant,
    expires: Instant,
}

#[derive(Default)]
struct Fetching {
    issued: u64,
    failed: Option<(Instant, Failure)>,
    /// When a refused token was last replaced.
    renewed: Option<Instant>,
}

impl<I: Issue> Cache<I> {
    pub(super) fn new(issuer: I, metrics: HttpMetrics, owner: Option<ImsOrgId>) -> Self {
        let (held, fetching) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { issuer, metrics, owner, held, fetching }
    }

    fn owner(&self) -> Option<&str> {
        self.owner.as_ref().map(ImsOrgId::as_str)
    }

    pub(super) fn issuer(&self) -> &I {
        &self.issuer
    }

    /// How long the token that is good now stays so.
    pub(super) fn left(&self) -> Option<Duration> {
        self.valid().map(|held| held.expires.saturating_duration_since(Instant::now()))
    }

    /// Whether there is a token that is good now.
    pub(super) fn is_ready(&self) -> bool {
        self.valid().is_some()
    }

    /// A token that is good now. When it is due, one caller replaces it while the others go on with it.
    pub(super) async fn current(&self) -> Result<Arc<AccessToken>, Failure> {
        match self.valid() {
            Some(held) if Instant::now() < held.due => return Ok(held.token),
            Some(held) => {
                let Ok(fetching) = self.fetching.try_lock() else { return Ok(held.token) };
                return Ok(self.replace_early(held, fetching).await);
            }
            None => {}
        }
        let mut fetching = self.fetching.lock().await;
        match self.valid() {
            Some(held) => Ok(held.token), // someone else fetched it while we waited
            None => self.fetch(&mut fetching).await,
        }
    }

    /// Another token than the refused one; `None` if that was itself fetched to replace a refused one, just now.
    pub(super) async fn renew(&self, refused: &AccessToken) -> Result<Option<Arc<AccessToken>>, Failure> {
        let mut fetching = self.fetching.lock().await;
        let renewed_just_now = fetching.renewed.is_some_and(|at| at.elapsed() < RENEWAL_INTERVAL);
        match self.valid() {
            Some(held) if held.token.number != refused.number => return Ok(Some(held.token)),
            Some(_) if renewed_just_now => return Ok(None),
            _ => {}
        }
        let token = self.fetch(&mut fetching).await?;
        fetching.renewed = Some(Instant::now());
        Ok(Some(token))
    }

    /// Tries to replace a token that still is good, and goes on with it if that fails.
    async fn replace_early(&self, held: Held, mut fetching: MutexGuard<'_, Fetching>) -> Arc<AccessToken> {
        // Between looking at the token and getting the lock, someone else may have replaced it.
        if let Some(now) = self.valid().filter(|now| now.token.number != held.token.number) {
            return now.token;
        }
        match self.fetch(&mut fetching).await {
            Ok(token) => token,
            Err(failure) => {
                let left = held.expires.saturating_duration_since(Instant::now());
                let pause = (left / 10).max(PAUSE_AFTER_FAILURE);
                tracing::warn!(
                    ims_org_id = self.owner(), failure = %failure, expires_in = ?left, next_try_in = ?pause,
                    "cannot renew the access token yet, going on with the old one"
                );
                self.hold(Held { due: Instant::now() + pause, ..held.clone() });
                held.token
            }
        }
    }

    /// Fetches a token, unless that has failed just now. Whoever calls this holds the lock.
    async fn fetch(&self, fetching: &mut Fetching) -> Result<Arc<AccessToken>, Failure> {
        if let Some(failure) = fetching.recent_failure() {
            return Err(failure);
        }
        let issued = self.issuer.issue().await.and_then(|issued| {
            fetching.issued += 1;
            let token = AccessToken::new(fetching.issued, issued.value)
                .map_err(|error| Failure::new(FailureKind::TokenUnavailable, error.to_string()))?;
            Ok((Arc::new(token), issued.lifetime.max(MIN_LIFETIME)))
        });
        match issued {
            Ok((token, lifetime)) => {
                fetching.failed = None;
                self.store(&token, lifetime);
                Ok(token)
            }
            Err(failure) => {
                self.metrics.token_refresh_failed();
                fetching.failed = Some((Instant::now(), failure.clone()));
                Err(failure)
            }
        }
    }

    fn store(&self, token: &Arc<AccessToken>, lifetime: Duration) {
        let now = Instant::now();
        let due = lifetime.saturating_sub(MARGIN).max(lifetime.mul_f64(SHORT_LIFE));
        self.hold(Held { token: Arc::clone(token), due: now + due, expires: now + lifetime });
        let unix_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.metrics.token_refreshed((unix_time + lifetime).as_secs_f64());
        tracing::info!(ims_org_id = self.owner(), ?lifetime, "IMS issued an access token");
    }

    fn hold(&self, held: Held) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
    }

    fn valid(&self) -> Option<Held> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.clone().filter(|held| Instant::now() < held.expires)
    }
}

impl Fetching {
    /// The last failure, while it is too early to try again.
    fn recent_failure(&self) -> Option<Failure> {
        let (at, failure) = self.failed.as_ref()?;
        let pause = failure.retry_after.unwrap_or_default().clamp(PAUSE_AFTER_FAILURE, MAX_PAUSE);
        let passed = at.elapsed();
        let left = pause.checked_sub(passed).filter(|left| !left.is_zero())?;
        let retry_after = failure.retry_after.map(|after| after.saturating_sub(passed).max(left));
        Some(Failure { retry_after, ..failure.clone() })
    }
}

#[cfg(test)]
#[path = "cache/tests.rs"]
mod tests;
