//! Asks for a list of one connection, only to see whether it may be asked for: for `doctor`.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{FlowClient, NOTHING, Refused, unreadable, with_headers};
use crate::flow::http::{Answer, End, MAX_ANSWER};
use crate::flow::lenient::object;
use crate::flow::token::Login;
use crate::flow::{Failure, ProbeRequest};
use crate::metrics::http::Method;

/// Any list.
#[derive(Deserialize)]
struct List {
    #[serde(rename = "items")]
    _items: Vec<IgnoredAny>,
}

impl FlowClient {
    /// Whether connections may be listed.
    pub async fn may_list(&self, request: &ProbeRequest) -> Result<(), Failure> {
        self.logged_in(request.ims_org_id.as_str(), |login| async move {
            let answer = self.list_one(request, &login).await?;
            // One connection can be longer than what is read.
            let is_list = match answer.end {
                End::Whole => object::<List>(&answer.body).is_some(),
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

    async fn list_one(&self, request: &ProbeRequest, login: &Login) -> Result<Answer, Refused> {
        let ProbeRequest { ims_org_id, sandbox_name } = request;
        let mut url = self.connections.clone();
        url.set_query(Some("limit=1"));
        let get = self.http.get(url);
        let get = with_headers(get, ims_org_id.as_str(), sandbox_name.as_str(), login)?;
        self.call(Method::Get, get, MAX_ANSWER, &NOTHING, login).await
    }
}
