//! How many of something there were lately. Pure: takes the time as an argument.
//!
//! The sliding window counter of rate limiters: two numbers, whatever the load. What has left the window is taken to have
//! been evenly spread over the one before it.

use std::time::Duration;

use tokio::time::Instant;

/// Counts over a window of time.
#[derive(Debug)]
pub(super) struct WindowCount {
    window: Duration,
    began: Instant,
    count: f64,
    /// How many there were in the window before this one.
    before: f64,
}

impl WindowCount {
    pub(super) fn new(window: Duration, now: Instant) -> Self {
        Self { window, began: now, count: 0.0, before: 0.0 }
    }

    /// One more.
    pub(super) fn add(&mut self, now: Instant) {
        self.roll(now);
        self.count += 1.0;
    }

    /// How many there were within the window that ends now.
    pub(super) fn value(&mut self, now: Instant) -> f64 {
        self.roll(now);
        let passed = now.saturating_duration_since(self.began).div_duration_f64(self.window);
        self.before * (1.0 - passed) + self.count
    }

    fn roll(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.began);
        if passed < self.window {
            return;
        }
        let follows = passed < self.window * 2;
        self.before = if follows { self.count } else { 0.0 };
        self.began = if follows { self.began + self.window } else { now };
        self.count = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_follows_an_even_pace_and_forgets() {
        let start = Instant::now();
        let mut count = WindowCount::new(SECOND, start);
        for number in 0..350_u32 {
            count.add(start + SECOND * number / 100);
        }
        let end = start + SECOND * 7 / 2;
        assert!((count.value(end) - 100.0).abs() < 2.0, "{count:?}");
        assert!((count.value(end + SECOND) - 25.0).abs() < 2.0, "{count:?}");
        assert!(count.value(end + SECOND * 2) < f64::EPSILON, "{count:?}");
    }
}
