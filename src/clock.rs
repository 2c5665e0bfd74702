//! The time of day, from one place.
//!
//! How long things take is told by tokio's clock, which a test can pause. The time of day stands in messages, and goes on by
//! the system's clock, unless a simulation has tied it to tokio's.

use std::cell::Cell;

use jiff::Timestamp;
use tokio::time::Instant;

thread_local! {
    /// A time of day and the moment at which it was, if this thread simulates.
    static TIED: Cell<Option<(Timestamp, Instant)>> = const { Cell::new(None) };
}

/// The time of day.
pub fn now() -> Timestamp {
    match TIED.get() {
        None => Timestamp::now(),
        Some((then, at)) => then.checked_add(at.elapsed()).unwrap_or(then),
    }
}

/// From now on the time of day on this thread is `then`, and goes on by tokio's clock: for simulations.
pub fn tie(then: Timestamp) {
    TIED.set(Some((then, Instant::now())));
}
