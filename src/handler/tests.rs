//! The handler against a scripted Flow Service, on a paused clock.

mod doubt;
mod script;

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(super) use self::script::job;
use self::script::{Script, absent, created, failed, failed_asking, found, policy};
use super::{Handled, Past};
use crate::flow::FailureKind;
use crate::retry::policy::Limit;
use crate::retry::tier::Tier;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn what_is_certainly_not_done_is_tried_again() {
    let script = Script::new([
        failed(FailureKind::NotSent),
        failed(FailureKind::Unavailable),
        failed(FailureKind::TokenUnavailable),
        created("c-1"),
    ]);
    let outcome = script.handle(Past::NONE, None).await;
    assert!(matches!(outcome, Handled::Created { attempts: 4, recovered: false, .. }), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_not_repeated() {
    for kind in [FailureKind::Refused, FailureKind::Unauthorized] {
        let script = Script::new([failed(kind)]);
        let outcome = script.handle(Past::NONE, None).await;
        let expected = matches!(outcome, Handled::Failed { attempts: 1, limit: None, in_doubt: false, .. });
        assert!(expected, "{kind:?}: {outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_end_and_those_of_earlier_deliveries_count() {
    let script = Script::new((0..2).map(|_| failed(FailureKind::NotSent)));
    let outcome = script.handle(Past { attempts: 2, ..Past::NONE }, None).await;
    let expected =
        matches!(outcome, Handled::Failed { attempts: 4, limit: Some(Limit::Attempts), in_doubt: false, .. });
    assert!(expected, "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_counts_from_the_first_attempt_ever() {
    let script = Script::new([failed(FailureKind::NotSent)]);
    let long_ago = jiff::Timestamp::now() - policy().deadline;
    let outcome = script.handle(Past { first_seen_at: Some(long_ago), ..Past::NONE }, None).await;
    assert!(matches!(outcome, Handled::Failed { limit: Some(Limit::Deadline), .. }), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_waited_for_in_hand_if_it_is_short() {
    let script = Script::new([failed_asking(FailureKind::Throttled, Some(SECOND * 7)), created("c-1")]);
    let outcome = script.handle(Past::NONE, None).await;
    assert!(matches!(outcome, Handled::Created { attempts: 2, .. }), "{outcome:?}");
    assert!(script.gap(0) >= SECOND * 7 && script.gap(0) < SECOND * 9);
}

#[tokio::test(start_paused = true)]
async fn a_long_retry_after_is_waited_for_elsewhere() {
    for (asked, expected) in [(30, Tier::OneMinute), (500, Tier::TenMinutes), (86_400, Tier::OneHour)] {
        let script = Script::new([failed_asking(FailureKind::Throttled, Some(SECOND * asked))]);
        let started = Instant::now();
        match script.handle(Past { attempts: 1, ..Past::NONE }, None).await {
            Handled::Later { tier, attempts: 2, failure: Some(_), .. } => assert_eq!(tier, expected),
            other => panic!("{other:?}"),
        }
        assert!(started.elapsed() < SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_would_expire_while_waiting_ends_at_once() {
    let script = Script::new([failed_asking(FailureKind::Throttled, Some(SECOND * 30))]);
    let started = Instant::now();
    let outcome = script.handle(Past::NONE, Some(SECOND * 20)).await;
    assert!(matches!(outcome, Handled::Expired { attempts: 1, failure: Some(_) }), "{outcome:?}");
    assert!(started.elapsed() < SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_has_expired_is_not_begun() {
    let script = Script::new([]);
    let outcome = script.handle(Past::NONE, Some(Duration::ZERO)).await;
    assert!(matches!(outcome, Handled::Expired { attempts: 0, failure: None }), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_expires_while_it_waits_for_its_turn_is_not_begun() {
    let script = Script::at_a_rate(Some(1.0), [created("c-1")]);
    let turn = script.handle(Past::NONE, None).await;
    assert!(matches!(turn, Handled::Created { .. }), "{turn:?}");
    let outcome = script.handle_another(Some(SECOND / 2)).await;
    assert!(matches!(outcome, Handled::Expired { attempts: 0, .. }), "{outcome:?}");
    assert_eq!(script.creates(), 1);
}

#[tokio::test(start_paused = true)]
async fn at_shutdown_a_waiting_job_waits_on_elsewhere_and_no_attempt_is_burnt() {
    let script = Script::new([failed_asking(FailureKind::Throttled, Some(SECOND * 9))]);
    let stop = CancellationToken::new();
    let started = Instant::now();
    let (outcome, ()) =
        tokio::join!(script.handle_until(&stop, Past { attempts: 1, ..Past::NONE }, None), async {
            tokio::time::sleep(SECOND * 5).await;
            stop.cancel();
        });
    let expected =
        matches!(outcome, Handled::Later { tier: Tier::TenSeconds, attempts: 2, failure: Some(_), .. });
    assert!(expected, "{outcome:?}");
    assert_eq!(started.elapsed(), SECOND * 5);
    assert_eq!(script.creates(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_under_way_is_finished_at_shutdown() {
    let script = Script::new([created("c-1")]);
    let stop = CancellationToken::new();
    let (outcome, ()) = tokio::join!(script.handle_until(&stop, Past::NONE, None), async {
        // The call is under way: it takes a millisecond.
        tokio::task::yield_now().await;
        stop.cancel();
    });
    assert!(matches!(outcome, Handled::Created { .. }), "{outcome:?}");
    assert_eq!(script.creates(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_call_is_begun_after_a_stop_and_the_job_goes_back_as_it_came() {
    let script = Script::new([]);
    let stop = CancellationToken::new();
    stop.cancel();
    let outcome = script.handle_until(&stop, Past { attempts: 1, ..Past::NONE }, None).await;
    assert!(matches!(outcome, Handled::HandedBack), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_comes_twice_at_once_is_created_once() {
    let script = Script::new([created("c-1")]);
    let (one, other) = tokio::join!(script.handle(Past::NONE, None), script.handle(Past::NONE, None));
    for outcome in [one, other] {
        match outcome {
            Handled::Created { created, .. } => assert_eq!(created.id, "c-1"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(script.creates(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_second_of_two_that_come_at_once_looks_before_it_creates() {
    let script = Script::new([
        failed(FailureKind::Refused),
        absent(),
        absent(),
        absent(),
        absent(),
        created("c-1"),
        absent(),
    ]);
    let (one, other) = tokio::join!(script.handle(Past::NONE, None), script.handle(Past::NONE, None));
    assert!(matches!(one, Handled::Failed { .. }), "{one:?}");
    assert!(matches!(other, Handled::Created { recovered: false, .. }), "{other:?}");
}

#[tokio::test(start_paused = true)]
async fn a_second_delivery_does_not_wait_in_hand_for_long() {
    let script = Script::new([failed_asking(FailureKind::Throttled, Some(SECOND * 9)), created("c-1")]);
    let second = async {
        tokio::time::sleep(SECOND / 10).await;
        let started = Instant::now();
        (script.handle(Past { attempts: 3, ..Past::NONE }, None).await, started.elapsed())
    };
    let (_, (outcome, took)) = tokio::join!(script.handle(Past::NONE, None), second);
    match outcome {
        // Nine seconds and a bit are within the ten that a job is held.
        Handled::Created { recovered: true, attempts: 3, .. } => assert!(took < policy().hold),
        Handled::Later { attempts: 3, .. } => assert_eq!(took, policy().hold),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_held_back_burn_no_attempts() {
    let script = Script::new((0..6).map(|_| failed(FailureKind::Unavailable)));
    let outcome = script.handle(Past::NONE, None).await;
    assert!(matches!(outcome, Handled::Failed { attempts: 4, .. }), "{outcome:?}");
    let outcome = script.handle(Past::NONE, None).await;
    assert!(matches!(outcome, Handled::NotAdmitted { attempts: 2, .. }), "{outcome:?}");
    let outcome = script.handle(Past::NONE, None).await;
    assert!(matches!(outcome, Handled::NotAdmitted { attempts: 0, .. }), "{outcome:?}");
    let outcome = script.handle(Past::NONE, Some(Duration::ZERO)).await;
    assert!(matches!(outcome, Handled::Expired { attempts: 0, .. }), "{outcome:?}");
    assert_eq!(script.creates(), 6);
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_waited_for_elsewhere() {
    let refused = || failed(FailureKind::CredentialsRefused);
    let script = Script::new([refused(), refused()]);
    let outcome = script.handle(Past::NONE, None).await;
    assert!(matches!(outcome, Handled::NotAdmitted { attempts: 2, .. }), "{outcome:?}");
    let outcome = script.handle(Past { attempts: 1, ..Past::NONE }, None).await;
    assert!(matches!(outcome, Handled::NotAdmitted { attempts: 1, .. }), "{outcome:?}");
    assert_eq!(script.creates(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_message_for_a_job_in_doubt_looks_first() {
    let unanswered = || failed_asking(FailureKind::NoAnswer, Some(SECOND * 3_600));
    let script = Script::new([unanswered(), found("c-1", &[])]);
    let outcome = script.handle(Past::NONE, None).await;
    assert!(matches!(outcome, Handled::Later { attempts: 1, .. }), "{outcome:?}");
    let outcome = script.handle(Past::NONE, None).await;
    assert!(matches!(outcome, Handled::Created { recovered: true, .. }), "{outcome:?}");
    assert_eq!(script.creates(), 1);
}
