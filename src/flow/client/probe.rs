//! The probe: asks for a list of one connection, only to see whether there is an answer.

use std::time::Duration;

use bytes::Bytes;

use super::FlowClient;
use crate::flow::{Failure, FailureKind, ProbeRequest};

/// A service that takes longer than this to answer such a question is not back yet.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Whatever the connection is, it is not read.
const MAX_BODY: usize = 64 * 1024;

impl FlowClient {
    pub(super) async fn knock(&self, request: &ProbeRequest) -> Result<(), Failure> {
        let answered = tokio::time::timeout(TIMEOUT, async {
            let token = self.token.current().await?;
            let mut url = self.connections.clone();
            url.set_query(Some("limit=1"));
            let ProbeRequest { ims_org_id, sandbox_name } = request;
            let get = self.http.get(url);
            let get = self.with_headers(get, ims_org_id.as_str(), sandbox_name.as_str(), &token);
            let answer = match get {
                Ok(get) => self.call(get, MAX_BODY, &Bytes::new(), &token).await,
                Err(refused) => Err(refused),
            };
            answer.map(drop).map_err(|refused| refused.failure)
        });
        match answered.await {
            Ok(Err(failure)) if is_down(failure.kind) => Err(failure),
            Ok(_) => Ok(()),
            Err(_) => {
                let message = format!("Flow Service did not answer a probe within {TIMEOUT:?}");
                Err(Failure::new(FailureKind::Timeout, message))
            }
        }
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
