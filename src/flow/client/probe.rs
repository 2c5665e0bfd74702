//! The probe: asks for a list of one connection, only to see whether there is an answer, or whether it may be asked for.

use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{FlowClient, NOTHING, Refused, unreadable, with_headers};
use crate::flow::http::{Answer, End, MAX_ANSWER};
use crate::flow::token::Login;
use crate::flow::{Failure, FailureKind, ProbeRequest};
use crate::metrics::http::Method;

/// A service that takes longer than this to answer such a question is not back yet.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Any list.
#[derive(Deserialize)]
struct List {
    #[serde(rename = "items")]
    _items: Vec<IgnoredAny>,
}

impl FlowClient {
    /// Whether connections may be listed. For tools: the worker asks only whether there is an answer.
    pub async fn may_list(&self, request: &ProbeRequest) -> Result<(), Failure> {
        self.logged_in(request.ims_org_id.as_str(), |login| async move {
            let answer = self.list_one(request, &login).await?;
            // One connection can be longer than what is read.
            let is_list = match answer.end {
                End::Whole => serde_json::from_slice::<List>(&answer.body).is_ok(),
                End::TooLong(_) => true,
                End::Cut(_) => false,
            };
            if is_list {
                return Ok(());
            }
            let failure = unreadable(&answer, "which is no list of connections", &NOTHING, &login);
            Err(Refused { failure, bad_token: false })
        })
        .await
    }

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
