//! Admission on a paused clock.

mod checks;
mod scarce;

use tokio::time::advance;

use super::*;
use crate::contract::ids::SandboxName;
use crate::flow::FailureKind;
use crate::metrics::Metrics;

const SECOND: Duration = Duration::from_secs(1);

/// Failures in a row that open a breaker.
const FAILURES: u32 = 5;

fn rules() -> AdmissionRules {
    let breaker =
        BreakerRules { failures: FAILURES, ratio: 1.0, window: SECOND * 10, longest_pause: SECOND * 4 };
    AdmissionRules {
        breaker,
        retry_share: 0.2,
        concurrency: 8,
        adaptive: true,
        rate: None,
        longest_retry_after: SECOND * 60,
        organisations: HashMap::new(),
        only_these: false,
    }
}

fn admission_with(rules: AdmissionRules) -> Admission {
    Admission::new(rules, Metrics::new().unwrap().admission)
}

fn org(name: &str) -> ImsOrgId {
    ImsOrgId::parse(&format!("{name}@AdobeOrg")).unwrap()
}

fn orgs<const N: usize>(names: [&str; N]) -> HashMap<ImsOrgId, OrgLimits> {
    names.map(|name| (org(name), OrgLimits::default())).into()
}

fn failure(kind: FailureKind) -> Failure {
    Failure::new(kind, "as told".to_owned())
}

const CREATE: Operation<'static> = Operation::Create { connection_spec_id: "spec", repeated: false };
const REPEAT: Operation<'static> = Operation::Create { connection_spec_id: "spec", repeated: true };

/// Asks for a permit in a sandbox, written `organisation/sandbox`, or in that called prod.
async fn ask_for(
    admission: &Admission,
    place: &str,
    operation: Operation<'_>,
    needs_token: bool,
) -> Result<Permit, Rejected> {
    let (name, sandbox) = place.split_once('/').unwrap_or((place, "prod"));
    let (ims_org_id, sandbox_name) = (org(name), SandboxName::parse(sandbox).unwrap());
    let job = admission.number();
    let call = Call {
        ims_org_id: &ims_org_id,
        sandbox_name: &sandbox_name,
        operation,
        needs_token,
        job,
        begun: false,
    };
    admission.admit(call, SECOND).await
}

fn create<'a>(ims_org_id: &'a ImsOrgId, sandbox_name: &'a SandboxName, job: u64) -> Call<'a> {
    Call { ims_org_id, sandbox_name, operation: CREATE, needs_token: false, job, begun: false }
}

async fn ask(admission: &Admission, place: &str) -> Result<Permit, Rejected> {
    ask_for(admission, place, CREATE, false).await
}

async fn call(admission: &Admission, place: &str, ends: Option<FailureKind>) {
    ask(admission, place).await.unwrap().ended(ends.map(failure).as_ref());
}

async fn fail(admission: &Admission, place: &str, kind: FailureKind) {
    for _ in 0..FAILURES {
        call(admission, place, Some(kind)).await;
    }
}

async fn reason(admission: &Admission, place: &str) -> Option<Reason> {
    ask(admission, place).await.err().map(|rejected| rejected.reason)
}

#[tokio::test(start_paused = true)]
async fn a_failing_part_is_held_back_alone() {
    for kind in [FailureKind::ServerError, FailureKind::Unauthorized, FailureKind::Timeout] {
        let admission = admission_with(rules());
        fail(&admission, "a/ill", kind).await;
        assert_eq!(
            reason(&admission, "a/ill").await,
            Some(Reason::Breaker(BreakerScope::Create)),
            "{kind:?}"
        );
        assert_eq!(reason(&admission, "a/well").await, None, "another sandbox");
        assert_eq!(reason(&admission, "new").await, None, "another organisation");
        let other = Operation::Create { connection_spec_id: "other", repeated: false };
        assert!(ask_for(&admission, "a/ill", other, false).await.is_ok(), "another connection spec");
        advance(SECOND * 4).await;
        call(&admission, "a/ill", None).await;
        assert_eq!(reason(&admission, "a/ill").await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn look_ups_go_on_while_creates_fail_and_the_reverse() {
    let admission = admission_with(rules());
    fail(&admission, "a", FailureKind::ServerError).await;
    for _ in 0..FAILURES {
        let look_up = ask_for(&admission, "a", Operation::LookUp, false).await.unwrap();
        look_up.ended(None);
    }
    assert_eq!(
        reason(&admission, "a").await,
        Some(Reason::Breaker(BreakerScope::Create)),
        "reads say nothing about creates"
    );
    for _ in 0..FAILURES {
        let look_up = ask_for(&admission, "b", Operation::LookUp, false).await.unwrap();
        look_up.ended(Some(&failure(FailureKind::Timeout)));
    }
    let rejected = ask_for(&admission, "b", Operation::LookUp, false).await.unwrap_err();
    assert_eq!(
        (rejected.reason, reason(&admission, "b").await),
        (Reason::Breaker(BreakerScope::LookUp), None)
    );
}

#[tokio::test(start_paused = true)]
async fn a_create_that_took_effect_after_all_closes_the_breaker() {
    let admission = admission_with(rules());
    fail(&admission, "a", FailureKind::NoAnswer).await;
    assert_eq!(reason(&admission, "a").await, Some(Reason::Breaker(BreakerScope::Create)));
    let mut changed = std::pin::pin!(admission.changed());
    changed.as_mut().enable();
    let (ims_org_id, sandbox_name) = (org("a"), SandboxName::parse("prod").unwrap());
    admission.confirm_create(&create(&ims_org_id, &sandbox_name, 100));
    changed.await;
    assert_eq!(reason(&admission, "a").await, None);
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_host_is_told_and_others_are_tried_with_one_call() {
    let admission = admission_with(rules());
    fail(&admission, "a", FailureKind::NotSent).await;
    assert_eq!(
        reason(&admission, "a").await,
        Some(Reason::Breaker(BreakerScope::Host)),
        "it is the only one"
    );
    assert_eq!(admission.held_back()[0].scope, BreakerScope::Host);
    call(&admission, "b", Some(FailureKind::NotSent)).await;
    let probe = ask(&admission, "c").await.unwrap();
    assert_eq!(reason(&admission, "c").await, Some(Reason::Probing), "one at a time");
    probe.ended(Some(&failure(FailureKind::ServerError)));
    assert_eq!(
        reason(&admission, "a").await,
        Some(Reason::Breaker(BreakerScope::Create)),
        "an answer of any kind"
    );
    assert!(admission.held_back().iter().all(|held| held.scope == BreakerScope::Create));
}

#[tokio::test(start_paused = true)]
async fn one_organisation_whose_calls_cannot_be_sent_says_nothing_of_the_host() {
    let admission = admission_with(rules());
    fail(&admission, "b", FailureKind::ServerError).await;
    advance(SECOND * 4).await;
    call(&admission, "b", None).await;
    advance(SECOND * 60).await;
    fail(&admission, "a", FailureKind::NotSent).await;
    assert_eq!(reason(&admission, "a").await, Some(Reason::Breaker(BreakerScope::Create)));
    let others = [ask(&admission, "b").await, ask(&admission, "b").await];
    assert!(others.iter().all(Result::is_ok), "it is well, although nobody has seen that lately");
}

#[tokio::test(start_paused = true)]
async fn calls_that_cannot_be_sent_while_others_are_answered_hold_back_their_part_alone() {
    let admission = admission_with(rules());
    for _ in 0..FAILURES {
        call(&admission, "a", Some(FailureKind::NotSent)).await;
        call(&admission, "b", None).await;
    }
    assert_eq!(reason(&admission, "a").await, Some(Reason::Breaker(BreakerScope::Create)));
    assert_eq!(reason(&admission, "a/other").await, None);
    assert_eq!(reason(&admission, "b").await, None);
}

#[tokio::test(start_paused = true)]
async fn one_refusal_is_not_a_revocation_and_a_second_is() {
    let admission = admission_with(rules());
    for _ in 0..10 {
        call(&admission, "a", Some(FailureKind::CredentialsRefused)).await;
        call(&admission, "a", None).await;
    }
    assert_eq!(reason(&admission, "a").await, None);
    let early = ask(&admission, "a").await.unwrap();
    for _ in 0..2 {
        call(&admission, "a", Some(FailureKind::CredentialsRefused)).await;
    }
    assert_eq!(reason(&admission, "a/other").await, Some(Reason::Breaker(BreakerScope::Credentials)));
    assert_eq!(reason(&admission, "b").await, None);
    early.ended(None);
    assert_eq!(reason(&admission, "a").await, None, "they are good after all");
}

#[tokio::test(start_paused = true)]
async fn without_ims_only_calls_that_need_a_token_are_held_back() {
    let admission = admission_with(rules());
    for _ in 0..FAILURES {
        let permit = ask_for(&admission, "a", CREATE, true).await.unwrap();
        permit.ended(Some(&failure(FailureKind::TokenUnavailable)));
    }
    let rejected = ask_for(&admission, "a", CREATE, true).await.unwrap_err();
    assert_eq!(rejected.reason, Reason::Breaker(BreakerScope::Token));
    assert_eq!((reason(&admission, "a").await, reason(&admission, "b").await), (None, None));
    advance(SECOND).await;
    ask_for(&admission, "a", CREATE, true).await.unwrap().ended(None);
    assert!(ask_for(&admission, "a", CREATE, true).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn refusals_of_jobs_and_429s_open_no_breaker() {
    let admission = admission_with(rules());
    for _ in 0..50 {
        call(&admission, "a", Some(FailureKind::Refused)).await;
    }
    for _ in 0..10 {
        call(&admission, "a", Some(FailureKind::Throttled)).await;
        advance(SECOND * 3).await;
    }
    assert_eq!(reason(&admission, "a").await, None);
    assert!(admission.held_back().is_empty());
}

#[tokio::test(start_paused = true)]
async fn while_all_fails_a_new_part_is_tried_with_one_call() {
    let admission = admission_with(rules());
    for name in ["a", "b"] {
        fail(&admission, name, FailureKind::Unavailable).await;
    }
    let first = ask(&admission, "new").await.unwrap();
    assert_eq!(reason(&admission, "new").await, Some(Reason::Probing), "one at a time");
    first.ended(None);
    assert_eq!(reason(&admission, "new").await, None);
    let others = [ask(&admission, "newer").await, ask(&admission, "newer").await];
    assert!(others.iter().all(Result::is_ok), "a create has just succeeded");
}

#[tokio::test(start_paused = true)]
async fn a_claim_keeps_the_probe_for_its_job() {
    let admission = admission_with(rules());
    fail(&admission, "a", FailureKind::ServerError).await;
    let (ims_org_id, sandbox_name) = (org("a"), SandboxName::parse("prod").unwrap());
    let call = |job| create(&ims_org_id, &sandbox_name, job);
    let rejected = admission.claim(&[call(100)]).unwrap_err();
    assert!(rejected.retry_at > Instant::now());
    advance(SECOND).await;
    let claim = admission.claim(&[call(100)]).unwrap();
    assert!(admission.claim(&[call(200)]).is_err() && admission.admit(call(200), SECOND).await.is_err());
    admission.admit(call(100), SECOND).await.unwrap().ended(Some(&failure(FailureKind::ServerError)));
    drop(claim);
    advance(SECOND * 2).await;
    drop(admission.claim(&[call(100)]).unwrap());
    advance(SECOND * 2).await;
    assert!(admission.claim(&[call(200)]).is_ok(), "the first was not made use of");
}

#[tokio::test(start_paused = true)]
async fn who_is_held_back_is_told_a_moment_that_is_still_to_come() {
    let admission = admission_with(rules());
    for _ in 0..FAILURES {
        let permit = ask_for(&admission, "a", CREATE, true).await.unwrap();
        permit.ended(Some(&failure(FailureKind::TokenUnavailable)));
    }
    fail(&admission, "a", FailureKind::ServerError).await;
    // The probe of tokens is due, and nobody needs one.
    advance(SECOND * 2).await;
    let probe = ask(&admission, "a").await.unwrap();
    let rejected = ask(&admission, "a").await.unwrap_err();
    assert_eq!(rejected.reason, Reason::Breaker(BreakerScope::Create));
    assert!(rejected.retry_at > Instant::now(), "or it asks again and again");
    advance(rejected.retry_at - Instant::now()).await;
    assert_eq!(reason(&admission, "a").await, None, "the probe may hang");
    drop(probe);
}

#[tokio::test(start_paused = true)]
async fn repeated_calls_are_held_back_when_too_many_fail() {
    let breaker = BreakerRules { failures: 1_000, ..rules().breaker };
    let admission = admission_with(AdmissionRules { breaker, ..rules() });
    let mut made = 0;
    let rejected = loop {
        match ask_for(&admission, "a", REPEAT, false).await {
            Ok(permit) => permit.ended(Some(&failure(FailureKind::ServerError))),
            Err(rejected) => break rejected,
        }
        made += 1;
    };
    assert_eq!((made, rejected.reason), (18, Reason::Budget));
    assert_eq!(reason(&admission, "a").await, None, "first calls are not");
    assert!(ask_for(&admission, "a/other", REPEAT, false).await.is_ok(), "each part has its own budget");
}

#[tokio::test(start_paused = true)]
async fn new_credentials_are_tried_at_once() {
    let admission =
        admission_with(AdmissionRules { organisations: orgs(["a", "b"]), only_these: true, ..rules() });
    for name in ["a", "a", "b", "b"] {
        call(&admission, name, Some(FailureKind::CredentialsRefused)).await;
    }
    admission.set_organisations(orgs(["a", "b"]), &HashSet::from([org("a")]));
    call(&admission, "a", None).await;
    assert_eq!(reason(&admission, "a").await, None);
    assert_eq!(reason(&admission, "b").await, Some(Reason::Breaker(BreakerScope::Credentials)));
}

#[tokio::test(start_paused = true)]
async fn a_removed_organisation_is_forgotten_after_its_last_call() {
    let metrics = Metrics::new().unwrap();
    let rules = AdmissionRules { organisations: orgs(["a", "b"]), only_these: true, ..rules() };
    let admission = Admission::new(rules, metrics.admission.clone());
    let label = "{organisation=\"a@AdobeOrg\"}";
    assert!(metrics.render().unwrap().contains(label));
    let permit = ask(&admission, "a").await.unwrap();
    admission.set_organisations(orgs(["b"]), &HashSet::new());
    admission.refresh();
    let page = metrics.render().unwrap();
    assert!(!page.contains(label), "{page}");
    assert!(page.contains("organisation_calls_in_flight{organisation=\"other\"} 1"), "{page}");
    permit.ended(Some(&failure(FailureKind::CredentialsRefused)));
    admission.refresh();
    let page = metrics.render().unwrap();
    assert!(page.contains("organisation_calls_in_flight{organisation=\"other\"} 0"), "{page}");
}

#[tokio::test(start_paused = true)]
async fn what_is_held_back_is_explained() {
    let admission = admission_with(rules());
    fail(&admission, "a/dev", FailureKind::ServerError).await;
    advance(SECOND / 4).await;
    let [held] = &admission.held_back()[..] else { panic!("{:?}", admission.held_back()) };
    assert_eq!((held.scope, &held.ims_org_id), (BreakerScope::Create, &Some(org("a"))));
    assert_eq!(held.sandbox_name.as_ref().map(SandboxName::as_str), Some("dev"));
    assert_eq!(held.connection_spec_id.as_deref(), Some("spec"));
    assert_eq!(held.why, Some(FailureKind::ServerError.meaning()));
    assert!(held.lasts == SECOND / 4 && held.next_in > Duration::ZERO && held.next_in < SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_organisations_is_not_remembered_for_ever() {
    let admission = admission_with(rules());
    for number in 0..5_000 {
        call(&admission, &number.to_string(), None).await;
        advance(SECOND / 1_000).await;
    }
    admission.refresh();
    let state = admission.inner.state();
    assert_eq!((state.parts.len(), state.organisations.len()), (4_096, 4_096));
    assert!(!state.organisations.contains_key(&org("0")) && state.organisations.contains_key(&org("4999")));
}
