//! The probe: asks for a list of one connection, only to see whether there is an answer.

use std::time::Duration;

use super::{FlowClient, NOTHING, Refused, with_headers};
use crate::flow::http::{Answer, MAX_ANSWER};
use crate::flow::token::Login;
use crate::flow::{Failure, FailureKind, ProbeRequest};
use crate::metrics::http::Method;

/// A service that takes longer than this to answer such a question is not back yet.
const TIMEOUT: Duration = Duration::from_secs(5);

impl FlowClient {
    pub(super) async fn knock(&self, request: &ProbeRequest) -> Result<(), Failure> {
        let asking = async {
            let login = self.keyring.of(request.ims_org_id.as_str())?.login().await?;
            self.list_one(request, &login).await.map_err(|refused| refused.failure)
        };
        match tokio::time::timeout(TIMEOUT, asking).await {
            Ok(Err(failure)) if is_down(failure.kind) => Err(failure),
            Ok(_) => Ok(()),
            Err(_) => {
                let message = format!("Flow Service did not answer a probe within {TIMEOUT:?}");
                Err(Failure::new(FailureKind::Timeout, message))
            }
        }
    }

    async fn list_one(&self, request: &ProbeRequest, login: &Login) -> Result<Answer, Refused> {
        let ProbeRequest { ims_org_id, sandbox_name } = request;
        let mut url = self.connections.clone();
        url.set_query(Some("limit=1"));
        let get = self.http.get(url);
        let get = with_headers(get, ims_org_id.as_str(), sandbox_name.as_str(), login)?;
        self.call(Method::Get, get, MAX_ANSWER, &NOTHING, login).await
    }
}

/// Whether a failure says that Flow Service is not there. Without a token it cannot be asked, and a job has to try.
fn is_down(kind: FailureKind) -> bool {
    match kind {
        FailureKind::NotSent
        | FailureKind::Timeout
        | FailureKind::NoAnswer
        | FailureKind::ServerError
        | FailureKind::Unavailable => true,
        FailureKind::Throttled
        | FailureKind::TokenUnavailable
        | FailureKind::Unreadable
        | FailureKind::Refused
        | FailureKind::Unauthorized
        | FailureKind::CredentialsRefused => false,
    }
}
