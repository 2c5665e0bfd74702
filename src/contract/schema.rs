//! JSON Schemas (draft 2020-12) of the messages, generated from their types.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use super::job::JobDocument;
use super::reply::Reply;

/// The schema of a job.
pub fn job() -> Schema {
    of::<JobDocument>()
}

/// The schema of a reply.
pub fn reply() -> Schema {
    of::<Reply>()
}

fn of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>()
}

/// The same in draft-07 and in one piece: to stand inside another document, where a reference would lead astray.
pub(super) fn plain<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    settings.into_generator().into_root_schema_for::<T>().to_value()
}
