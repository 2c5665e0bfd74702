//! Looks at one thing by its id: a connection spec, or a connection and its test. Changes nothing, and decides nothing.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use url::Url;

use super::{FlowClient, Refused, unreadable, with_headers};
use crate::flow::http::{End, MAX_ANSWER};
use crate::flow::lenient::object;
use crate::flow::token::Login;
use crate::flow::{AuthSpec, ConnectionRequest, Failure, FailureKind, SpecRequest};
use crate::metrics::http::Method;

/// A connection spec has some 10 kB, most of it not about authentication.
const MAX_SPEC: usize = 1024 * 1024;

/// Those that are known have half as many characters.
const MAX_STATE: usize = 32;

/// What is looked at, for whom, and what its answer is not if it cannot be read.
struct Look<'a> {
    collection: &'a Url,
    /// Below the collection; begins with an id.
    path: &'a [&'a str],
    ims_org_id: &'a str,
    sandbox_name: &'a str,
    max_body: usize,
    lacking: &'static str,
    /// What must not be told.
    sent: &'a Bytes,
}

/// Flow Service wraps even one thing into a page.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    id: String,
    auth_spec: Vec<Kind>,
}

/// One kind of authentication.
#[derive(Deserialize)]
struct Kind {
    name: String,
    spec: Value,
}

/// Of a connection nothing else is read: its `auth` may hold credentials.
#[derive(Deserialize)]
struct Connection {
    id: String,
    state: String,
}

#[derive(Deserialize)]
struct Test {
    result: bool,
}

impl FlowClient {
    /// The kinds of authentication of a connection spec.
    pub(super) async fn look_at_spec(&self, wanted: &SpecRequest) -> Result<Vec<AuthSpec>, Failure> {
        let id = wanted.connection_spec_id.as_str();
        let look = Look {
            collection: &self.specs,
            path: &[id],
            ims_org_id: wanted.ims_org_id.as_str(),
            sandbox_name: wanted.sandbox_name.as_str(),
            max_body: MAX_SPEC,
            lacking: "which is no connection spec",
            sent: &wanted.body.0,
        };
        let spec = self.look(&look, |body| item(body, |spec: &Spec| spec.id == id)).await?;
        let kinds = spec.auth_spec.into_iter();
        Ok(kinds.map(|Kind { name, spec }| AuthSpec { name, schema: spec }).collect())
    }

    /// The state of a connection.
    pub(super) async fn look_at_state(&self, wanted: &ConnectionRequest) -> Result<String, Failure> {
        let id = wanted.connection_id.as_str();
        let path = [id];
        let look = self.look_at_connection(wanted, &path, "which tells no state of the connection");
        self.look(&look, |body| {
            let connection = item(body, |connection: &Connection| connection.id == id)?;
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            let fits = connection.state.len() <= MAX_STATE && connection.state.bytes().all(plain);
            fits.then_some(connection.state)
        })
        .await
    }

    /// What Flow Service says when it tries a connection.
    pub(super) async fn look_at_test(&self, wanted: &ConnectionRequest) -> Result<bool, Failure> {
        let path = [wanted.connection_id.as_str(), "test"];
        let look = self.look_at_connection(wanted, &path, "without the result of a test");
        self.look(&look, |body| object::<Test>(body).map(|test| test.result)).await
    }

    fn look_at_connection<'a>(
        &'a self,
        wanted: &'a ConnectionRequest,
        path: &'a [&'a str],
        lacking: &'static str,
    ) -> Look<'a> {
        Look {
            collection: &self.connections,
            path,
            ims_org_id: wanted.ims_org_id.as_str(),
            sandbox_name: wanted.sandbox_name.as_str(),
            max_body: MAX_ANSWER,
            lacking,
            sent: &wanted.body.0,
        }
    }

    async fn look<T>(&self, look: &Look<'_>, read: impl Fn(&[u8]) -> Option<T>) -> Result<T, Failure> {
        let read = &read;
        self.logged_in(look.ims_org_id, |login| async move { self.look_once(look, read, &login).await }).await
    }

    async fn look_once<T>(
        &self,
        look: &Look<'_>,
        read: impl Fn(&[u8]) -> Option<T>,
        login: &Login,
    ) -> Result<T, Refused> {
        let url = below(look.collection, look.path)?;
        let get = with_headers(self.http.get(url), look.ims_org_id, look.sandbox_name, login)?;
        let answer = self.call(Method::Get, get, look.max_body, look.sent, login).await?;
        let found = match answer.end {
            End::Whole => read(&answer.body),
            End::TooLong(_) | End::Cut(_) => None,
        };
        found.ok_or_else(|| Refused {
            failure: unreadable(&answer, look.lacking, look.sent, login),
            bad_token: false,
        })
    }
}

/// The wanted item of a page. Whatever else may be there is not what was asked for.
fn item<T: DeserializeOwned>(body: &[u8], is_wanted: impl Fn(&T) -> bool) -> Option<T> {
    let Page { items } = object(body)?;
    items.iter().filter_map(|item| object(item.get().as_bytes())).find(is_wanted)
}

/// The address of one thing in a collection.
fn below(collection: &Url, path: &[&str]) -> Result<Url, Refused> {
    let mut url = collection.clone();
    // Dots alone would lead elsewhere, and none of the ids that Adobe gives looks like that.
    let fits = path.iter().all(|part| part.bytes().any(|byte| byte != b'.'));
    match url.path_segments_mut() {
        Ok(mut segments) if fits => segments.extend(path),
        _ => {
            let failure = Failure::new(FailureKind::Refused, "the id cannot stand in an address".to_owned());
            return Err(Refused { failure, bad_token: false });
        }
    };
    Ok(url)
}
