//! A JSON Schema of `auth.params` as Flow Service publishes it, and whether params keep it.
//!
//! A schema comes from outside: one that is too large, leads elsewhere or turns in circles is not used. What is said of
//! params names places and keywords, never values.

use std::error::Error;
use std::fmt::{self, Write as _};

use boon::{Compiler, Draft, ErrorKind, InstanceToken, SchemaIndex, Schemas, UrlLoader, ValidationError};
use serde_json::Value;

use crate::contract::problem::{Problems, shown};

/// Values in a schema, those that a `$ref` repeats counted each time: more than ten times what HubSpot's has. References
/// to references could otherwise make a check take for ever.
const MAX_NODES: u32 = 1_000;

/// How deep a schema may be nested, references included: one that leads back to itself is deeper.
const MAX_DEPTH: u32 = 32;

/// The name that a schema has here. Nothing is ever loaded from there.
const PLACE: &str = "memory:///params";

/// A schema that is ready for use.
pub(super) struct Schema {
    schemas: Schemas,
    root: SchemaIndex,
}

/// Why a schema cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    #[error("it is too large, refers to something outside of itself, or turns in circles")]
    Unbounded,
    #[error("it is no schema")]
    Invalid,
}

/// Knows no schema but the one in hand: what it refers to is not fetched, from the network as little as from files.
struct Nowhere;

impl UrlLoader for Nowhere {
    fn load(&self, _url: &str) -> Result<Value, Box<dyn Error>> {
        Err(Box::new(Unusable::Unbounded))
    }
}

impl Schema {
    /// Reads a schema of draft 7, which is what connection specs have.
    pub(super) fn compile(mut schema: Value) -> Result<Self, Unusable> {
        let mut left = MAX_NODES;
        if !is_bounded(&schema, &schema, MAX_DEPTH, &mut left) {
            return Err(Unusable::Unbounded);
        }
        simplify(&mut schema);
        let mut compiler = Compiler::new();
        compiler.set_default_draft(Draft::V7);
        compiler.use_loader(Box::new(Nowhere));
        let mut schemas = Schemas::new();
        compiler.add_resource(PLACE, schema).map_err(|_| Unusable::Invalid)?;
        let root = compiler.compile(PLACE, &mut schemas).map_err(|_| Unusable::Invalid)?;
        Ok(Self { schemas, root })
    }

    /// What is wrong with params, each with its path.
    pub(super) fn check(&self, params: &Value) -> Problems {
        let mut problems = Problems::default();
        if let Err(error) = self.schemas.validate(params, self.root) {
            tell(&error, &mut problems);
        }
        problems
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").finish_non_exhaustive()
    }
}

/// Whether a schema is of a size that can be checked, with every reference in it followed.
fn is_bounded(root: &Value, node: &Value, depth: u32, left: &mut u32) -> bool {
    let (Some(deeper), Some(fewer)) = (depth.checked_sub(1), left.checked_sub(1)) else { return false };
    *left = fewer;
    match node {
        Value::Object(members) => members.iter().all(|(key, value)| match (key.as_str(), value) {
            ("$ref", Value::String(to)) => {
                let target = to.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
                target.is_some_and(|target| is_bounded(root, target, deeper, left))
            }
            _ => is_bounded(root, value, deeper, left),
        }),
        Value::Array(items) => items.iter().all(|item| is_bounded(root, item, deeper, left)),
        _ => true,
    }
}

/// Takes out what could change the meaning of a reference or of the draft, and `format`, which tells a form how to show a
/// field: nobody promises that Flow Service holds a value to it.
fn simplify(node: &mut Value) {
    match node {
        Value::Object(members) => {
            members.retain(|key, value| {
                !(value.is_string() && matches!(key.as_str(), "$id" | "$schema" | "format"))
            });
            members.values_mut().for_each(simplify);
        }
        Value::Array(items) => items.iter_mut().for_each(simplify),
        _ => {}
    }
}

fn tell(error: &ValidationError<'_, '_>, problems: &mut Problems) {
    let path = path_of(error);
    let what = match &error.kind {
        // The others hold together what is told one by one.
        ErrorKind::Group | ErrorKind::Schema { .. } | ErrorKind::Reference { .. } | ErrorKind::AllOf => {
            return error.causes.iter().for_each(|cause| tell(cause, problems));
        }
        ErrorKind::Required { want } => {
            return want.iter().for_each(|name| problems.add(format!("{path}.{}", shown(name)), "missing"));
        }
        ErrorKind::AdditionalProperties { got } => {
            return got.iter().for_each(|name| problems.add(format!("{path}.{}", shown(name)), "unknown"));
        }
        ErrorKind::Type { want, .. } => {
            let kinds: Vec<String> = want.iter().map(|kind| kind.to_string()).collect();
            format!("expected {}", kinds.join(" or "))
        }
        kind => format!("does not keep the connection spec's {}", keyword(kind)),
    };
    problems.add(path, what);
}

/// Those that a connection spec is likely to use.
fn keyword(kind: &ErrorKind<'_, '_>) -> &'static str {
    match kind {
        ErrorKind::Enum { .. } => "enum",
        ErrorKind::Const { .. } => "const",
        ErrorKind::Pattern { .. } => "pattern",
        ErrorKind::MinLength { .. } => "minLength",
        ErrorKind::MaxLength { .. } => "maxLength",
        ErrorKind::Minimum { .. } => "minimum",
        ErrorKind::Maximum { .. } => "maximum",
        ErrorKind::AnyOf => "anyOf",
        ErrorKind::OneOf(_) => "oneOf",
        ErrorKind::Not => "not",
        ErrorKind::Dependency { .. } => "dependencies",
        _ => "schema",
    }
}

fn path_of(error: &ValidationError<'_, '_>) -> String {
    let mut path = "connection.auth.params".to_owned();
    for token in &error.instance_location.tokens {
        let written = match token {
            InstanceToken::Prop(key) => write!(path, ".{}", shown(key)),
            InstanceToken::Item(index) => write!(path, "[{index}]"),
        };
        debug_assert!(written.is_ok(), "a string takes it");
    }
    path
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(schema: Value, params: &Value) -> String {
        Schema::compile(schema).unwrap().check(params).to_string()
    }

    fn refused(schema: Value) -> Option<Unusable> {
        Schema::compile(schema).err()
    }

    fn hubspot() -> Value {
        json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": { "clientId": { "type": "string" },
                            "clientSecret": { "type": "string", "format": "password" } },
            "required": ["clientId", "clientSecret"],
        })
    }

    #[test]
    fn the_published_schema_of_hubspot_is_kept_or_not() {
        assert_eq!(said(hubspot(), &json!({ "clientId": "a", "clientSecret": "", "more": 1 })), "");
        assert_eq!(
            said(hubspot(), &json!({ "clientId": null })),
            "connection.auth.params.clientSecret: missing; connection.auth.params.clientId: expected string"
        );
    }

    #[test]
    fn places_and_keywords_are_named_and_values_never() {
        let canary = "s3cr3t-canary";
        let schema = json!({
            "properties": {
                "kind": { "enum": ["basic", "oauth"] },
                "version": { "const": 1 },
                "host": { "pattern": "^https://", "minLength": 50 },
                "port": { "maximum": 65535 },
                "list": { "items": { "type": "integer" } },
                "one": { "oneOf": [{ "type": "null" }, { "required": ["x"] }] },
                "any": { "anyOf": [{ "maxLength": 3 }, { "not": {} }] },
                "all": { "allOf": [{ "type": "object" }, { "$ref": "#/definitions/port" }] },
            },
            "definitions": { "port": { "type": "number" } },
            "additionalProperties": false,
        });
        let params = json!({
            "kind": canary, "version": canary, "host": canary, "port": 424_242, "list": [1, canary],
            "one": { "y": canary }, "any": canary, "all": canary, "odd\nkey": canary,
        });
        let said = said(schema, &params);
        for part in [
            ".kind: does not keep the connection spec's enum",
            ".version: does not keep the connection spec's const",
            ".host: does not keep the connection spec's pattern",
            ".host: does not keep the connection spec's minLength",
            ".port: does not keep the connection spec's maximum",
            ".list[1]: expected integer",
            ".one: does not keep the connection spec's oneOf",
            ".any: does not keep the connection spec's anyOf",
            ".all: expected object",
            ".all: expected number",
            ".odd\u{fffd}key: unknown",
        ] {
            assert!(said.contains(&format!("connection.auth.params{part}")), "no {part} in {said}");
        }
        assert!(!said.contains(canary) && !said.contains("424242"), "{said}");
    }

    #[test]
    fn a_format_is_for_forms() {
        let schema = json!({ "properties": { "host": { "format": "uri" }, "format": { "type": "string" } } });
        assert_eq!(said(schema.clone(), &json!({ "host": "no uri", "format": "x" })), "");
        assert_eq!(said(schema, &json!({ "format": 1 })), "connection.auth.params.format: expected string");
    }

    #[test]
    fn a_hostile_schema_is_not_used() {
        let unbounded = Some(Unusable::Unbounded);
        for elsewhere in [
            "http://127.0.0.1:1/schema.json",
            "https://x/",
            "file:///etc/passwd",
            "other.json",
            "#name",
            "#/nowhere",
        ] {
            assert_eq!(
                refused(json!({ "properties": { "a": { "$ref": elsewhere } } })),
                unbounded,
                "{elsewhere}"
            );
        }
        let itself = json!({ "properties": { "a": { "$ref": "#" } } });
        assert_eq!(refused(itself), unbounded);
        let circle = json!({ "$ref": "#/definitions/a", "definitions": { "a": { "$ref": "#/definitions/b" },
                                                                "b": { "$ref": "#/definitions/a" } } });
        assert_eq!(refused(circle), unbounded);
        // Each level doubles the work.
        let mut definitions = serde_json::Map::new();
        for level in 0..30 {
            let next = format!("#/definitions/{}", level + 1);
            definitions.insert(level.to_string(), json!({ "allOf": [{ "$ref": next }, { "$ref": next }] }));
        }
        definitions.insert("30".to_owned(), json!({}));
        assert_eq!(refused(json!({ "$ref": "#/definitions/0", "definitions": definitions })), unbounded);
        let wide: Value = (0..2_000).map(|n| (n.to_string(), json!({}))).collect();
        assert_eq!(refused(json!({ "properties": wide })), unbounded);
        let deep = (0..100).fold(json!({}), |inner, _| json!({ "not": inner }));
        assert_eq!(refused(deep), unbounded);
    }

    #[test]
    fn no_other_base_and_no_other_draft_can_be_smuggled_in() {
        let schema = json!({
            "$id": "http://127.0.0.1:1/base.json",
            "$schema": "http://127.0.0.1:1/draft.json",
            "properties": { "a": { "$id": "http://127.0.0.1:1/inner.json", "$ref": "#/definitions/text" } },
            "definitions": { "text": { "type": "string" } },
        });
        assert_eq!(said(schema, &json!({ "a": 1 })), "connection.auth.params.a: expected string");
    }

    #[test]
    fn what_is_no_schema_is_not_used() {
        let invalid = Some(Unusable::Invalid);
        for schema in [
            json!({ "type": "text" }),
            json!({ "required": "all" }),
            json!({ "properties": [] }),
            json!({ "pattern": "(" }),
            json!("schema"),
            json!(null),
            json!([]),
        ] {
            assert_eq!(refused(schema.clone()), invalid, "{schema}");
        }
    }
}
