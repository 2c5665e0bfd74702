//! A job's credentials that come sealed: `connection.auth.sealed` in place of `connection.auth.params`.
//!
//! What is opened is held to all that holds for credentials in the clear. The message itself stays sealed: it goes round,
//! and is parked, as it came.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema};
use serde_json::json;
use serde_json::value::RawValue;

use super::auth::AUTH_DEPTH;
use super::job::{AuthDocument, JobDocument};
use super::object::{Object, Path, check_free, kind};
use super::parse::{Defaults, Envelope, Limits, Rejected, parse};
use super::problem::Problems;
use crate::sealing::{Binding, Keyring, OpenError, PublicKey};

const PARAMS: &str = "connection.auth.params";
const SEALED: &str = "connection.auth.sealed";
const PUBLIC_KEY: &str = "connection.auth.sealed.publicKey";
const CIPHERTEXT: &str = "connection.auth.sealed.ciphertext";
pub(super) const SEALED_FIELDS: &[&str] = &["publicKey", "ciphertext"];

/// What the sealed text is bound to must not come from a default or a header: whoever moves the message changes those.
const NOT_NAMED: &str =
    "missing; a job with sealed credentials names it itself, because they are bound to it";

/// Credentials as they come sealed: RFC 9180, base mode, X25519, HKDF-SHA256, AES-128-GCM.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SealedDocument {
    /// The public key that they are sealed to, as `keygen` prints it: 32 bytes in base64url.
    #[schemars(with = "String", extend("pattern" = "^[A-Za-z0-9_-]{43}=?$"))]
    pub(super) public_key: PublicKey,
    /// The encapsulated secret and the ciphertext of `params` (`enc || ct`) in base64url.
    #[schemars(extend("pattern" = "^[A-Za-z0-9_-]+={0,2}$"))]
    pub(super) ciphertext: String,
}

/// How credentials came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// In the clear.
    Clear,
    /// Sealed.
    Sealed,
    /// In the clear, and refused for it.
    RefusedClear,
    /// Sealed, and nothing that could be opened.
    Unopenable,
}

impl Form {
    /// Every form.
    pub const ALL: [Self; 4] = [Self::Clear, Self::Sealed, Self::RefusedClear, Self::Unopenable];

    /// For a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Sealed => "sealed",
            Self::RefusedClear => "refused_clear",
            Self::Unopenable => "unopenable",
        }
    }

    /// Whether how they came is why a job is refused.
    pub(super) fn refused(is_clear: bool, problems: &Problems) -> Option<Self> {
        if problems.mention(SEALED) {
            return Some(Self::Unopenable);
        }
        is_clear.then_some(Self::RefusedClear)
    }
}

/// What the worker does about sealed credentials.
#[derive(Debug, Clone, Default)]
pub struct Sealing {
    /// What opens them.
    pub keys: Keyring,
    /// Whether those in the clear are refused.
    pub required: bool,
}

/// Reads `connection.auth.sealed`.
pub(super) fn read(raw: &RawValue, problems: &mut Problems) -> Option<SealedDocument> {
    let object = Object::read(raw, Path::Known(SEALED), problems)?;
    object.refuse_others(SEALED_FIELDS, problems);
    let key = object.required_string("publicKey", problems);
    let ciphertext = object.required_string("ciphertext", problems);
    let public_key = PublicKey::parse(&key?);
    if public_key.is_none() {
        problems.add(PUBLIC_KEY, "no public key, expected 32 bytes in base64url, as keygen prints them");
    }
    Some(SealedDocument { public_key: public_key?, ciphertext: ciphertext? })
}

/// Refuses a job with sealed credentials that leaves out what they are bound to.
pub(super) fn names_its_place(document: &JobDocument, problems: &mut Problems) {
    if document.connection.as_ref().is_none_or(|connection| connection.auth.sealed.is_none()) {
        return;
    }
    for (field, is_named) in [
        ("jobId", document.job_id.is_some()),
        ("imsOrgId", document.ims_org_id.is_some()),
        ("sandboxName", document.sandbox_name.is_some()),
    ] {
        if !is_named && !problems.mention(field) {
            problems.add(field, NOT_NAMED);
        }
    }
}

/// The credentials in the clear, and how they came.
pub(super) fn params<'a>(
    auth: &'a AuthDocument,
    sealing: &Sealing,
    binding: &Binding<'_>,
    problems: &mut Problems,
) -> Option<(Cow<'a, RawValue>, Form)> {
    if let Some(sealed) = &auth.sealed {
        let opened = open(sealed, &sealing.keys, binding, problems)?;
        return Some((Cow::Owned(opened), Form::Sealed));
    }
    let params = auth.params.as_deref()?;
    if sealing.required {
        problems.add(
            PARAMS,
            "in the clear, and this worker takes sealed credentials only (REQUIRE_SEALED): connection-worker seal makes such a job. They have been in a queue by now: better change them",
        );
        return None;
    }
    Some((Cow::Borrowed(params), Form::Clear))
}

fn open(
    sealed: &SealedDocument,
    keys: &Keyring,
    binding: &Binding<'_>,
    problems: &mut Problems,
) -> Option<Box<RawValue>> {
    // Otherwise a text for a place that is in doubt would seem to be damaged.
    if !problems.is_empty() {
        return None;
    }
    if keys.is_empty() {
        problems.add(SEALED, "this worker has no key to open it (SEALING_KEY_FILES)");
        return None;
    }
    let opened = match keys.open(sealed.public_key, &sealed.ciphertext, binding) {
        Ok(opened) => opened,
        Err(error) => {
            let path = if error == OpenError::UnknownKey { PUBLIC_KEY } else { CIPHERTEXT };
            problems.add(path, error.to_string());
            return None;
        }
    };
    let text = String::from_utf8(opened).ok();
    let raw = text.and_then(|text| serde_json::from_str::<Box<RawValue>>(&text).ok());
    let Some(raw) = raw.filter(|raw| kind(raw) == "an object") else {
        problems.add(CIPHERTEXT, "what is sealed is no JSON object");
        return None;
    };
    check_free(&raw, Path::Known(PARAMS), AUTH_DEPTH, problems);
    Some(raw)
}

/// Seals the credentials of a job in the clear for a worker's key; all else stays as it stands in the text.
pub fn seal(job: &str, key: PublicKey) -> Result<String, Rejected> {
    let mut problems = Problems::default();
    let sealed = seal_checked(job, key, &mut problems);
    sealed.ok_or(Rejected { job_id: None, form: None, problems })
}

fn seal_checked(job: &str, key: PublicKey, problems: &mut Problems) -> Option<String> {
    let message = Object::read_message(job, problems)?;
    for field in ["jobId", "imsOrgId", "sandboxName"] {
        if message.get(field).is_none() {
            problems.add(field, NOT_NAMED);
        }
    }
    if !problems.is_empty() {
        return None;
    }
    let limits = Limits { max_bytes: usize::MAX };
    let read = match parse(job.as_bytes(), &Envelope::default(), &Defaults::default(), limits) {
        Ok(read) => read,
        Err(rejected) if rejected.form == Some(Form::Unopenable) => {
            problems.add(SEALED, "sealed already, expected a job in the clear");
            return None;
        }
        Err(rejected) => {
            *problems = rejected.problems;
            return None;
        }
    };
    let connection = Object::read(message.get("connection")?, Path::Known("connection"), problems)?;
    let auth = Object::read(connection.get("auth")?, Path::Known("connection.auth"), problems)?;
    let binding = Binding {
        job_id: read.id.as_str(),
        ims_org_id: read.ims_org_id.as_str(),
        sandbox_name: read.sandbox_name.as_str(),
        connection_spec_id: &read.connection_spec_id,
    };
    let ciphertext = key
        .seal(&binding, auth.get("params")?.get().as_bytes())
        .map_err(|error| problems.add(PARAMS, error.to_string()))
        .ok()?;
    let sealed = json!({ "publicKey": key.to_string(), "ciphertext": ciphertext }).to_string();
    let auth = auth.with("params", ("sealed", &sealed));
    let connection = connection.with("auth", ("auth", &auth));
    Some(message.with("connection", ("connection", &connection)))
}

/// Exactly one of both; `null` counts as absent.
pub(super) fn in_clear_or_sealed(schema: &mut Schema) {
    let either = |given: &str, other: &str| json!({ "required": [given], "properties": { given: { "type": "object" }, other: { "type": "null" } } });
    schema.insert("oneOf".to_owned(), json!([either("params", "sealed"), either("sealed", "params")]));
}

/// What sealed credentials are bound to must be there.
pub(super) fn sealed_names_its_place(schema: &mut Schema) {
    let sealed = json!({ "required": ["sealed"], "properties": { "sealed": { "type": "object" } } });
    let auth = json!({ "required": ["auth"], "properties": { "auth": sealed } });
    let job = json!({ "required": ["connection"], "properties": { "connection": auth } });
    schema.insert("if".to_owned(), job);
    let named = json!({ "required": ["jobId", "imsOrgId", "sandboxName"], "properties": { "jobId": { "type": "string" } } });
    schema.insert("then".to_owned(), named);
}
