//! The tokens of one worker, kept as the product's cache keeps them: fetched by one caller at a time, and not again within a
//! second of a failure.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connection_worker::flow::Failure;
use tokio::time::Instant;

/// A failure is remembered for so long.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// A credential of one or all organisations.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) held: Mutex<bool>,
    pub(super) fetching: tokio::sync::Mutex<Option<(Instant, Failure)>>,
}

impl Slot {
    pub(super) fn is_held(&self) -> bool {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hold(&self, held: bool) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }
}

/// The last failure, while it is too early to try again.
pub(super) fn recent(failed: Option<&(Instant, Failure)>) -> Option<Failure> {
    failed.filter(|(at, _)| at.elapsed() < AFTER_FAILURE).map(|(_, failure)| failure.clone())
}

/// All that one worker has.
#[derive(Debug, Clone, Default)]
pub(super) struct Tokens(Arc<Mutex<BTreeMap<usize, Arc<Slot>>>>);

impl Tokens {
    pub(super) fn of(&self, credential: usize) -> Arc<Slot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(credential).or_default())
    }
}
