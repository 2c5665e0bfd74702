//! The job: what a sender asks for, as it stands on the wire and as the worker holds it.

use bytes::Bytes;
use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::zeroize::Zeroizing;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use super::ids::{ImsOrgId, JobId, SandboxName};
use super::params::Remarks;
use super::sealed::{Form, SealedDocument, in_clear_or_sealed, sealed_names_its_place};
use crate::sources;

/// Room in a request for what is the same in all of them, and for escapes, in bytes.
const ROOM: usize = 1024;

/// As a regular expression: not only blanks.
const SOME_TEXT: &str = r"\S";

/// A job as it stands in the message body. `connection` is the body of Flow Service's `POST /connections`.
///
/// Unknown fields are refused here and in `connection`, so that a typo in `sandboxName` cannot create a connection
/// somewhere else; a field given twice is refused wherever it stands; `null` counts as absent, but not for
/// `imsOrgId` and `sandboxName`.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields, title = "Job")]
#[schemars(transform = sealed_names_its_place)]
pub(super) struct JobDocument {
    /// Version of this contract; 1 if absent.
    #[schemars(range(min = 1, max = 1))]
    #[expect(dead_code, reason = "only 1 is accepted, so nothing depends on it")]
    pub(super) schema_version: Option<u32>,
    /// The id of the job. If absent, the AMQP `message_id` serves, and must then keep the same rules.
    pub(super) job_id: Option<JobId>,
    /// The organisation to create the connection in. If absent, the worker's `IMS_ORG_ID`.
    #[schemars(transform = not_null)]
    pub(super) ims_org_id: Option<ImsOrgId>,
    /// The sandbox to create the connection in. If absent, the worker's `SANDBOX_NAME`; never `prod` by default.
    #[schemars(transform = not_null)]
    pub(super) sandbox_name: Option<SandboxName>,
    /// The source by name, such as `hubspot`: stands in place of `connection.connectionSpec`, and of
    /// `connection.auth.specName` where the source has one kind of authentication. If both are given they must agree.
    #[schemars(extend("enum" = source_names()))]
    pub(super) source: Option<String>,
    /// The connection to create.
    #[schemars(required, with = "ConnectionDocument")]
    pub(super) connection: Option<ConnectionDocument>,
    /// After this instant (RFC 3339, with an offset or `Z`) the job is not worth doing and is answered `expired`.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub(super) expires_at: Option<Timestamp>,
}

/// May be left out, and must not be null.
fn not_null(schema: &mut schemars::Schema) {
    schema.insert("type".to_owned(), "string".into());
}

/// The connection to create.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ConnectionDocument {
    /// The connection's name. Flow Service does not ask for unique names.
    #[schemars(length(min = 1), extend("pattern" = SOME_TEXT))]
    pub(super) name: String,
    /// A description.
    pub(super) description: Option<String>,
    /// How Flow Service authenticates with the source. Unknown fields in here are passed on.
    pub(super) auth: AuthDocument,
    /// The connection spec of the source; required unless `source` names it.
    pub(super) connection_spec: Option<ConnectionSpec>,
}

/// How Flow Service authenticates with the source.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", transform = in_clear_or_sealed)]
pub(super) struct AuthDocument {
    /// The name of the connection spec's authentication, such as `Basic Authentication`; required unless `source`
    /// tells it.
    #[schemars(length(min = 1), extend("pattern" = SOME_TEXT))]
    pub(super) spec_name: Option<String>,
    /// The credentials: free JSON, passed on as they stand. What the source's published connection spec requires must be
    /// among them, unless the worker runs with `SPEC_VALIDATION=off`.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub(super) params: Option<Box<RawValue>>,
    /// The same, sealed for the worker: stands in place of `params`. The job must then name its `jobId`, `imsOrgId` and
    /// `sandboxName` itself, because they are what it is bound to, together with the connection spec.
    pub(super) sealed: Option<SealedDocument>,
    /// Any further field, passed on as it stands.
    #[schemars(skip)]
    pub(super) others: Vec<(String, Box<RawValue>)>,
}

/// A source's connection spec.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ConnectionSpec {
    /// The spec's id, such as `cc6a4487-9e91-433e-a3a3-9cf6626c1806` for HubSpot.
    #[schemars(length(min = 1), extend("pattern" = SOME_TEXT))]
    pub(super) id: String,
    /// The spec's version. Flow Service answers 422 without one, so it is always sent.
    #[schemars(with = "Option<String>", extend("default" = "1.0", "pattern" = SOME_TEXT))]
    pub(super) version: String,
}

/// The names that `source` can have; null stands for none.
fn source_names() -> Vec<Option<&'static str>> {
    sources::ALL.iter().map(|source| Some(source.name)).chain([None]).collect()
}

/// A job that keeps the contract, with everything filled in: from here on nothing about it needs checking.
#[derive(Clone, PartialEq, Eq)]
pub struct Job {
    /// The job's id.
    pub id: JobId,
    /// The organisation to create the connection in.
    pub ims_org_id: ImsOrgId,
    /// The sandbox to create the connection in.
    pub sandbox_name: SandboxName,
    /// The connection's name.
    pub name: String,
    /// The connection spec's id.
    pub connection_spec_id: String,
    /// The description that is sent, with the job's mark at its end; `None` if jobs leave no mark.
    pub marked_description: Option<String>,
    /// When the job is no longer worth doing.
    pub expires_at: Option<Timestamp>,
    /// How its credentials came.
    pub form: Form,
    /// What looks wrong with its `auth`, going by the catalogue of sources.
    pub remarks: Remarks,
    /// The body of `POST /connections`. It carries credentials, and is wiped when nobody needs it any more.
    pub body: Bytes,
}

/// The id of a job, whatever else is wrong with it: from the body, of which nothing else is read, or the `message_id`.
pub fn id_of(body: &[u8], message_id: Option<&str>) -> Option<JobId> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Named {
        job_id: Option<String>,
    }
    let named = serde_json::from_slice::<Named>(body).ok().and_then(|named| named.job_id);
    [named.as_deref(), message_id].into_iter().flatten().find_map(|id| JobId::parse(id).ok())
}

/// Shows which job it is and nothing that could be secret.
impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job")
            .field("id", &self.id)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The body of `POST /connections`, in the order of Adobe's tutorial.
pub(super) struct RequestBody<'a> {
    pub(super) name: &'a str,
    pub(super) description: Option<&'a str>,
    pub(super) auth: RequestAuth<'a>,
    pub(super) connection_spec: &'a ConnectionSpec,
}

/// The `auth` of the request body.
pub(super) struct RequestAuth<'a> {
    pub(super) spec_name: &'a str,
    pub(super) params: &'a RawValue,
    pub(super) others: &'a [(String, Box<RawValue>)],
}

impl RequestBody<'_> {
    /// As JSON, wiped when given up. If it grew while it is written, what it had before would stay in memory with
    /// credentials in it; so it begins with room for all but texts that are full of escapes.
    pub(super) fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        let mut json = Zeroizing::new(Vec::with_capacity(self.room()));
        serde_json::to_writer(&mut *json, self)?;
        Ok(json)
    }

    fn room(&self) -> usize {
        let RequestBody { name, description, auth, connection_spec: ConnectionSpec { id, version } } = self;
        let texts = [name, description.unwrap_or_default(), auth.spec_name, auth.params.get(), id, version];
        let others = auth.others.iter().map(|(key, value)| key.len() + value.get().len());
        ROOM + texts.iter().map(|text| text.len()).chain(others).sum::<usize>()
    }
}

impl Serialize for RequestBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", self.name)?;
        if let Some(description) = self.description {
            map.serialize_entry("description", description)?;
        }
        map.serialize_entry("auth", &self.auth)?;
        map.serialize_entry("connectionSpec", self.connection_spec)?;
        map.end()
    }
}

impl Serialize for RequestAuth<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("specName", self.spec_name)?;
        map.serialize_entry("params", self.params)?;
        for (key, value) in self.others {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl Serialize for ConnectionSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("version", &self.version)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use serde_json::value::to_raw_value;

    use super::*;

    #[test]
    fn a_request_does_not_grow_while_it_is_written() {
        let long = "x".repeat(10_000);
        let raw = to_raw_value(&json!({ "password": long, "port": 1 })).unwrap();
        let others = vec![("scopes".to_owned(), raw.clone()), (long.clone(), raw.clone())];
        let spec = ConnectionSpec { id: long.clone(), version: long.clone() };
        let body = RequestBody {
            name: &long,
            description: Some("\"a \n description\""),
            auth: RequestAuth { spec_name: &long, params: &raw, others: &others },
            connection_spec: &spec,
        };
        let json = body.to_json().unwrap();
        assert_eq!(json.capacity(), body.room());
        assert!(json.len() > 80_000);
    }
}
