//! A Flow Service whose optional checks wait for permits: for those who can do without, and need not know of admission.

use std::time::Duration;

use crate::admission::{Admission, Call, Operation, Rejected};
use crate::contract::ids::{ImsOrgId, SandboxName};
use crate::flow::{
    AuthSpec, ConnectionRequest, CreateRequest, Created, Failure, FailureKind, FindRequest, FlowApi, Found,
    SpecRequest,
};

/// Longest wait for a permit. A job can do without the check, and others wait behind it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks for a permit before it looks at a connection spec, at a connection or at its test. Creates and look-ups go
/// through untouched: whoever makes them asks for their permits.
#[derive(Debug, Clone)]
pub struct AdmittedChecks<F> {
    flow: F,
    admission: Admission,
}

impl<F: FlowApi> AdmittedChecks<F> {
    /// Puts permits before the checks of `flow`.
    pub fn new(flow: F, admission: Admission) -> Self {
        Self { flow, admission }
    }

    /// Checks when that is allowed; a check that is not fails as if Flow Service were unavailable.
    async fn check<T>(
        &self,
        ims_org_id: &ImsOrgId,
        sandbox_name: &SandboxName,
        check: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let (needs_token, operation) = (!self.flow.has_token(ims_org_id), Operation::Check);
        let job = self.admission.number();
        let call = Call { ims_org_id, sandbox_name, operation, needs_token, job, begun: false };
        let rejected = |rejected: Rejected| Failure::new(FailureKind::Unavailable, rejected.to_string());
        let permit = self.admission.admit(call, PATIENCE).await.map_err(rejected)?;
        let checked = check.await;
        permit.ended(checked.as_ref().err());
        checked
    }
}

impl<F: FlowApi> FlowApi for AdmittedChecks<F> {
    async fn create(&self, request: &CreateRequest) -> Result<Created, Failure> {
        self.flow.create(request).await
    }

    async fn find(&self, request: &FindRequest) -> Result<Option<Found>, Failure> {
        self.flow.find(request).await
    }

    fn has_token(&self, ims_org_id: &ImsOrgId) -> bool {
        self.flow.has_token(ims_org_id)
    }

    async fn auth_specs(&self, request: &SpecRequest) -> Result<Vec<AuthSpec>, Failure> {
        self.check(&request.ims_org_id, &request.sandbox_name, self.flow.auth_specs(request)).await
    }

    async fn state(&self, request: &ConnectionRequest) -> Result<String, Failure> {
        self.check(&request.ims_org_id, &request.sandbox_name, self.flow.state(request)).await
    }

    async fn test(&self, request: &ConnectionRequest) -> Result<bool, Failure> {
        self.check(&request.ims_org_id, &request.sandbox_name, self.flow.test(request)).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::Instant;

    use super::*;
    use crate::admission::{AdmissionRules, BreakerRules};
    use crate::flow::CreateBody;
    use crate::metrics::Metrics;

    const FAILURES: u32 = 5;

    /// Counts the checks that it is asked for, and fails each if it is told to.
    #[derive(Clone, Default)]
    struct Counted {
        asked: Arc<AtomicU32>,
        fails: bool,
    }

    impl Counted {
        fn answer<T>(&self, answer: T) -> Result<T, Failure> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let failure = Failure::new(FailureKind::ServerError, "as told".to_owned());
            if self.fails { Err(failure) } else { Ok(answer) }
        }
    }

    impl FlowApi for Counted {
        async fn create(&self, _request: &CreateRequest) -> Result<Created, Failure> {
            panic!("checks create nothing")
        }

        async fn find(&self, _request: &FindRequest) -> Result<Option<Found>, Failure> {
            panic!("checks look for nothing")
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

    /// At most one call a second, and breakers that open after five failures.
    fn admission() -> Admission {
        let window = Duration::from_secs(10);
        let breaker = BreakerRules { failures: FAILURES, ratio: 1.0, window, longest_pause: window };
        let rules = AdmissionRules {
            breaker,
            retry_share: 0.2,
            concurrency: 8,
            adaptive: true,
            rate: Some(1.0),
            longest_retry_after: window,
            organisations: HashMap::new(),
            only_these: false,
        };
        Admission::new(rules, Metrics::new().unwrap().admission)
    }

    /// Makes each kind of check; the failures that they end with.
    async fn check(flow: &AdmittedChecks<Counted>) -> [Option<FailureKind>; 3] {
        let ims_org_id = ImsOrgId::parse("a@AdobeOrg").unwrap();
        let sandbox_name = SandboxName::parse("prod").unwrap();
        let spec = SpecRequest {
            ims_org_id: ims_org_id.clone(),
            sandbox_name: sandbox_name.clone(),
            connection_spec_id: "spec".to_owned(),
            body: CreateBody::default(),
        };
        let connection = ConnectionRequest {
            ims_org_id,
            sandbox_name,
            connection_id: "c".to_owned(),
            body: CreateBody::default(),
        };
        let specs = flow.auth_specs(&spec).await.err();
        let state = flow.state(&connection).await.err();
        let test = flow.test(&connection).await.err();
        [specs, state, test].map(|failure| failure.map(|failure| failure.kind))
    }

    #[tokio::test(start_paused = true)]
    async fn each_check_waits_for_a_permit() {
        let admitted = AdmittedChecks::new(Counted::default(), admission());
        let started = Instant::now();
        assert_eq!(check(&admitted).await, [None; 3]);
        assert!(started.elapsed() > Duration::from_secs(1), "the second and the third had to wait");
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_gets_no_permit_is_not_made() {
        let flow = Counted { fails: true, ..Counted::default() };
        let admitted = AdmittedChecks::new(flow.clone(), admission());
        for _ in 0..FAILURES {
            check(&admitted).await;
        }
        assert_eq!(flow.asked.load(Ordering::Relaxed), FAILURES);
        assert_eq!(check(&admitted).await, [Some(FailureKind::Unavailable); 3]);
    }
}
