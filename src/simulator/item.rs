//! One stored connection, and what Flow Service shows of it.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::query::Fields;
use super::store::Scope;

/// A stored connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: Uuid,
    /// In milliseconds since the epoch.
    pub(super) created_at: i64,
    /// When it is ready for use, in the same unit.
    pub(super) enabled_at: i64,
    pub(super) usable: bool,
    pub(super) client: Arc<str>,
    pub(super) org: Arc<str>,
    pub(super) sandbox: Arc<str>,
    pub(super) name: Option<Box<str>>,
    pub(super) description: Option<Box<str>>,
    pub(super) spec_id: &'static str,
    pub(super) spec_version: Arc<str>,
    pub(super) auth: Option<Arc<str>>,
    pub(super) deleted: bool,
    /// The connection before this one with the same name, and with the same description.
    pub(super) same_name: Option<u64>,
    pub(super) same_description: Option<u64>,
}

/// A connection as Flow Service shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    id: String,
    created_at: i64,
    updated_at: i64,
    created_by: &'a str,
    updated_by: &'a str,
    created_client: &'a str,
    updated_client: &'a str,
    sandbox_id: String,
    sandbox_name: &'a str,
    ims_org_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    connection_spec: ItemSpec<'a>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<&'a RawValue>,
    version: &'a str,
    etag: &'a str,
}

#[derive(Debug, Serialize)]
struct ItemSpec<'a> {
    id: &'static str,
    version: &'a str,
}

/// The entity tag of a connection, its own double quotes included, in the form that the documents show.
pub(super) fn etag(id: Uuid, created_at: i64) -> String {
    let (start, ..) = id.as_fields();
    let seconds = created_at / 1_000;
    format!("\"{start:08x}-0000-0200-0000-{seconds:08x}0000\"")
}

impl Connection {
    pub(super) fn is_in(&self, scope: Scope<'_>) -> bool {
        *self.sandbox == *scope.sandbox && *self.org == *scope.org
    }

    /// One of the states that Flow Service documents.
    fn state(&self) -> &'static str {
        if Timestamp::now().as_millisecond() < self.enabled_at { "initializing" } else { "enabled" }
    }

    pub(super) fn to_json(&self) -> Result<Box<RawValue>, serde_json::Error> {
        let etag = etag(self.id, self.created_at);
        serde_json::value::to_raw_value(&Item {
            id: self.id.to_string(),
            created_at: self.created_at,
            updated_at: self.created_at,
            created_by: &self.client,
            updated_by: &self.client,
            created_client: &self.client,
            updated_client: &self.client,
            sandbox_id: Uuid::new_v5(&Uuid::NAMESPACE_OID, self.sandbox.as_bytes()).to_string(),
            sandbox_name: &self.sandbox,
            ims_org_id: &self.org,
            name: self.name.as_deref(),
            description: self.description.as_deref(),
            connection_spec: ItemSpec { id: self.spec_id, version: &self.spec_version },
            state: self.state(),
            auth: self.auth.as_deref().map(serde_json::from_str).transpose()?,
            version: &etag,
            etag: &etag,
        })
    }
}

impl Fields for Connection {
    fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        match path {
            "id" => Some(self.id.to_string().into()),
            "createdAt" | "updatedAt" => Some(self.created_at.to_string().into()),
            "createdBy" | "updatedBy" | "createdClient" | "updatedClient" => {
                Some(Cow::Borrowed(&self.client))
            }
            "sandboxName" => Some(Cow::Borrowed(&self.sandbox)),
            "imsOrgId" => Some(Cow::Borrowed(&self.org)),
            "name" => self.name.as_deref().map(Cow::Borrowed),
            "description" => self.description.as_deref().map(Cow::Borrowed),
            "connectionSpec.id" => Some(Cow::Borrowed(self.spec_id)),
            "connectionSpec.version" => Some(Cow::Borrowed(&self.spec_version)),
            "state" => Some(Cow::Borrowed(self.state())),
            "version" | "etag" => Some(etag(self.id, self.created_at).into()),
            path => {
                let path = path.strip_prefix("auth.")?;
                let auth: Value = serde_json::from_str(self.auth.as_deref()?).ok()?;
                auth.field(path).map(|value| value.into_owned().into())
            }
        }
    }
}
