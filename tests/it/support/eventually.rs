//! Waiting for a state to be reached: the only way in which a test waits.

use std::fmt::Debug;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

/// The first pause between two looks; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// Bounds what a test loses by looking too late.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// What one look tells: the value that was waited for, or the state that was found instead.
pub(crate) trait Look {
    /// What the wait ends with.
    type Value;

    /// The value, or a description of the state for whoever reads why the test failed.
    fn into_result(self) -> Result<Self::Value, String>;
}

impl Look for bool {
    type Value = ();

    fn into_result(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("false".to_owned()) }
    }
}

impl<T> Look for Option<T> {
    type Value = T;

    fn into_result(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing".to_owned())
    }
}

impl<T, E: Debug> Look for Result<T, E> {
    type Value = T;

    fn into_result(self) -> Result<T, String> {
        self.map_err(|state| format!("{state:?}"))
    }
}

/// Looks until there is `true`, `Some` or `Ok`; fails the test with `what` and the last state when `patience` runs out.
///
/// A look that hangs counts as a state too: it is abandoned at the deadline.
pub(crate) async fn eventually<L: Look>(
    what: &str,
    patience: Duration,
    mut look: impl AsyncFnMut() -> L,
) -> L::Value {
    let deadline = Instant::now() + patience;
    let mut pause = FIRST_PAUSE;
    let mut last = "nothing yet".to_owned();
    loop {
        let Ok(seen) = timeout_at(deadline, look()).await else {
            panic!(
                "{what}: not within {patience:?}; the last look did not return, the one before saw: {last}"
            );
        };
        match seen.into_result() {
            Ok(value) => return value,
            Err(state) => last = state,
        }
        assert!(Instant::now() < deadline, "{what}: not within {patience:?}; last seen: {last}");
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
