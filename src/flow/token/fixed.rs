//! A token that someone else issues: given once, or kept fresh in a file by another program.

use std::sync::{Arc, Mutex, PoisonError};

use secrecy::ExposeSecret;

use super::AccessToken;
use crate::flow::http::BuildError;
use crate::flow::{Failure, FailureKind};
use crate::secret::SecretSource;
use crate::telemetry::Chain;

/// Holds the token as it was last read.
pub(super) struct FixedToken {
    source: SecretSource,
    held: Mutex<Arc<AccessToken>>,
}

impl FixedToken {
    pub(super) fn new(source: SecretSource) -> Result<Self, BuildError> {
        let value = source.read().map_err(|source| BuildError::Secret { name: "ACCESS_TOKEN", source })?;
        let token = AccessToken::new(1, value).map_err(|_| BuildError::Header("ACCESS_TOKEN"))?;
        Ok(Self { source, held: Mutex::new(Arc::new(token)) })
    }

    pub(super) fn current(&self) -> Arc<AccessToken> {
        Arc::clone(&self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the token again. The file is local and small, so this blocks for no longer than a log line does.
    pub(super) fn renew(&self, refused: &AccessToken) -> Result<Option<Arc<AccessToken>>, Failure> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.number != refused.number {
            return Ok(Some(Arc::clone(&held)));
        }
        let unavailable = |why: String| Failure::new(FailureKind::TokenUnavailable, why);
        // A file that is being replaced can be away or empty for a moment.
        let value = self.source.read().map_err(|error| unavailable(Chain(&error).to_string()))?;
        if value.expose_secret() == held.value.expose_secret() {
            return Ok(None);
        }
        let token =
            AccessToken::new(held.number + 1, value).map_err(|error| unavailable(error.to_string()))?;
        tracing::info!("the access token was refused, its file holds another one");
        *held = Arc::new(token);
        Ok(Some(Arc::clone(&held)))
    }
}
