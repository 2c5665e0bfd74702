//! Permits while there are fewer than are wanted.

use tokio::time::sleep;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_call_beyond_the_limit_waits_for_another_to_end() {
    let admission = admission_with(AdmissionRules { concurrency: 1, ..rules() });
    let first = ask(&admission, "a").await.unwrap();
    assert_eq!(reason(&admission, "a").await, Some(Reason::Busy), "not for ever");
    assert_eq!(reason(&admission, "b").await, None);
    let (second, ()) = tokio::join!(ask(&admission, "a"), async {
        sleep(SECOND / 2).await;
        first.ended(None);
    });
    drop(second.unwrap());
    assert_eq!(reason(&admission, "a").await, None, "one that is dropped gives its permit back");
}

#[tokio::test(start_paused = true)]
async fn an_organisation_has_its_own_limits() {
    let admission = admission_with(AdmissionRules { organisations: orgs(["a", "b"]), ..rules() });
    let narrow = OrgLimits { concurrency: Some(1), rate: None };
    let with = |limits| HashMap::from([(org("a"), limits), (org("b"), OrgLimits::default())]);
    admission.set_organisations(with(narrow), &HashSet::new());
    let first = ask(&admission, "a").await.unwrap();
    assert_eq!(reason(&admission, "a/other").await, Some(Reason::Busy));
    let others = [ask(&admission, "b").await, ask(&admission, "b").await];
    assert!(others.iter().all(Result::is_ok));
    admission.set_organisations(with(OrgLimits::default()), &HashSet::new());
    assert!(ask(&admission, "a").await.is_ok());
    first.ended(None);
}

/// Makes a call as a job with this number; when it got its permit.
async fn permitted(admission: &Admission, job: u64, begun: bool) -> Instant {
    let (ims_org_id, sandbox_name) = (org("a"), SandboxName::parse("prod").unwrap());
    let call = Call {
        ims_org_id: &ims_org_id,
        sandbox_name: &sandbox_name,
        operation: CREATE,
        needs_token: false,
        job,
        begun,
    };
    let permit = admission.admit(call, SECOND * 600).await.unwrap();
    permit.ended(None);
    Instant::now()
}

#[tokio::test(start_paused = true)]
async fn jobs_that_have_begun_come_first_and_the_oldest_of_them() {
    let admission = admission_with(AdmissionRules { rate: Some(1.0), ..rules() });
    permitted(&admission, 0, false).await;
    let (new, late, early) = tokio::join!(
        permitted(&admission, 1, false),
        permitted(&admission, 3, true),
        permitted(&admission, 2, true),
    );
    assert!(early < late && late < new);
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_used_whole_by_those_that_wait() {
    let admission = admission_with(AdmissionRules { rate: Some(10.0), ..rules() });
    let started = Instant::now();
    let waits = (0..50).map(|job| permitted(&admission, job, job % 2 == 0));
    futures_util::future::join_all(waits).await;
    let took = started.elapsed();
    assert!(took > Duration::from_millis(4_800) && took < Duration::from_millis(5_200), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_jobs_are_begun_than_a_rate_can_carry() {
    for (rate, expected) in [(1.0, 4), (20.0, 60)] {
        let admission = admission_with(AdmissionRules { rate: Some(rate), ..rules() });
        let (ims_org_id, sandbox_name) = (org("a"), SandboxName::parse("prod").unwrap());
        let (ims_org_id, sandbox_name) = (&ims_org_id, &sandbox_name);
        let call =
            Call { ims_org_id, sandbox_name, operation: CREATE, needs_token: false, job: 0, begun: false };
        assert_eq!(admission.claim(&[call]).unwrap().jobs_max, Some(expected));
    }
}
