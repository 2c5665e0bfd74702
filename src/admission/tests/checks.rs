//! Optional checks never hold creates back.

use super::*;

async fn check(admission: &Admission, ends: Option<FailureKind>) -> Result<(), Rejected> {
    let permit = ask_for(admission, "a", Operation::Check, false).await?;
    permit.ended(ends.map(failure).as_ref());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn checks_that_fail_are_held_back_and_creates_are_not() {
    let admission = admission_with(rules());
    for _ in 0..FAILURES {
        check(&admission, Some(FailureKind::ServerError)).await.unwrap();
    }
    assert!(check(&admission, None).await.is_err());
    assert_eq!(reason(&admission, "a").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_permission_that_a_check_lacks_opens_no_breaker() {
    for kind in [FailureKind::Unauthorized, FailureKind::CredentialsRefused] {
        let admission = admission_with(rules());
        for _ in 0..FAILURES * 3 {
            check(&admission, Some(kind)).await.unwrap();
        }
        assert!(admission.held_back().is_empty(), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn checks_go_on_while_creates_are_held_back() {
    let admission = admission_with(rules());
    fail(&admission, "a", FailureKind::ServerError).await;
    assert!(check(&admission, None).await.is_ok());
}
