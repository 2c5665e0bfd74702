//! What may have been done is looked for before it is done again.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::SECOND;
use super::script::{
    Script, absent, created, failed, failed_asking, failed_with, found, no_look, no_look_asking, policy,
    rules,
};
use crate::flow::FailureKind;
use crate::handler::{Handled, Past};
use crate::retry::doubt::Doubt;
use crate::retry::policy::Limit;
use crate::retry::tier::Tier;

/// Of a job that was delivered just before.
fn redelivered() -> Past {
    Past { doubt: Doubt::Open(Instant::now() + rules().lookups.settle), ..Past::NONE }
}

fn id_and_recovered(outcome: &Handled) -> (&str, bool) {
    match outcome {
        Handled::Created { created, recovered, .. } => (&created.id, *recovered),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_looked_for_and_found() {
    for kind in
        [FailureKind::Timeout, FailureKind::NoAnswer, FailureKind::ServerError, FailureKind::Unreadable]
    {
        let script = Script::new([failed(kind), found("c-1", &[])]);
        let outcome = script.handle(Past::NONE, None).await;
        assert_eq!(id_and_recovered(&outcome), ("c-1", true), "{kind:?}");
        assert_eq!(script.creates(), 1, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_looked_for_again_before_it_is_created_again() {
    let script = Script::new([
        failed(FailureKind::ServerError),
        absent(),
        absent(),
        created("c-2"),
        found("c-2", &[]),
    ]);
    let outcome = script.handle(Past::NONE, None).await;
    assert_eq!(id_and_recovered(&outcome), ("c-2", false));
    let finds = script.finds();
    assert!(finds[1] - finds[0] >= SECOND);
    assert!(script.counts("creates_in_doubt_total 1"));
    assert!(script.counts("lookups_total{result=\"absent\"} 2"));
}

#[tokio::test(start_paused = true)]
async fn two_copies_do_not_look_in_step_before_they_create() {
    let mut pauses = Vec::new();
    for _ in 0..20 {
        let script = Script::new([absent(), absent(), created("c-1"), absent()]);
        let outcome = script.handle(Past { doubt: Doubt::Settled, ..Past::NONE }, None).await;
        assert_eq!(id_and_recovered(&outcome), ("c-1", false));
        let finds = script.finds();
        pauses.push(finds[1] - finds[0]);
    }
    let (shortest, longest) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
    assert!(*shortest >= SECOND && *longest <= SECOND * 3 / 2 + Duration::from_millis(5), "{pauses:?}");
    assert!(*longest >= *shortest + SECOND / 10, "{pauses:?}");
}

/// Nobody has heard how the call ended, so it may take effect after the first look-ups.
#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_gets_time_to_take_effect() {
    for answers in [
        vec![failed(FailureKind::NoAnswer), absent(), absent(), found("c-1", &[])],
        vec![absent(), absent(), found("c-1", &[])],
    ] {
        let past = if answers.len() == 4 { Past::NONE } else { redelivered() };
        let script = Script::new(answers);
        let outcome = script.handle(past, None).await;
        assert_eq!(id_and_recovered(&outcome), ("c-1", true));
        let finds = script.finds();
        assert!(finds[2] - finds[0] >= Duration::from_millis(4_900));
    }
}

#[tokio::test(start_paused = true)]
async fn a_redelivered_job_is_looked_for_and_one_that_carries_attempts_too() {
    for doubt in [redelivered().doubt, Doubt::Settled] {
        let script = Script::new([found("c-1", &[])]);
        let outcome = script.handle(Past { doubt, attempts: 2, ..Past::NONE }, None).await;
        assert!(matches!(outcome, Handled::Created { attempts: 3, recovered: true, .. }), "{outcome:?}");
        assert_eq!(script.creates(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_fails_is_repeated_and_nothing_is_created_meanwhile() {
    let script =
        Script::new([no_look(FailureKind::ServerError), no_look(FailureKind::NotSent), found("c-1", &[])]);
    let outcome = script.handle(redelivered(), None).await;
    assert_eq!(id_and_recovered(&outcome), ("c-1", true));
}

/// A job whose every call is never heard of again needs as many calls as `retry-plan` says, and no more.
#[tokio::test(start_paused = true)]
async fn the_most_look_ups_are_as_many_as_the_plan_says() {
    let lookups = rules().lookups;
    let looks = usize::try_from(lookups.looks).unwrap();
    let again = (1..policy().max_attempts)
        .flat_map(|_| (0..2 * looks).map(|_| absent()).chain([failed(FailureKind::Timeout)]));
    let answers = [failed(FailureKind::Timeout)].into_iter().chain(again).chain((0..looks).map(|_| absent()));
    let script = Script::new(answers);
    let outcome = script.handle(Past::NONE, None).await;
    assert!(matches!(outcome, Handled::Failed { in_doubt: true, attempts: 4, .. }), "{outcome:?}");
    assert!(script.is_over());
    assert_eq!(script.finds().len(), usize::try_from(lookups.most(policy().max_attempts)).unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_stays_unknown_is_ambiguous_and_not_created() {
    let script = Script::new((0..5).map(|_| no_look(FailureKind::NotSent)));
    let outcome = script.handle(redelivered(), None).await;
    let expected =
        matches!(outcome, Handled::Failed { in_doubt: true, limit: Some(Limit::Attempts), attempts: 4, .. });
    assert!(expected, "{outcome:?}");

    let refused = Script::new([no_look(FailureKind::Unauthorized)]);
    let outcome = refused.handle(redelivered(), None).await;
    assert!(matches!(outcome, Handled::Failed { in_doubt: true, limit: None, .. }), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn the_last_attempt_is_looked_for_too() {
    let script = Script::new([failed(FailureKind::NoAnswer), found("c-1", &[])]);
    let outcome = script.handle(Past { attempts: 3, ..Past::NONE }, None).await;
    assert_eq!(id_and_recovered(&outcome), ("c-1", true));
}

/// A gateway that gave up has not heard how the call ended, and neither has anybody else.
#[tokio::test(start_paused = true)]
async fn a_gateways_time_out_leaves_the_call_under_way() {
    for status in [408, 502, 504] {
        let script = Script::new([
            failed_with(FailureKind::ServerError, status),
            absent(),
            absent(),
            found("c-1", &[]),
        ]);
        assert_eq!(id_and_recovered(&script.handle(Past::NONE, None).await), ("c-1", true), "{status}");
    }
}

/// A refusal in between resolves nothing: the create that follows may still be the second one.
#[tokio::test(start_paused = true)]
async fn a_doubt_is_counted_even_if_the_create_takes_two_tries() {
    let script = Script::new([
        absent(),
        absent(),
        failed(FailureKind::Unavailable),
        created("c-2"),
        found("c-2", &[]),
    ]);
    let past = Past { doubt: Doubt::Settled, ..Past::NONE };
    assert_eq!(id_and_recovered(&script.handle(past, None).await), ("c-2", false));
    assert!(script.counts("creates_in_doubt_total 1"));
}

#[tokio::test(start_paused = true)]
async fn no_create_is_begun_after_a_stop_during_the_look_up() {
    let script = Script::new([absent(), absent()]);
    let stop = CancellationToken::new();
    let (outcome, ()) =
        tokio::join!(script.handle_until(&stop, Past { doubt: Doubt::Settled, ..Past::NONE }, None), async {
            script.look_begins().await;
            script.look_begins().await;
            stop.cancel();
        });
    assert!(matches!(outcome, Handled::HandedBack), "{outcome:?}");
    assert!(script.is_over() && script.creates() == 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_deferred_tells_how_long_a_call_may_be_under_way() {
    let long = Some(SECOND * 60);
    let script = Script::new([failed(FailureKind::NoAnswer), no_look_asking(FailureKind::Throttled, long)]);
    match script.handle(Past::NONE, None).await {
        Handled::Later { learned, .. } => {
            assert!(learned.unsettled > SECOND * 4 && learned.unsettled <= SECOND * 5);
        }
        other => panic!("{other:?}"),
    }
    let certain = Script::new([failed_asking(FailureKind::Throttled, long)]);
    match certain.handle(Past::NONE, None).await {
        Handled::Later { learned, .. } => assert_eq!(learned.unsettled, Duration::ZERO),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_job_is_looked_for_because_it_may_be_done() {
    let done = Script::new([found("c-1", &[])]);
    assert_eq!(id_and_recovered(&done.handle(redelivered(), Some(Duration::ZERO)).await), ("c-1", true));

    let not_done = Script::new((0..4).map(|_| absent()));
    let outcome = not_done.handle(redelivered(), Some(Duration::ZERO)).await;
    assert!(matches!(outcome, Handled::Expired { attempts: 0, failure: None }), "{outcome:?}");
    assert!(not_done.is_over());
}

#[tokio::test(start_paused = true)]
async fn of_two_connections_the_oldest_counts_and_the_other_is_counted() {
    let script = Script::new([found("c-1", &["c-2"])]);
    assert_eq!(id_and_recovered(&script.handle(redelivered(), None).await), ("c-1", true));
    assert!(script.counts("duplicate_connections_total 1"));
}

/// The window that remains: the first call takes effect after all look-ups.
#[tokio::test(start_paused = true)]
async fn a_second_connection_made_all_the_same_is_seen_and_the_first_one_counts() {
    let script = Script::new([
        failed(FailureKind::ServerError),
        absent(),
        absent(),
        created("c-2"),
        found("c-1", &["c-2"]),
    ]);
    let outcome = script.handle(Past::NONE, None).await;
    assert_eq!(id_and_recovered(&outcome), ("c-1", true));
    assert!(script.counts("duplicate_connections_total 1"));

    // The list may not have ours yet.
    let lagging = Script::new([
        failed(FailureKind::ServerError),
        absent(),
        absent(),
        created("c-2"),
        found("c-1", &[]),
    ]);
    assert_eq!(id_and_recovered(&lagging.handle(Past::NONE, None).await), ("c-1", true));
    assert!(lagging.counts("duplicate_connections_total 1"));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_held_waits_elsewhere_and_burns_no_attempt() {
    let script = Script::new([absent(), absent()]);
    let stop = CancellationToken::new();
    let (outcome, ()) =
        tokio::join!(script.handle_until(&stop, Past { attempts: 3, ..redelivered() }, None), async {
            tokio::time::sleep(SECOND * 3).await;
            stop.cancel();
        });
    assert!(matches!(outcome, Handled::HandedBack), "{outcome:?}");

    let tried = Script::new([failed(FailureKind::NoAnswer), absent(), absent()]);
    let stop = CancellationToken::new();
    let started = Instant::now();
    let (outcome, ()) = tokio::join!(tried.handle_until(&stop, Past::NONE, None), async {
        tokio::time::sleep(SECOND * 3).await;
        stop.cancel();
    });
    assert!(started.elapsed() < SECOND * 4);
    assert!(matches!(outcome, Handled::Later { tier: Tier::TenSeconds, attempts: 1, .. }), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_mark_an_unknown_outcome_is_the_end() {
    let script = Script::new([failed(FailureKind::NoAnswer)]);
    let outcome = script.handle_unmarked(Past::NONE).await;
    assert!(matches!(outcome, Handled::Failed { in_doubt: true, limit: None, .. }), "{outcome:?}");

    let again = Script::new([created("c-1")]);
    assert_eq!(id_and_recovered(&again.handle_unmarked(redelivered()).await), ("c-1", false));
}

#[tokio::test(start_paused = true)]
async fn what_was_created_here_a_moment_ago_is_answered_without_a_call() {
    let script = Script::new([created("c-1")]);
    script.handle(Past::NONE, None).await;
    let again = script.handle(Past { attempts: 1, ..redelivered() }, None).await;
    assert_eq!(id_and_recovered(&again), ("c-1", true));
    assert!(script.is_over() && script.counts("answers_from_memory_total 1"));
}

/// The look-up is for a copy of the job, and says nothing about the job.
#[tokio::test(start_paused = true)]
async fn what_certainly_did_nothing_is_looked_for_and_is_not_ambiguous() {
    let past = Past { attempts: 3, doubt: Doubt::Unlikely, ..Past::NONE };
    let script = Script::new([no_look(FailureKind::CredentialsRefused)]);
    let outcome = script.handle(past, None).await;
    let expected =
        matches!(outcome, Handled::Failed { in_doubt: false, limit: Some(Limit::Attempts), attempts: 4, .. });
    assert!(expected, "{outcome:?}");

    let script = Script::new([absent(), created("c-1")]);
    let outcome = script.handle(past, None).await;
    assert_eq!(id_and_recovered(&outcome), ("c-1", false));
    assert!(script.is_over());
}

#[tokio::test(start_paused = true)]
async fn whether_all_attempts_did_nothing_is_known_to_the_next_delivery() {
    let long = Some(SECOND * 30);
    for (doubt, kind, nothing) in [
        (Doubt::None, FailureKind::Throttled, true),
        (Doubt::Unlikely, FailureKind::Throttled, true),
        // Look-ups have shown it.
        (Doubt::Settled, FailureKind::Throttled, true),
        (Doubt::None, FailureKind::ServerError, false),
        (Doubt::Unlikely, FailureKind::ServerError, false),
    ] {
        let looks = match doubt {
            Doubt::None => 0,
            Doubt::Unlikely => 1,
            _ => 2,
        };
        let answers = (0..looks).map(|_| absent()).chain([failed_asking(kind, long)]);
        let outcome = Script::new(answers).handle(Past { attempts: 1, doubt, ..Past::NONE }, None).await;
        match outcome {
            Handled::Later { learned, .. } => assert_eq!(learned.undone, nothing, "{doubt:?} {kind:?}"),
            other => panic!("{other:?}"),
        }
    }
}
