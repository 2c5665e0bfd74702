//! How many calls a second are borne: a token bucket, as gateways have it. Pure: told the time.

use std::time::Duration;

use tokio::time::Instant;

/// So much may come at once, of what is borne in a second.
const BURST: f64 = 0.1;

/// What Flow Service bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Calls per second; those beyond are answered 429.
    pub per_second: u32,
    /// Whether such an answer says when to come again (`Retry-After`).
    pub tells_when: bool,
}

/// The calls that are borne now.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: f64,
    tells_when: bool,
    tokens: f64,
    at: Instant,
}

/// A call is not borne.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany {
    /// What `Retry-After` says, in seconds.
    pub(super) retry_after: Option<u64>,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(capacity: Capacity, now: Instant) -> Self {
        let rate = f64::from(capacity.per_second.max(1));
        Self { rate, tells_when: capacity.tells_when, tokens: (rate * BURST).max(1.0), at: now }
    }

    /// Takes a call, if it is borne.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), TooMany> {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.tokens = (self.tokens + passed * self.rate).min((self.rate * BURST).max(1.0));
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let wait = Duration::from_secs_f64((1.0 - self.tokens) / self.rate);
        // Whole seconds are all that the header can say.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Err(TooMany { retry_after: self.tells_when.then_some(seconds) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_calls_are_borne_in_a_second_and_a_tenth_of_them_at_once() {
        let mut now = Instant::now();
        let mut bucket = Bucket::new(Capacity { per_second: 100, tells_when: true }, now);
        assert_eq!((0..50).filter(|_| bucket.take(now).is_ok()).count(), 10);
        assert_eq!(bucket.take(now), Err(TooMany { retry_after: Some(1) }));
        let borne = (0..10_000).filter(|_| {
            now += Duration::from_millis(1);
            bucket.take(now).is_ok()
        });
        assert!((999..=1_001).contains(&borne.count()));
        now += Duration::from_secs(3600);
        assert_eq!((0..50).filter(|_| bucket.take(now).is_ok()).count(), 10, "no more than at the start");
    }

    #[test]
    fn one_that_does_not_tell_when_does_not() {
        let now = Instant::now();
        let mut bucket = Bucket::new(Capacity { per_second: 1, tells_when: false }, now);
        assert_eq!(bucket.take(now), Ok(()));
        assert_eq!(bucket.take(now), Err(TooMany { retry_after: None }));
    }
}
