//! A Flow Service whose looks are guarded: for those who ask it in their own time, and need not know of the guard.

use super::{Call, Guard, Patience, Purpose};
use crate::contract::ids::{ImsOrgId, SandboxName};
use crate::flow::{
    AuthSpec, ConnectionRequest, CreateRequest, Created, Failure, FailureKind, FindRequest, FlowApi, Found,
    ProbeRequest, SpecRequest,
};

/// Whoever looks has a time of its own after which it does without.
const PATIENCE: Patience = {
    let long = std::time::Duration::from_secs(60);
    Patience { in_company: long, alone: long }
};

/// Asks the guard before it looks at a connection spec, at a connection or at its test. Of a create and its look-ups the
/// guard is to know more; who makes them asks it.
#[derive(Debug, Clone)]
pub struct Guarded<F> {
    flow: F,
    guard: Guard,
}

impl<F: FlowApi> Guarded<F> {
    /// A guarded `flow`.
    pub fn new(flow: F, guard: Guard) -> Self {
        Self { flow, guard }
    }

    /// Looks when that is allowed; what is not is as if Flow Service could not be reached.
    async fn look<T>(
        &self,
        ims_org_id: &ImsOrgId,
        sandbox_name: &SandboxName,
        look: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let needs_token = !self.flow.has_token(ims_org_id);
        let call = Call { ims_org_id, sandbox_name, needs_token, purpose: Purpose::Check };
        let denied = |denied: super::Denied| Failure::new(FailureKind::Unavailable, denied.to_string());
        let pass = self.guard.admit(call, PATIENCE).await.map_err(denied)?;
        let seen = look.await;
        pass.ended(seen.as_ref().err());
        seen
    }
}

impl<F: FlowApi> FlowApi for Guarded<F> {
    async fn create(&self, request: &CreateRequest) -> Result<Created, Failure> {
        self.flow.create(request).await
    }

    async fn find(&self, request: &FindRequest) -> Result<Option<Found>, Failure> {
        self.flow.find(request).await
    }

    async fn probe(&self, request: &ProbeRequest) -> Result<(), Failure> {
        self.flow.probe(request).await
    }

    fn has_token(&self, ims_org_id: &ImsOrgId) -> bool {
        self.flow.has_token(ims_org_id)
    }

    async fn auth_specs(&self, request: &SpecRequest) -> Result<Vec<AuthSpec>, Failure> {
        self.look(&request.ims_org_id, &request.sandbox_name, self.flow.auth_specs(request)).await
    }

    async fn state(&self, request: &ConnectionRequest) -> Result<String, Failure> {
        self.look(&request.ims_org_id, &request.sandbox_name, self.flow.state(request)).await
    }

    async fn test(&self, request: &ConnectionRequest) -> Result<bool, Failure> {
        self.look(&request.ims_org_id, &request.sandbox_name, self.flow.test(request)).await
    }
}
