//! Reads a job's `connection.auth`: its credentials are in the clear, or sealed.

use serde_json::value::RawValue;

use super::job::AuthDocument;
use super::object::{Object, Path, kind};
use super::problem::Problems;
use super::sealed;

/// What the contract knows of it. Further fields are passed on.
pub(super) const AUTH_FIELDS: &[&str] = &["specName", "params", "sealed"];

/// How deep it stands in the message.
pub(super) const AUTH_DEPTH: usize = 3;

/// Reads what is there; what is missing or wrong is noted and left out.
pub(super) fn read(raw: &RawValue, problems: &mut Problems) -> Option<AuthDocument> {
    let object = Object::read(raw, Path::Known("connection.auth"), problems)?;
    let spec_name = match object.get("specName") {
        Some(_) => object.required_string("specName", problems),
        None => None,
    };
    let sealed = object.get("sealed").map(|raw| sealed::read(raw, problems));
    let params = if sealed.is_some() { object.get("params") } else { object.required("params", problems) };
    if let Some(params) = params.filter(|params| kind(params) != "an object") {
        problems.add(object.path_of("params"), format!("{}, expected an object", kind(params)));
        return None;
    }
    if sealed.is_some() && params.is_some() {
        problems.add(object.path_of("sealed"), "given besides params, expected one of both");
    }
    object.check_others(&["specName"], AUTH_DEPTH, problems);
    let others = object.others(AUTH_FIELDS).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let sealed = sealed.flatten();
    Some(AuthDocument { spec_name, params: params.map(ToOwned::to_owned), sealed, others })
}
