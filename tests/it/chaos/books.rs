//! What the workers of a storm have counted, held against the ledger.
//!
//! A worker that is still there at the end shows its metrics. One that was killed has taken them along: in their place
//! stands what it logged, a line for each job.

use super::ledger::{Balance, Ledger};
use crate::support::counters::Counters;

/// Jobs in the hands of one worker at the most, whose end it may not have come to tell: `CONCURRENCY`.
const IN_HAND: u64 = 32;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Books {
    counters: Counters,
    logged: Told,
    /// Jobs whose end a worker that is gone may have kept to itself.
    untold: u64,
}

/// Ends of jobs.
#[derive(Debug, Default, Clone, Copy)]
struct Told {
    created: u64,
    failed: u64,
    dead: u64,
}

impl Books {
    /// A worker that was there until all was done.
    pub(super) fn add_page(&mut self, page: &str) {
        self.counters.add(page);
    }

    /// A worker that was killed, or stopped in the middle of the storm. With each of its sessions it may have lost as many
    /// jobs as it can hold.
    pub(super) fn add_log(&mut self, log: &str) {
        self.untold += IN_HAND;
        for line in log.lines() {
            let says = |text: &str| line.contains(text);
            let done = says(r#""message":"job done""#) && !says(r#""outcome":"abandoned""#);
            if says(r#""message":"no broker session"#) {
                self.untold += IN_HAND;
            } else if done && says(r#""connection_id":"#) {
                self.logged.created += 1;
            } else if done && says(r#""code":""#) {
                self.logged.failed += 1;
                self.logged.dead += u64::from(says(r#""parked":""#));
            }
        }
    }

    /// Nothing is counted that did not happen, and nothing happened that is not counted, but for what workers could not know
    /// or tell.
    pub(super) fn assert_agree(&self, ledger: &Ledger, balance: &Balance) {
        let counters = &self.counters;
        let created = counters.sum("jobs_completed_total", &[r#"outcome="created""#]);
        let failed = counters.answered() - created;
        let dead = counters.sum("dead_lettered_total", &[]);
        let unknown = self.untold + counters.unconfirmed("reply") + counters.abandoned();
        let (replies_created, replies_failed) = ledger.replies();
        let letters: usize = balance.dead.values().sum();
        let failed_jobs: usize = balance.failed.values().sum();
        let number = |count: usize| u64::try_from(count).expect("a small number");
        for (what, counted, jobs, seen) in [
            ("created", created + self.logged.created, number(balance.created), replies_created),
            ("failed", failed + self.logged.failed, number(failed_jobs), replies_failed),
            ("dead letters", dead + self.logged.dead, number(letters), number(letters)),
        ] {
            assert!(counted <= seen, "{what}: {counted} are counted, and {seen} were seen: {self:?}");
            let most = counted + unknown;
            assert!(jobs <= most, "{what}: {jobs} jobs, and {counted} to {most} are counted: {self:?}");
        }
    }
}

#[test]
fn a_log_tells_what_a_worker_has_done() {
    let mut books = Books::default();
    books.add_log(concat!(
        r#"{"message":"job done","outcome":"created","connection_id":"c"}"#,
        "\n",
        r#"{"message":"job done","outcome":"abandoned","connection_id":"c"}"#,
        "\n",
        r#"{"message":"job done","outcome":"unavailable","code":"unavailable","parked":"exhausted"}"#,
        "\n",
        r#"{"message":"no broker session, trying again"}"#,
    ));
    let Told { created, failed, dead } = books.logged;
    assert_eq!((created, failed, dead, books.untold), (1, 1, 1, 2 * IN_HAND));
}
