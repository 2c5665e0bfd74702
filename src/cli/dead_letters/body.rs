//! The body of a parked message, as far as it may be shown.
//!
//! By permission, not by prohibition: shown is what the contract says is no secret, in the form that the contract gives
//! it. A body that breaks the contract can hold a credential anywhere.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::contract::ids::{ImsOrgId, JobId, SandboxName};
use crate::sealing::PublicKey;
use crate::sources;

/// What stands in the place of a value that is not shown.
const HIDDEN: &str = "[hidden]";

/// Nobody reads a longer one on a terminal, and it takes many times its size to take it apart.
const LONGEST: usize = 1024 * 1024;

/// The body with everything hidden that could be a secret; nothing if it is no job, not even a broken one.
pub(super) fn shown(body: &[u8]) -> Option<String> {
    if body.len() > LONGEST {
        return None;
    }
    let Value::Object(job) = serde_json::from_slice(body).ok()? else { return None };
    job.get("connection")?.as_object()?;
    serde_json::to_string_pretty(&each(job, job_field)).ok()
}

fn each(fields: Map<String, Value>, show: fn(&str, Value) -> Value) -> Value {
    fields.into_iter().map(|(name, value)| (name.clone(), show(&name, value))).collect()
}

fn job_field(name: &str, value: Value) -> Value {
    match (name, value) {
        ("schemaVersion", Value::Number(version)) => Value::Number(version),
        ("jobId", value) => text(value, |text| JobId::parse(text).is_ok()),
        ("imsOrgId", value) => text(value, |text| ImsOrgId::parse(text).is_ok()),
        ("sandboxName", value) => text(value, |text| SandboxName::parse(text).is_ok()),
        ("source", value) => text(value, |text| sources::by_name(text).is_some()),
        ("expiresAt", value) => text(value, |text| text.parse::<Timestamp>().is_ok()),
        ("connection", Value::Object(connection)) => each(connection, connection_field),
        (_, value) => hidden(&value),
    }
}

fn connection_field(name: &str, value: Value) -> Value {
    match (name, value) {
        ("name" | "description", value) => text(value, |_| true),
        ("auth", Value::Object(auth)) => each(auth, auth_field),
        // Ids and versions have the form of an id.
        ("connectionSpec", Value::Object(spec)) => each(spec, |name, value| match name {
            "id" | "version" => text(value, |text| JobId::parse(text).is_ok()),
            _ => hidden(&value),
        }),
        (_, value) => hidden(&value),
    }
}

fn auth_field(name: &str, value: Value) -> Value {
    match (name, value) {
        ("specName", value) => text(value, |_| true),
        // The names tell which of them was forgotten.
        ("params", Value::Object(params)) => each(params, |_, value| hidden(&value)),
        // Which key it takes to open the rest.
        ("sealed", Value::Object(sealed)) => each(sealed, |name, value| match name {
            "publicKey" => text(value, |text| PublicKey::parse(text).is_some()),
            _ => hidden(&value),
        }),
        (_, value) => hidden(&value),
    }
}

fn text(value: Value, fits: impl Fn(&str) -> bool) -> Value {
    if value.as_str().is_some_and(fits) { value } else { hidden(&value) }
}

/// `null` is a frequent mistake and no secret.
fn hidden(value: &Value) -> Value {
    if value.is_null() { Value::Null } else { HIDDEN.into() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn after(body: &Value) -> Value {
        serde_json::from_str(&shown(body.to_string().as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn a_job_is_shown_without_its_credentials() {
        let job = json!({
            "schemaVersion": 1,
            "jobId": "a",
            "imsOrgId": "1234@AdobeOrg",
            "sandboxName": "dev",
            "source": "hubspot",
            "connection": {
                "name": "n",
                "description": "d",
                "auth": {
                    "specName": "Basic Authentication",
                    "params": { "clientId": "c", "pin": 1, "none": null, "deep": { "key": ["k"] } },
                    "other": { "token": "t" },
                    "sealed": { "publicKey": "A".repeat(43), "ciphertext": "c" },
                },
                "connectionSpec": { "id": "cc6a4487-9e91-433e-a3a3-9cf6626c1806", "version": "1.0" },
            },
            "expiresAt": "2030-01-31T12:00:00Z",
        });
        let mut expected = job.clone();
        expected["connection"]["auth"]["params"] =
            json!({ "clientId": HIDDEN, "pin": HIDDEN, "none": null, "deep": HIDDEN });
        expected["connection"]["auth"]["other"] = json!(HIDDEN);
        expected["connection"]["auth"]["sealed"]["ciphertext"] = json!(HIDDEN);
        assert_eq!(after(&job), expected);
    }

    #[test]
    fn what_is_in_the_wrong_place_is_hidden() {
        let secrets = [json!("a secret / here"), json!(["s"]), json!([{ "s": "s" }]), json!(7)];
        for secret in secrets {
            let job = json!({
                "jobId": secret, "imsOrgId": secret, "sandboxName": secret, "source": secret,
                "expiresAt": secret, "unknown": secret, "connection": { "auth": secret,
                "connectionSpec": { "id": secret, "version": secret, "x": secret }, "unknown": secret },
            });
            let expected = json!({
                "jobId": HIDDEN, "imsOrgId": HIDDEN, "sandboxName": HIDDEN, "source": HIDDEN,
                "expiresAt": HIDDEN, "unknown": HIDDEN, "connection": { "auth": HIDDEN,
                "connectionSpec": { "id": HIDDEN, "version": HIDDEN, "x": HIDDEN }, "unknown": HIDDEN },
            });
            assert_eq!(after(&job), expected, "{secret}");
        }
    }

    #[test]
    fn what_is_no_job_is_not_shown() {
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        for body in
            ["", "secret", "{", "[{}]", "\"s\"", "{\"password\":\"s\"}", "{\"connection\":\"s\"}", &deep]
        {
            assert_eq!(shown(body.as_bytes()), None, "{body}");
        }
        assert_eq!(shown(b"\xff\xfe"), None);
    }
}
