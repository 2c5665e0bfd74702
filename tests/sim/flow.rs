//! A Flow Service in memory: parts of it fall ill and recover, and it knows the truth about every connection.

pub(crate) mod door;
pub(crate) mod illness;
mod tokens;
pub(crate) mod truth;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::illness::Weather;
use self::truth::Truth;
use crate::trace::Trace;

/// The service. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Flow(Arc<Mutex<Truth>>);

impl Flow {
    pub(crate) fn new(seed: u64, weather: Weather, trace: Trace) -> Self {
        Self(Arc::new(Mutex::new(Truth::new(seed, weather, trace))))
    }

    pub(crate) fn truth(&self) -> MutexGuard<'_, Truth> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
