//! JSON Schemas (draft 2020-12) of the messages, generated from their types.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

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
