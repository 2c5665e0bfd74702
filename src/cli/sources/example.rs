//! A job for a source, to fill in.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::sources::{Auth, Basis, Source};

/// Stands for what only the sender knows.
const TO_FILL_IN: &str = "…";

/// A job with every param that is needed, and an id of its own.
pub(super) fn job(source: &Source, auth: &Auth) -> Value {
    let params: Map<String, Value> =
        auth.required.iter().map(|name| ((*name).to_owned(), TO_FILL_IN.into())).collect();
    json!({
        "jobId": format!("{}-{}", source.name, Uuid::new_v4()),
        "source": source.name,
        "connection": {
            "name": format!("connection for {}", source.title),
            "auth": { "specName": auth.spec_name, "params": params },
        },
    })
}

/// What there is to say about such a job besides.
pub(super) fn notes(source: &Source, auth: &Auth) -> String {
    let mut notes = vec![format!("{}, {}.", source.title, auth.spec_name)];
    if auth.basis != Basis::AuthSpec {
        notes.push("The params are read off Adobe's documentation, and may not be complete.".to_owned());
    }
    if !auth.optional.is_empty() {
        notes.push(format!("Optional params: {}.", auth.optional.join(", ")));
    }
    for other in source.auth.iter().filter(|other| other.spec_name != auth.spec_name) {
        notes.push(format!("Another kind of authentication: --auth '{}'.", other.spec_name));
    }
    notes.push("imsOrgId and sandboxName may be added; without them the worker's own count.".to_owned());
    notes.join("\n")
}
