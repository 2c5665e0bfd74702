//! Optional checks wait for permits, too, and never hold creates back.

use std::sync::atomic::AtomicU32;

use super::*;
use crate::flow::{
    AuthSpec, ConnectionRequest, CreateRequest, Created, FindRequest, FlowApi, Found, SpecRequest,
};

/// Counts the checks that it is asked for, and answers each as it is told.
#[derive(Clone, Default)]
struct Checks {
    asked: Arc<AtomicU32>,
    ends: Option<FailureKind>,
}

impl Checks {
    fn answer<T>(&self, answer: T) -> Result<T, Failure> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.ends.map_or(Ok(answer), |kind| Err(failure(kind)))
    }
}

impl FlowApi for Checks {
    async fn create(&self, _request: &CreateRequest) -> Result<Created, Failure> {
        Err(failure(FailureKind::Refused))
    }

    async fn find(&self, _request: &FindRequest) -> Result<Option<Found>, Failure> {
        Ok(None)
    }

    fn has_token(&self, _ims_org_id: &ImsOrgId) -> bool {
        true
    }

    async fn auth_specs(&self, _request: &SpecRequest) -> Result<Vec<AuthSpec>, Failure> {
        self.answer(Vec::new())
    }

    async fn state(&self, _request: &ConnectionRequest) -> Result<String, Failure> {
        self.answer("enabled".to_owned())
    }

    async fn test(&self, _request: &ConnectionRequest) -> Result<bool, Failure> {
        self.answer(true)
    }
}

/// Makes each kind of check; the failures that they end with.
async fn check(flow: &AdmittedChecks<Checks>) -> [Option<FailureKind>; 3] {
    let (ims_org_id, sandbox_name) = (org("a"), SandboxName::parse("prod").unwrap());
    let spec = SpecRequest {
        ims_org_id: ims_org_id.clone(),
        sandbox_name: sandbox_name.clone(),
        connection_spec_id: "spec".to_owned(),
    };
    let connection = ConnectionRequest { ims_org_id, sandbox_name, connection_id: "c".to_owned() };
    let specs = flow.auth_specs(&spec).await.err();
    let state = flow.state(&connection).await.err();
    let test = flow.test(&connection).await.err();
    [specs, state, test].map(|failure| failure.map(|failure| failure.kind))
}

#[tokio::test(start_paused = true)]
async fn checks_that_fail_are_held_back_and_creates_are_not() {
    let admission = admission_with(rules());
    let flow = Checks { ends: Some(FailureKind::ServerError), ..Checks::default() };
    let admitted = AdmittedChecks::new(flow.clone(), admission.clone());
    for _ in 0..FAILURES {
        check(&admitted).await;
    }
    assert_eq!(flow.asked.load(Ordering::Relaxed), FAILURES);
    assert_eq!(check(&admitted).await, [Some(FailureKind::Unavailable); 3]);
    assert_eq!(reason(&admission, "a").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_permission_that_a_check_lacks_opens_no_breaker() {
    for kind in [FailureKind::Unauthorized, FailureKind::CredentialsRefused] {
        let admission = admission_with(rules());
        let flow = Checks { ends: Some(kind), ..Checks::default() };
        let admitted = AdmittedChecks::new(flow, admission.clone());
        for _ in 0..FAILURES {
            assert_eq!(check(&admitted).await, [Some(kind); 3]);
        }
        assert!(admission.held_back().is_empty(), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn checks_go_on_while_creates_are_held_back() {
    let admission = admission_with(rules());
    let admitted = AdmittedChecks::new(Checks::default(), admission.clone());
    fail(&admission, "a", FailureKind::ServerError).await;
    assert_eq!(check(&admitted).await, [None; 3]);
}

#[tokio::test(start_paused = true)]
async fn checks_keep_to_the_rate_of_their_organisation() {
    let admission = admission_with(AdmissionRules { rate: Some(1.0), ..rules() });
    let admitted = AdmittedChecks::new(Checks::default(), admission);
    let started = Instant::now();
    assert_eq!(check(&admitted).await, [None; 3]);
    assert!(started.elapsed() > SECOND, "the second and the third had to wait");
}
