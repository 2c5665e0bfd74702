//! From bytes to a job, or to every reason why they are none.

use std::borrow::Cow;
use std::str::Utf8Error;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::value::RawValue;

use super::auth;
use super::ids::{ImsOrgId, JobId, SandboxName};
use super::job::{ConnectionDocument, ConnectionSpec, Job, JobDocument, RequestAuth, RequestBody};
use super::marker::marked;
use super::object::{Object, Path, kind};
use super::params::remarks;
use super::problem::Problems;
use super::reply::SCHEMA_VERSION;
use super::sealed::{self, Form, Sealing};
use crate::sealing::Binding;
use crate::sources;

/// The version of a connection spec that is sent when the job names none.
const DEFAULT_SPEC_VERSION: &str = "1.0";

pub(super) const JOB_FIELDS: &[&str] =
    &["schemaVersion", "jobId", "imsOrgId", "sandboxName", "source", "connection", "expiresAt"];
pub(super) const CONNECTION_FIELDS: &[&str] = &["name", "description", "auth", "connectionSpec"];
pub(super) const SPEC_FIELDS: &[&str] = &["id", "version"];

/// What the worker's configuration fills in, and opens.
#[derive(Debug, Clone, Default)]
pub struct Defaults {
    /// The organisation of jobs that name none.
    pub ims_org_id: Option<ImsOrgId>,
    /// The sandbox of jobs that name none.
    pub sandbox_name: Option<SandboxName>,
    /// Whether a connection's description ends with the mark of its job.
    pub mark: bool,
    /// The keys to sealed jobs.
    pub sealing: Sealing,
}

/// What is accepted at all.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest message body, in bytes.
    pub max_bytes: usize,
}

/// What the contract reads of a message's AMQP properties.
#[derive(Debug, Clone, Default)]
pub struct Envelope {
    /// Serves as the job's id if the body has none.
    pub message_id: Option<String>,
}

/// A message that is no job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problems}")]
pub struct Rejected {
    /// The job's id, if at least that could be read: from the body, else from `message_id`.
    pub job_id: Option<JobId>,
    /// How its credentials came, if they are why it is refused.
    pub form: Option<Form>,
    /// Every fault.
    pub problems: Problems,
}

/// Reads a job. Every fault is collected, and none repeats a value of the message.
pub fn parse(body: &[u8], envelope: &Envelope, defaults: &Defaults, limits: Limits) -> Result<Job, Rejected> {
    let mut problems = Problems::default();
    let mut job_id = envelope.message_id.as_deref().and_then(|id| JobId::parse(id).ok());
    if let Some(text) = text(body, limits, &mut problems)
        && let Some(object) = Object::read_message(text, &mut problems)
    {
        let document = read_document(&object, &mut problems);
        if let Some(id) = &document.job_id {
            job_id = Some(id.clone());
        }
        let is_clear = document.connection.as_ref().is_some_and(|job| job.auth.sealed.is_none());
        let resolved = resolve(document, job_id.clone(), envelope, defaults, &mut problems);
        if problems.is_empty()
            && let Some(job) = resolved
        {
            return Ok(job);
        }
        let form = Form::refused(is_clear && defaults.sealing.required, &problems);
        return Err(Rejected { job_id, form, problems });
    }
    Err(Rejected { job_id, form: None, problems })
}

/// The whole message as text, or a problem that says why it is none.
fn text<'a>(body: &'a [u8], limits: Limits, problems: &mut Problems) -> Option<&'a str> {
    if body.len() > limits.max_bytes {
        let what = format!("{} bytes, expected at most {}", body.len(), limits.max_bytes);
        problems.add("", what);
        return None;
    }
    if body.is_empty() {
        problems.add("", "an empty message, expected a JSON object");
        return None;
    }
    let invalid =
        |error: Utf8Error| format!("invalid UTF-8 after byte {}, expected JSON", error.valid_up_to());
    std::str::from_utf8(body).map_err(|error| problems.add("", invalid(error))).ok()
}

/// Reads what is there; what is missing or wrong is noted and left out.
fn read_document(object: &Object<'_>, problems: &mut Problems) -> JobDocument {
    object.refuse_others(JOB_FIELDS, problems);
    object.refuse_null("imsOrgId", problems);
    object.refuse_null("sandboxName", problems);
    JobDocument {
        schema_version: read_schema_version(object, problems),
        job_id: object.parsed("jobId", problems, JobId::parse),
        ims_org_id: object.parsed("imsOrgId", problems, ImsOrgId::parse),
        sandbox_name: object.parsed("sandboxName", problems, SandboxName::parse),
        source: object.string("source", problems).map(Cow::into_owned),
        connection: object.required("connection", problems).and_then(|raw| read_connection(raw, problems)),
        expires_at: object.parsed("expiresAt", problems, |text| {
            instant(text).ok_or_else(|| {
                "no such instant, expected RFC 3339 with an offset, like 2030-01-31T12:00:00Z".to_owned()
            })
        }),
    }
}

/// Reads RFC 3339 and nothing more: jiff alone would also take ISO 8601's shorter forms, which the schema refuses.
fn instant(text: &str) -> Option<Timestamp> {
    const DATE_TIME: &[u8] = b"0000-00-00T00:00:00";
    let fits = |(byte, form): (u8, &u8)| match form {
        b'0' => byte.is_ascii_digit(),
        form => byte.eq_ignore_ascii_case(form),
    };
    let in_form =
        text.bytes().zip(DATE_TIME).all(fits) && text.len() > DATE_TIME.len() && !text.ends_with(']');
    text.parse().ok().filter(|_| in_form)
}

fn read_schema_version(object: &Object<'_>, problems: &mut Problems) -> Option<u32> {
    let raw = object.get("schemaVersion")?;
    let what = match serde_json::from_str::<u32>(raw.get()) {
        Ok(SCHEMA_VERSION) => return Some(SCHEMA_VERSION),
        Ok(other) => format!("{other} is not supported, expected {SCHEMA_VERSION}"),
        Err(_) => format!("{}, expected the number {SCHEMA_VERSION}", kind(raw)),
    };
    problems.add(object.path_of("schemaVersion"), what);
    None
}

fn read_connection(raw: &RawValue, problems: &mut Problems) -> Option<ConnectionDocument> {
    let object = Object::read(raw, Path::Known("connection"), problems)?;
    object.refuse_others(CONNECTION_FIELDS, problems);
    let name = object.required_string("name", problems);
    let description = object.string("description", problems).map(Cow::into_owned);
    let auth = object.required("auth", problems).and_then(|raw| auth::read(raw, problems));
    let connection_spec = object.get("connectionSpec").and_then(|raw| read_spec(raw, problems));
    Some(ConnectionDocument { name: name?, description, auth: auth?, connection_spec })
}

fn read_spec(raw: &RawValue, problems: &mut Problems) -> Option<ConnectionSpec> {
    let object = Object::read(raw, Path::Known("connection.connectionSpec"), problems)?;
    object.refuse_others(SPEC_FIELDS, problems);
    let id = object.required_string("id", problems);
    let version = match object.get("version") {
        Some(_) => object.required_string("version", problems)?,
        None => DEFAULT_SPEC_VERSION.to_owned(),
    };
    Some(ConnectionSpec { id: id?, version })
}

/// Fills in what the configuration and the catalogue know, and puts the request together.
fn resolve(
    document: JobDocument,
    job_id: Option<JobId>,
    envelope: &Envelope,
    defaults: &Defaults,
    problems: &mut Problems,
) -> Option<Job> {
    sealed::names_its_place(&document, problems);
    if job_id.is_none() && !problems.mention("jobId") {
        problems.add("jobId", missing_job_id(envelope));
    }
    let ims_org_id = document.ims_org_id.or_else(|| defaults.ims_org_id.clone());
    let sandbox_name = document.sandbox_name.or_else(|| defaults.sandbox_name.clone());
    if ims_org_id.is_none() && !problems.mention("imsOrgId") {
        problems.add("imsOrgId", "missing, and the worker has no default (IMS_ORG_ID)");
    }
    if sandbox_name.is_none() && !problems.mention("sandboxName") {
        problems.add("sandboxName", "missing, and the worker has no default (SANDBOX_NAME)");
    }
    let mut connection = document.connection?;
    if let Some(source) = &document.source {
        fill_in_source(source, &mut connection, problems);
    }
    let ConnectionDocument { name, description, auth, connection_spec } = connection;
    if auth.spec_name.is_none() && !problems.mention("connection.auth.specName") {
        problems.add("connection.auth.specName", "missing");
    }
    if connection_spec.is_none() && !problems.mention("connection.connectionSpec") {
        problems.add("connection.connectionSpec", "missing, and no source names it");
    }
    let (spec_name, connection_spec) = (auth.spec_name.as_deref()?, connection_spec?);
    let (ims_org_id, sandbox_name) = (ims_org_id?, sandbox_name?);
    let binding = Binding {
        job_id: job_id.as_ref()?.as_str(),
        ims_org_id: ims_org_id.as_str(),
        sandbox_name: sandbox_name.as_str(),
        connection_spec_id: &connection_spec.id,
    };
    let (params, form) = sealed::params(&auth, &defaults.sealing, &binding, problems)?;
    let marked_description = match &job_id {
        Some(id) if defaults.mark => Some(marked(description.as_deref(), id)),
        _ => None,
    };
    let body = RequestBody {
        name: &name,
        description: marked_description.as_deref().or(description.as_deref()),
        auth: RequestAuth { spec_name, params: &params, others: &auth.others },
        connection_spec: &connection_spec,
    };
    let body = match body.to_json() {
        Ok(body) => Bytes::from_owner(body),
        Err(error) => {
            problems.add("connection", format!("cannot be written as JSON: {error}"));
            return None;
        }
    };
    let remarks = remarks(&connection_spec.id, spec_name, &params);
    Some(Job {
        id: job_id?,
        ims_org_id,
        sandbox_name,
        name,
        connection_spec_id: connection_spec.id,
        marked_description,
        expires_at: document.expires_at,
        form,
        remarks,
        body,
    })
}

fn missing_job_id(envelope: &Envelope) -> String {
    match envelope.message_id.as_deref().map(JobId::parse) {
        Some(Err(why)) => format!("missing, and the AMQP message_id cannot serve: {why}"),
        _ => "missing, and so is the AMQP message_id".to_owned(),
    }
}

/// Sets what a source's name stands for; where the job says it too, both must agree.
fn fill_in_source(name: &str, connection: &mut ConnectionDocument, problems: &mut Problems) {
    let Some(source) = sources::by_name(name) else {
        let what = match sources::nearest(name) {
            Some(meant) => format!("unknown, did you mean {}?", meant.name),
            None => "unknown, expected the name of a source such as hubspot".to_owned(),
        };
        problems.add("source", what);
        return;
    };
    let spec = ConnectionSpec { id: source.spec_id.to_owned(), version: source.spec_version.to_owned() };
    match &connection.connection_spec {
        Some(given) if given.id != spec.id => {
            problems.add("connection.connectionSpec.id", format!("does not agree with source {name}"));
        }
        Some(given) if given.version != spec.version => {
            problems.add("connection.connectionSpec.version", format!("does not agree with source {name}"));
        }
        Some(_) => {}
        None => connection.connection_spec = Some(spec),
    }
    match (&connection.auth.spec_name, source.auth) {
        (Some(given), auths) if !auths.iter().any(|auth| auth.spec_name == given) => problems.add(
            "connection.auth.specName",
            format!("does not agree with source {name}, expected one of {}", source.spec_names()),
        ),
        (None, [only]) => connection.auth.spec_name = Some(only.spec_name.to_owned()),
        (None, _) => problems.add(
            "connection.auth.specName",
            format!("missing, source {name} has more than one: {}", source.spec_names()),
        ),
        _ => {}
    }
}
