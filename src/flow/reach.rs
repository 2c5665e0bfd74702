//! Whether a server answers at all, and what its clock says. For tools: asks without credentials, for nothing.

use std::time::{Duration, SystemTime};

use url::Url;

use super::Failure;
use super::client::no_answer;
use super::http::{BuildError, Limits, client, endpoint, exchange};
use super::redact::Redactor;

/// What is read of an answer that nobody is interested in.
const MAX_BODY: usize = 1024;

/// `Date` has whole seconds: on the average it is half of one behind.
const HALF_A_SECOND: f64 = 0.5;

/// An answer, whatever it says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reached {
    /// How long it took.
    pub took: Duration,
    /// By how many seconds this machine's clock is ahead of the server's (RFC 9110, section 6.6.1); right to about a
    /// second and half of the time that the answer took. Nothing if the answer has no date.
    pub ahead: Option<f64>,
}

/// Why nobody answered.
#[derive(Debug, thiserror::Error)]
pub enum Unreached {
    /// HTTPS cannot be set up, or the address is none.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// There was no answer.
    #[error("{0}")]
    Failed(Failure),
}

/// Asks a server for its base address, which `setting` holds, with a deadline for all of it.
pub async fn reach(
    who: &str,
    setting: &'static str,
    base: &Url,
    timeout: Duration,
) -> Result<Reached, Unreached> {
    let http = client(base, Limits { timeout, connect_timeout: timeout, max_idle: 0 })?;
    let (asked, started) = (SystemTime::now(), tokio::time::Instant::now());
    let answer = exchange(http.get(endpoint(setting, base, &[])?), MAX_BODY)
        .await
        .map_err(|error| Unreached::Failed(no_answer(who, &error, &Redactor::empty())))?;
    let took = started.elapsed();
    let ahead = answer.date().map(|date| seconds_from(date, asked + took / 2) - HALF_A_SECOND);
    Ok(Reached { took, ahead })
}

/// The time from one instant to another, negative if that was before.
fn seconds_from(from: SystemTime, to: SystemTime) -> f64 {
    match to.duration_since(from) {
        Ok(later) => later.as_secs_f64(),
        Err(earlier) => -earlier.duration().as_secs_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_can_be_ahead_or_behind() {
        let now = SystemTime::now();
        let minute = Duration::from_secs(60);
        assert!((seconds_from(now - minute, now) - 60.0).abs() < 1e-6);
        assert!((seconds_from(now + minute, now) + 60.0).abs() < 1e-6);
    }
}
