//! Flow Service's calls on connection specs: the catalogue, in Adobe's shape.

use hyper::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::connections::{is_secret, page_of};
use super::http::Call;
use super::payload::Payload;
use super::problem::{self, json_answer};
use super::query::{ListQuery, Refusal};
use crate::sources::{self, Auth, Basis, Source};

/// HubSpot's provider, as its published spec has it; for the other sources a guess.
const PROVIDER_ID: &str = "0ed90a81-07f4-4586-8190-b40eccef1c5a";

/// `GET /connectionSpecs` and `GET /connectionSpecs/{id}`.
pub(super) fn specs(call: &Call) -> Response<Payload> {
    if call.id().is_empty() {
        return list(call);
    }
    match sources::by_spec_id(call.id()) {
        Some(source) => page_of(serde_json::to_string(&[spec(source)]), None),
        None => problem::not_found(call.id(), "connectionSpecs", &call.request_id),
    }
}

fn list(call: &Call) -> Response<Payload> {
    let query = match ListQuery::parse(call.query.as_deref().unwrap_or("")) {
        Ok(query) => query,
        Err(Refusal { code, detail }) => return problem::flow(400, code, &detail, &call.request_id),
    };
    // Numbered downwards, as `page` expects them.
    let numbered = (0..).zip(sources::ALL.iter().rev()).map(|(number, source)| (number, spec(source)));
    let mut matching: Vec<(u64, Value)> = numbered.filter(|(_, spec)| query.matches(spec)).collect();
    if query.count {
        return json_answer(StatusCode::OK, json!({ "count": matching.len() }).to_string());
    }
    matching.reverse();
    let (page, next) = query.page(matching.into_iter());
    let next = next.map(|href| href.replacen("/connections?", "/connectionSpecs?", 1));
    page_of(serde_json::to_string(&page), next)
}

fn spec(source: &Source) -> Value {
    let auth_spec: Vec<Value> =
        source.auth.iter().map(|auth| json!({ "name": auth.spec_name, "spec": schema(auth) })).collect();
    json!({
        "id": source.spec_id,
        "name": source.name,
        "providerId": PROVIDER_ID,
        "version": source.spec_version,
        "authSpec": auth_spec,
    })
}

fn schema(auth: &Auth) -> Value {
    let params = auth.required.iter().chain(auth.optional);
    let properties: Map<String, Value> =
        params.map(|name| ((*name).to_owned(), property(name, auth.basis))).collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": properties,
        "required": auth.required,
    })
}

/// The type is told only where it is known: there are numbers and booleans among the others.
fn property(name: &str, basis: Basis) -> Value {
    let mut property = Map::new();
    if basis == Basis::AuthSpec {
        property.insert("type".to_owned(), "string".into());
    }
    if is_secret(name) {
        property.insert("format".to_owned(), "password".into());
    }
    Value::Object(property)
}
