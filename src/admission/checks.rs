//! A Flow Service whose optional checks wait for permits: for those who can do without, and need not know of admission.

use std::time::Duration;

use super::{Admission, Call, Operation};
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
        let rejected =
            |rejected: super::Rejected| Failure::new(FailureKind::Unavailable, rejected.to_string());
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
