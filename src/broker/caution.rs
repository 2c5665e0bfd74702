//! How long a session takes fewer jobs at a time than it may. Pure but for the clock: told what came, asked whether it is
//! over.

use std::time::Duration;

use tokio::time::Instant;

/// Nothing came for so long: then no job is to be expected that could end the session.
const QUIET: Duration = Duration::from_secs(5);

/// After a suspect there are few jobs in hand for so long. Suspects come in groups, because a worker that ends leaves all
/// that it had in hand; those that arrived with this one come back within 10 seconds.
const AFTER_SUSPECT: Duration = Duration::from_secs(15);

/// It takes no longer than this, however many come.
const SUSPECTS_MAX: Duration = Duration::from_secs(60);

/// Why a session is careful, by what ends that.
#[derive(Debug)]
pub(super) enum Caution {
    /// Until so many jobs have come, or none for a while.
    Jobs { left: u16, last: Instant },
    /// Until then, which may be put off to the latest.
    Time { until: Instant, latest: Instant },
}

impl Caution {
    /// After a session that was ended by one of `jobs` jobs.
    pub(super) fn for_jobs(jobs: u16) -> Self {
        Self::Jobs { left: jobs, last: Instant::now() }
    }

    /// After a suspect for which room was made. The longest time counts from the first of them, if the session was careful
    /// for such a reason `before`.
    pub(super) fn for_suspects(before: Option<&Self>) -> Self {
        let now = Instant::now();
        let latest = match before {
            Some(Self::Time { latest, .. }) => *latest,
            Some(Self::Jobs { .. }) | None => now + SUSPECTS_MAX,
        };
        Self::Time { until: latest.min(now + AFTER_SUSPECT), latest }
    }

    /// A job came, or the end of the session.
    pub(super) fn job_came(&mut self) {
        if let Self::Jobs { left, last } = self {
            (*left, *last) = (left.saturating_sub(1), Instant::now());
        }
    }

    /// A suspect came. To a caution that waits for jobs it is one like any other.
    pub(super) fn suspect_came(&mut self) {
        if let Self::Time { until, latest } = self {
            *until = (*latest).min(Instant::now() + AFTER_SUSPECT);
        }
    }

    /// Whether the session may go on as any other.
    ///
    /// `in_hand` says whether a job is still being worked on: then no other can come, and the quiet means nothing.
    pub(super) fn is_over(&self, in_hand: bool) -> bool {
        match self {
            Self::Jobs { left, last } => *left == 0 || (!in_hand && last.elapsed() >= QUIET),
            Self::Time { until, .. } => Instant::now() >= *until,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    /// Whether it ends so many seconds from now, no earlier and no later.
    async fn ends_after(seconds: u64, caution: &Caution, in_hand: bool) -> bool {
        advance(Duration::from_millis(seconds * 1000 - 1)).await;
        let too_early = caution.is_over(in_hand);
        advance(Duration::from_millis(1)).await;
        !too_early && caution.is_over(in_hand)
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_over_when_as_many_jobs_have_come_as_could_be_to_blame() {
        let mut caution = Caution::for_jobs(3);
        for _ in 0..3 {
            assert!(!caution.is_over(true) && !caution.is_over(false));
            caution.job_came();
        }
        assert!(caution.is_over(true) && caution.is_over(false));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_over_when_no_job_came_for_five_seconds() {
        assert!(ends_after(5, &Caution::for_jobs(3), false).await);
        let mut caution = Caution::for_jobs(3);
        advance(Duration::from_secs(4)).await;
        caution.job_came();
        assert!(ends_after(5, &caution, false).await, "the quiet begins anew with each job");
    }

    #[tokio::test(start_paused = true)]
    async fn the_quiet_means_nothing_while_a_job_is_in_hand() {
        let caution = Caution::for_jobs(3);
        advance(Duration::from_secs(3600)).await;
        assert!(!caution.is_over(true));
        assert!(caution.is_over(false));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_over_fifteen_seconds_after_the_last_suspect_whatever_is_in_hand() {
        assert!(ends_after(15, &Caution::for_suspects(None), false).await);
        let mut caution = Caution::for_suspects(None);
        advance(Duration::from_secs(10)).await;
        caution.suspect_came();
        assert!(ends_after(15, &caution, true).await);
    }

    #[tokio::test(start_paused = true)]
    async fn other_jobs_neither_end_nor_prolong_it_after_a_suspect() {
        let mut caution = Caution::for_suspects(None);
        advance(Duration::from_secs(10)).await;
        caution.job_came();
        assert!(ends_after(5, &caution, false).await);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_over_after_a_minute_however_many_suspects_come() {
        let mut caution = Caution::for_suspects(None);
        for _ in 0..5 {
            advance(Duration::from_secs(10)).await;
            caution.suspect_came();
            assert!(!caution.is_over(false));
        }
        assert!(ends_after(10, &caution, false).await);
        caution.suspect_came();
        assert!(caution.is_over(false), "one more does not begin it anew");
    }

    #[tokio::test(start_paused = true)]
    async fn room_for_a_further_suspect_does_not_begin_the_minute_anew() {
        let mut caution = Caution::for_suspects(None);
        for _ in 0..5 {
            advance(Duration::from_secs(10)).await;
            caution = Caution::for_suspects(Some(&caution));
            assert!(!caution.is_over(false));
        }
        assert!(ends_after(10, &caution, false).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspect_does_not_prolong_the_wait_for_jobs_but_room_for_it_takes_its_place() {
        let mut caution = Caution::for_jobs(1);
        advance(Duration::from_secs(4)).await;
        caution.suspect_came();
        assert!(ends_after(1, &caution, false).await);
        assert!(ends_after(15, &Caution::for_suspects(Some(&caution)), false).await);
    }
}
