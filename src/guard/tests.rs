//! The guard on a paused clock.

mod guarded;
mod shares;

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::{advance, timeout};

use super::*;
use crate::flow::{
    AuthSpec, ConnectionRequest, CreateRequest, Created, FailureKind, FindRequest, FlowApi, Found,
    ProbeRequest, SpecRequest,
};
use crate::metrics::Metrics;

const SECOND: Duration = Duration::from_secs(1);

/// So many failures in a row open a breaker.
const FAILURES: u32 = 5;

fn rules() -> GuardRules {
    let breaker =
        BreakerRules { failures: FAILURES, ratio: 1.0, window: SECOND * 10, longest_pause: SECOND * 4 };
    GuardRules {
        breaker,
        retry_share: 0.2,
        places: 16,
        concurrency: 8,
        adaptive: true,
        rate: None,
        longest_retry_after: SECOND * 60,
        organisations: HashMap::new(),
        only_these: false,
    }
}

fn guard_with(rules: GuardRules) -> Guard {
    Guard::new(rules, Metrics::new().unwrap().guard)
}

fn org(name: &str) -> ImsOrgId {
    ImsOrgId::parse(&format!("{name}@AdobeOrg")).unwrap()
}

fn orgs<const N: usize>(names: [&str; N]) -> HashMap<ImsOrgId, OrgLimits> {
    names.map(|name| (org(name), OrgLimits::default())).into()
}

fn sandbox() -> SandboxName {
    SandboxName::parse("prod").unwrap()
}

fn failure(kind: FailureKind) -> Failure {
    Failure::new(kind, "as told".to_owned())
}

async fn ask(guard: &Guard, name: &str, purpose: Purpose) -> Result<Pass, Denied> {
    ask_with(guard, name, purpose, false).await
}

async fn ask_with(guard: &Guard, name: &str, purpose: Purpose, needs_token: bool) -> Result<Pass, Denied> {
    let call = Call { ims_org_id: &org(name), sandbox_name: &sandbox(), needs_token, purpose };
    guard.admit(call, Patience { in_company: SECOND, alone: SECOND * 10 }).await
}

async fn call(guard: &Guard, name: &str, ends: Option<FailureKind>) {
    let pass = ask(guard, name, Purpose::First).await.unwrap();
    pass.ended(ends.map(failure).as_ref());
}

async fn calls(guard: &Guard, name: &str, kind: FailureKind) {
    for _ in 0..FAILURES {
        call(guard, name, Some(kind)).await;
    }
}

async fn reason(guard: &Guard, name: &str) -> Option<Reason> {
    ask(guard, name, Purpose::First).await.err().map(|denied| denied.reason)
}

/// Answers probes as it is told.
struct Flow(bool);

impl FlowApi for Flow {
    async fn create(&self, _request: &CreateRequest) -> Result<Created, Failure> {
        Err(failure(FailureKind::NotSent))
    }

    async fn find(&self, _request: &FindRequest) -> Result<Option<Found>, Failure> {
        Ok(None)
    }

    async fn probe(&self, _request: &ProbeRequest) -> Result<(), Failure> {
        if self.0 { Ok(()) } else { Err(failure(FailureKind::NotSent)) }
    }

    fn has_token(&self, _ims_org_id: &ImsOrgId) -> bool {
        true
    }

    async fn auth_specs(&self, _request: &SpecRequest) -> Result<Vec<AuthSpec>, Failure> {
        Err(failure(FailureKind::NotSent))
    }

    async fn state(&self, _request: &ConnectionRequest) -> Result<String, Failure> {
        Err(failure(FailureKind::NotSent))
    }

    async fn test(&self, _request: &ConnectionRequest) -> Result<bool, Failure> {
        Err(failure(FailureKind::NotSent))
    }
}

/// Lets probes be made for a while.
async fn tend(guard: &Guard, answers: bool, time: Duration) {
    timeout(time, guard.tend(&Flow(answers))).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn when_every_call_fails_none_is_made_and_no_job_is_taken_until_a_probe_succeeds() {
    for kind in [FailureKind::NotSent, FailureKind::Timeout, FailureKind::ServerError] {
        let guard = guard_with(rules());
        let gate = guard.gate();
        calls(&guard, "a", kind).await;
        assert_eq!(reason(&guard, "a").await, Some(Reason::Service), "{kind:?}");
        assert_eq!(reason(&guard, "b").await, Some(Reason::Service));
        assert_eq!(*gate.borrow(), Gate::Shut);

        tend(&guard, false, SECOND * 60).await;
        assert_eq!((reason(&guard, "a").await, *gate.borrow()), (Some(Reason::Service), Gate::Shut));

        tend(&guard, true, SECOND * 5).await;
        assert_eq!(*gate.borrow(), Gate::Single);
        let probe = ask(&guard, "a", Purpose::First).await.unwrap();
        assert_eq!(reason(&guard, "b").await, Some(Reason::Service), "one at a time");
        probe.ended(None);
        assert_eq!((reason(&guard, "b").await, *gate.borrow()), (None, Gate::Open));
    }
}

#[tokio::test(start_paused = true)]
async fn an_organisation_whose_calls_fail_is_held_back_alone() {
    for kind in [FailureKind::ServerError, FailureKind::Unauthorized, FailureKind::Timeout] {
        let guard = guard_with(rules());
        call(&guard, "well", None).await;
        calls(&guard, "ill", kind).await;
        assert_eq!(reason(&guard, "ill").await, Some(Reason::Organisation), "{kind:?}");
        assert_eq!(reason(&guard, "well").await, None);
        assert_eq!(*guard.gate().borrow(), Gate::Open);
        advance(SECOND * 4).await;
        call(&guard, "ill", None).await;
        assert_eq!(reason(&guard, "ill").await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_hold_an_organisation_back_at_once() {
    let guard = guard_with(rules());
    call(&guard, "b", None).await;
    call(&guard, "a", Some(FailureKind::CredentialsRefused)).await;
    assert_eq!(reason(&guard, "a").await, Some(Reason::Organisation));
    assert_eq!((reason(&guard, "b").await, *guard.gate().borrow()), (None, Gate::Open));
}

#[tokio::test(start_paused = true)]
async fn if_no_organisation_can_be_served_no_job_is_taken() {
    let guard = guard_with(GuardRules { organisations: orgs(["a", "b"]), ..rules() });
    call(&guard, "a", Some(FailureKind::CredentialsRefused)).await;
    assert_eq!(*guard.gate().borrow(), Gate::Open, "there may be jobs for the other");
    call(&guard, "b", Some(FailureKind::CredentialsRefused)).await;
    assert_eq!(*guard.gate().borrow(), Gate::Shut);
    tend(&guard, true, SECOND * 2).await;
    assert_eq!(*guard.gate().borrow(), Gate::Single);
    call(&guard, "a", None).await;
    assert_eq!(*guard.gate().borrow(), Gate::Open);
}

/// The worker is set up for these and no others.
fn guard_of<const N: usize>(names: [&str; N]) -> Guard {
    guard_with(GuardRules { organisations: orgs(names), only_these: true, ..rules() })
}

#[tokio::test(start_paused = true)]
async fn new_credentials_are_tried_at_once_and_nobody_else_is_disturbed() {
    let guard = guard_of(["a", "b"]);
    for name in ["a", "b"] {
        call(&guard, name, Some(FailureKind::CredentialsRefused)).await;
    }
    guard.set_organisations(orgs(["a", "b"]), &HashSet::from([org("a")]));
    assert_eq!(*guard.gate().borrow(), Gate::Single);
    call(&guard, "a", None).await;
    assert_eq!((reason(&guard, "a").await, *guard.gate().borrow()), (None, Gate::Open));
    assert_eq!(reason(&guard, "b").await, Some(Reason::Organisation));
}

#[tokio::test(start_paused = true)]
async fn an_organisation_has_its_own_limits_until_it_is_given_others() {
    let guard = guard_of(["a", "b"]);
    let narrow = OrgLimits { concurrency: Some(1), rate: Some(2.0) };
    let with = |limits| HashMap::from([(org("a"), limits), (org("b"), OrgLimits::default())]);
    guard.set_organisations(with(narrow), &HashSet::new());
    let first = ask(&guard, "a", Purpose::First).await.unwrap();
    assert_eq!(reason(&guard, "a").await, Some(Reason::Busy));
    let others = [ask(&guard, "b", Purpose::First).await, ask(&guard, "b", Purpose::First).await];
    assert!(others.iter().all(Result::is_ok));
    guard.set_organisations(with(OrgLimits::default()), &HashSet::new());
    assert!(ask(&guard, "a", Purpose::First).await.is_ok());
    first.ended(None);
}

#[tokio::test(start_paused = true)]
async fn an_organisation_that_is_taken_out_is_forgotten_when_its_last_call_has_ended() {
    let metrics = Metrics::new().unwrap();
    let guard = Guard::new(
        GuardRules { organisations: orgs(["a", "b"]), only_these: true, ..rules() },
        metrics.guard.clone(),
    );
    let label = "{organisation=\"a@AdobeOrg\"}";
    assert!(metrics.render().unwrap().contains(label));
    let pass = ask(&guard, "a", Purpose::First).await.unwrap();
    guard.set_organisations(orgs(["b"]), &HashSet::new());
    tend(&guard, true, SECOND).await;
    let page = metrics.render().unwrap();
    assert!(!page.contains(label), "{page}");
    assert!(page.contains("organisation_calls_in_flight{organisation=\"other\"} 1"), "{page}");
    pass.ended(Some(&failure(FailureKind::CredentialsRefused)));
    tend(&guard, true, SECOND).await;
    let page = metrics.render().unwrap();
    assert!(page.contains("organisation_calls_in_flight{organisation=\"other\"} 0"), "{page}");
    assert!(page.contains("organisations_down 0"), "nobody waits for it: {page}");
}

/// Nobody waits for an organisation whose next job is let through, and nothing is lost if it is forgotten.
#[tokio::test(start_paused = true)]
async fn an_organisation_that_is_half_open_is_not_down() {
    let metrics = Metrics::new().unwrap();
    let guard = Guard::new(rules(), metrics.guard.clone());
    call(&guard, "a", Some(FailureKind::CredentialsRefused)).await;
    tend(&guard, true, SECOND / 10).await;
    assert!(metrics.render().unwrap().contains("organisations_down 1"));
    tend(&guard, true, SECOND * 1200).await;
    assert!(metrics.render().unwrap().contains("organisations_down 0"));
    let state = guard.inner.state();
    let tenant = &state.tenants[&org("a")];
    assert_eq!(tenant.breaker.state(), BreakerState::HalfOpen);
    assert!(tenant.is_forgettable(Instant::now()));
}

#[tokio::test(start_paused = true)]
async fn while_ims_is_down_only_those_without_a_token_are_held_back() {
    let guard = guard_with(rules());
    call(&guard, "with", None).await;
    for _ in 0..FAILURES {
        let pass = ask_with(&guard, "without", Purpose::First, true).await.unwrap();
        pass.ended(Some(&failure(FailureKind::TokenUnavailable)));
    }
    let denied = ask_with(&guard, "without", Purpose::First, true).await.unwrap_err();
    assert_eq!(denied.reason, Reason::Identity);
    assert_eq!(reason(&guard, "with").await, None);
    assert_eq!(*guard.gate().borrow(), Gate::Open);
    advance(SECOND * 2).await;
    ask_with(&guard, "without", Purpose::First, true).await.unwrap().ended(None);
    assert!(ask_with(&guard, "other", Purpose::First, true).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn refusals_and_429s_do_not_speak_against_anybody() {
    let guard = guard_with(rules());
    for _ in 0..50 {
        call(&guard, "a", Some(FailureKind::Refused)).await;
    }
    for _ in 0..10 {
        call(&guard, "a", Some(FailureKind::Throttled)).await;
        advance(SECOND * 3).await;
    }
    assert_eq!((reason(&guard, "a").await, *guard.gate().borrow()), (None, Gate::Open));
}

#[tokio::test(start_paused = true)]
async fn a_call_beyond_the_limit_waits_for_another_to_end_and_not_for_ever() {
    let guard = guard_with(GuardRules { concurrency: 1, ..rules() });
    let first = ask(&guard, "a", Purpose::First).await.unwrap();
    assert_eq!(reason(&guard, "a").await, Some(Reason::Busy));
    assert_eq!(reason(&guard, "b").await, None);
    let (second, ()) = tokio::join!(ask(&guard, "a", Purpose::First), async {
        tokio::time::sleep(SECOND / 2).await;
        first.ended(None);
    });
    drop(second.unwrap());
    assert_eq!(reason(&guard, "a").await, None, "who was dropped has given back its place");
}

#[tokio::test(start_paused = true)]
async fn who_is_alone_waits_longer_than_in_company() {
    let guard = guard_with(GuardRules { concurrency: 1, ..rules() });
    let _first = ask(&guard, "a", Purpose::First).await.unwrap();
    for (company, seconds) in [(false, 10), (true, 1)] {
        if company {
            call(&guard, "b", None).await;
        }
        let asked = Instant::now();
        assert_eq!(reason(&guard, "a").await, Some(Reason::Busy));
        assert_eq!(asked.elapsed(), SECOND * seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn the_longer_an_organisation_is_down_the_later_its_jobs_ask_again() {
    let guard = guard_with(rules());
    call(&guard, "well", None).await;
    call(&guard, "ill", Some(FailureKind::CredentialsRefused)).await;
    let (mut last, began) = (Duration::ZERO, Instant::now());
    for minutes in [0, 1, 10, 60] {
        advance((began + SECOND * 60 * minutes).saturating_duration_since(Instant::now())).await;
        if minutes > 0 {
            call(&guard, "ill", Some(FailureKind::CredentialsRefused)).await;
        }
        let denied = ask(&guard, "ill", Purpose::First).await.unwrap_err();
        assert!(denied.wait > last && denied.wait <= SECOND * 600, "{minutes} minutes: {:?}", denied.wait);
        last = denied.wait;
    }
}

#[tokio::test(start_paused = true)]
async fn repeated_calls_are_held_back_when_too_many_fail_and_first_ones_are_not() {
    let guard =
        guard_with(GuardRules { breaker: BreakerRules { failures: 1_000, ..rules().breaker }, ..rules() });
    let mut made = 0;
    let denied = loop {
        match ask(&guard, "a", Purpose::Repeat).await {
            Ok(pass) => pass.ended(Some(&failure(FailureKind::NotSent))),
            Err(denied) => break denied,
        }
        made += 1;
    };
    assert_eq!((made, denied.reason), (18, Reason::Budget));
    assert_eq!(reason(&guard, "a").await, None);
    assert!(ask(&guard, "b", Purpose::Repeat).await.is_ok(), "each organisation has a budget of its own");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_organisations_is_not_remembered_for_ever() {
    let guard = guard_with(rules());
    for number in 0..5_000 {
        call(&guard, &number.to_string(), None).await;
    }
    assert!(guard.inner.state().organisations(Instant::now()).len() == 1, "all are counted together");
    advance(SECOND * 600).await;
    call(&guard, "one-more", None).await;
    assert_eq!(reason(&guard, "one-more").await, None);
}
