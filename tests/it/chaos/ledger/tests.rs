//! The ledger, with events that nobody needs a storm for.

use std::time::Duration;

use super::*;

/// A ledger with these jobs in it, all confirmed.
fn confirmed(jobs: &[&str]) -> Ledger {
    let mut ledger = Ledger::default();
    for job in jobs {
        ledger.sent(job, Instant::now());
        ledger.confirmed(job);
    }
    ledger
}

fn says(says: Says, completed_at: &str) -> Answer {
    let (message_id, completed_at) = ("m".to_owned(), completed_at.to_owned());
    Answer { read: Instant::now(), message_id, says, completed_at }
}

fn created(connection: &str, completed_at: &str) -> Answer {
    says(Says::Created { connection: connection.to_owned(), recovered: false }, completed_at)
}

fn failed(code: &str) -> Answer {
    says(Says::Failed { code: code.to_owned() }, "t")
}

fn connections(made: &[(&str, &str)]) -> Vec<(String, String)> {
    made.iter().map(|(job, id)| ((*job).to_owned(), (*id).to_owned())).collect()
}

#[test]
fn a_job_answered_once_is_all_in_order() {
    let mut ledger = confirmed(&["a"]);
    ledger.answered("a", created("1", "t"), Found::Delivered, false);
    let balance = ledger.balance(&connections(&[("a", "1")]));
    assert!(balance.is_clean() && balance.suspects(9).is_empty(), "{balance:?}");
    assert_eq!(
        (balance.confirmed, balance.answered_once, balance.created, balance.connections),
        (1, 1, 1, 1)
    );
}

#[test]
fn a_confirmed_job_without_a_trace_is_lost() {
    let ledger = confirmed(&["a", "b"]);
    assert_eq!(ledger.open().collect::<Vec<_>>(), ["a", "b"]);
    // That it was created does not help a sender who is not told.
    let balance = ledger.balance(&connections(&[("a", "1")]));
    assert_eq!(balance.lost, ["a", "b"]);
    assert!(!balance.is_clean());
}

#[test]
fn an_unconfirmed_job_is_lost_to_nobody_and_counts_when_it_is_answered() {
    let mut ledger = Ledger::default();
    ledger.sent("gone", Instant::now());
    ledger.sent("there", Instant::now());
    ledger.answered("there", created("1", "t"), Found::Delivered, false);
    let balance = ledger.balance(&connections(&[("there", "1")]));
    assert!(balance.is_clean(), "{balance:?}");
    assert_eq!((balance.confirmed, balance.indeterminate, balance.indeterminate_done), (0, 2, 1));
    assert_eq!(balance.created, 1);
}

#[test]
fn what_may_still_be_answered_is_what_the_broker_has_or_may_still_confirm() {
    let mut ledger = confirmed(&["answered", "open"]);
    ledger.answered("answered", created("1", "t"), Found::Delivered, false);
    for job in ["pending", "gone", "returned"] {
        ledger.sent(job, Instant::now());
    }
    ledger.unconfirmed("gone");
    ledger.returned("returned");
    let moment = Instant::now() + Duration::from_millis(1);
    ledger.sent("late", moment);
    assert_eq!(ledger.open_before(moment).collect::<Vec<_>>(), ["open", "pending"]);
    assert_eq!(ledger.open().collect::<Vec<_>>(), ["open"]);
}

#[test]
fn an_unconfirmed_job_is_held_to_one_connection_too() {
    let mut ledger = Ledger::default();
    ledger.sent("a", Instant::now());
    let balance = ledger.balance(&connections(&[("a", "1"), ("a", "2")]));
    assert_eq!(balance.duplicated, BTreeMap::from([("a".to_owned(), 2)]));
    assert!(!balance.is_clean());
}

#[test]
fn a_second_connection_is_a_duplicate_whatever_was_answered() {
    let mut ledger = confirmed(&["a"]);
    ledger.answered("a", created("1", "t"), Found::Delivered, false);
    let balance = ledger.balance(&connections(&[("a", "1"), ("a", "2"), ("a", "3")]));
    assert_eq!(balance.duplicated, BTreeMap::from([("a".to_owned(), 3)]));
    assert_eq!((balance.extra, balance.answered_once), (2, 1));
    assert_eq!(balance.suspects(9).into_iter().collect::<Vec<_>>(), ["a"]);
    assert!(!balance.is_clean());
}

#[test]
fn a_repeated_answer_with_the_same_connection_is_no_fault() {
    let mut ledger = confirmed(&["a"]);
    ledger.answered("a", created("1", "t1"), Found::Delivered, false);
    ledger.answered("a", created("1", "t2"), Found::Delivered, true);
    let balance = ledger.balance(&connections(&[("a", "1")]));
    assert!(balance.is_clean(), "{balance:?}");
    assert_eq!((balance.answered_once, balance.repeated), (0, 1));
}

#[test]
fn a_reply_that_is_read_again_is_one_reply() {
    let mut ledger = confirmed(&["a"]);
    ledger.answered("a", created("1", "t"), Found::Delivered, false);
    ledger.answered("a", created("1", "t"), Found::Delivered, true);
    let balance = ledger.balance(&connections(&[("a", "1")]));
    assert_eq!((balance.answered_once, balance.repeated), (1, 0));
}

#[test]
fn answers_with_different_connections_conflict() {
    let mut ledger = confirmed(&["a"]);
    ledger.answered("a", created("1", "t1"), Found::Delivered, false);
    ledger.answered("a", created("2", "t2"), Found::Delivered, false);
    let balance = ledger.balance(&connections(&[("a", "1"), ("a", "2")]));
    assert_eq!(balance.conflicting, ["a"]);
    assert!(!balance.is_clean());
}

#[test]
fn answers_under_different_message_ids_conflict() {
    let mut ledger = confirmed(&["a"]);
    ledger.answered("a", created("1", "t1"), Found::Delivered, false);
    let other = Answer { message_id: "n".to_owned(), ..created("1", "t2") };
    ledger.answered("a", other, Found::Delivered, false);
    assert_eq!(ledger.balance(&connections(&[("a", "1")])).conflicting, ["a"]);
}

#[test]
fn a_failure_before_a_connection_is_shown_and_no_conflict() {
    let mut ledger = confirmed(&["a"]);
    ledger.answered("a", failed("ambiguous"), Found::Delivered, false);
    ledger.answered("a", created("1", "t2"), Found::Delivered, false);
    let balance = ledger.balance(&connections(&[("a", "1")]));
    assert!(balance.is_clean(), "{balance:?}");
    assert_eq!((balance.mixed.len(), balance.created, balance.failed.len()), (1, 1, 0));
}

#[test]
fn a_connection_that_is_not_the_jobs_own_misleads() {
    let mut ledger = confirmed(&["a", "b"]);
    ledger.answered("a", created("2", "t"), Found::Delivered, false);
    ledger.answered("b", created("2", "t"), Found::Delivered, false);
    let balance = ledger.balance(&connections(&[("a", "1"), ("b", "2")]));
    assert_eq!(balance.misled, ["a"]);
    assert!(!balance.is_clean());
}

#[test]
fn only_an_uncertain_failure_may_leave_a_connection_behind() {
    let mut ledger = confirmed(&["a", "b", "c"]);
    ledger.answered("a", failed("ambiguous"), Found::Delivered, false);
    ledger.answered("b", failed("unavailable"), Found::Delivered, false);
    ledger.answered("c", failed("unavailable"), Found::Delivered, false);
    let balance = ledger.balance(&connections(&[("a", "1"), ("b", "2")]));
    assert_eq!(balance.denied, ["b"]);
    assert_eq!(balance.failed, BTreeMap::from([("ambiguous".to_owned(), 1), ("unavailable".to_owned(), 2)]));
}

#[test]
fn a_dead_letter_is_no_loss_and_is_counted_by_reason() {
    let mut ledger = confirmed(&["a", "b"]);
    ledger.dead_lettered("a", "retries-exhausted", false);
    ledger.dead_lettered("a", "retries-exhausted", true);
    ledger.dead_lettered("b", "unreadable", false);
    let balance = ledger.balance(&[]);
    assert!(balance.is_clean(), "{balance:?}");
    let expected = BTreeMap::from([("retries-exhausted".to_owned(), 1), ("unreadable".to_owned(), 1)]);
    assert_eq!(balance.dead, expected);
}

#[test]
fn an_undeliverable_reply_answers_and_is_counted() {
    let mut ledger = confirmed(&["a"]);
    ledger.answered("a", created("1", "t"), Found::Undeliverable, false);
    let balance = ledger.balance(&connections(&[("a", "1")]));
    assert_eq!((balance.undeliverable, balance.answered_once), (1, 1));
    assert!(balance.is_clean());
}

#[test]
fn what_nobody_submitted_is_no_part_of_a_clean_balance() {
    let mut ledger = Ledger::default();
    ledger.answered("x", created("1", "t"), Found::Delivered, false);
    let balance = ledger.balance(&connections(&[("y", "1")]));
    assert_eq!(balance.strangers, [r#"a reply to "x""#, r#"a connection of "y""#]);
    assert!(!balance.is_clean());
}

#[tokio::test(start_paused = true)]
async fn recovery_is_measured_with_jobs_submitted_after_the_fault() {
    let mut ledger = confirmed(&["before"]);
    tokio::time::advance(Duration::from_secs(1)).await;
    let healed = Instant::now();
    assert_eq!(ledger.first_answer_after(healed), None);
    ledger.sent("after", Instant::now());
    ledger.answered("before", created("1", "t"), Found::Delivered, false);
    tokio::time::advance(Duration::from_secs(2)).await;
    ledger.answered("after", created("2", "t"), Found::Delivered, false);
    assert_eq!(ledger.first_answer_after(healed), Some(healed + Duration::from_secs(2)));
}
