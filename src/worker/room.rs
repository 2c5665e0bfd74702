//! How often the jobs in hand have to make room for a suspect. Whoever can publish jobs can make a suspect, so the others
//! have most of the time to themselves.

use std::time::Duration;

use tokio::time::Instant;

/// Suspects have a minute at the most, and the others as long again.
const EVERY: Duration = Duration::from_secs(120);

/// When room was made.
#[derive(Debug, Default)]
pub(super) struct Room {
    last: Option<Instant>,
}

impl Room {
    /// Whether it may be made now. In a careful session there are few others, and more room takes nothing from them.
    pub(super) fn may_be_made(&self, careful: bool) -> bool {
        careful || self.last.is_none_or(|last| last.elapsed() >= EVERY)
    }

    /// It is made; what is made in a careful session does not count.
    pub(super) fn made(&mut self, careful: bool) {
        if !careful {
            self.last = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn room_is_made_at_once_and_then_every_two_minutes_at_the_most() {
        let mut room = Room::default();
        for _ in 0..3 {
            assert!(room.may_be_made(false));
            room.made(false);
            advance(Duration::from_millis(119_999)).await;
            assert!(!room.may_be_made(false));
            advance(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_careful_session_it_may_always_be_made_and_does_not_count() {
        let mut room = Room::default();
        room.made(false);
        advance(Duration::from_secs(60)).await;
        assert!(room.may_be_made(true));
        room.made(true);
        advance(Duration::from_secs(60)).await;
        assert!(room.may_be_made(false), "two minutes after the first");
    }
}
