//! The messages: their schemas, headers and examples, and the AMQP properties that travel with them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::BINDING;
use crate::contract::history;
use crate::contract::reply::{
    CreatedConnection, ErrorCode, Outcome, Reply, ReplyError, SCHEMA_VERSION, reply_id,
};
use crate::contract::schema;

/// Draft-07, which every AsyncAPI tool knows; it says the same as the draft that `schema job` prints.
const FORMAT: &str = "application/schema+json;version=draft-07";

/// The job of the examples.
const JOB_ID: &str = "0d3b8b1c-6f8d-4a5e-9a33-7b8d0d0f3b1c";

/// W3C Trace Context, of the form that its recommendation has as an example.
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The schemas of the payloads.
pub(super) fn schemas() -> Value {
    let multi_format = |schema: Value| json!({ "schemaFormat": FORMAT, "schema": schema });
    json!({
        "job": multi_format(schema::plain::<crate::contract::job::JobDocument>()),
        "reply": multi_format(schema::plain::<Reply>()),
    })
}

/// The messages, by name.
pub(super) fn all() -> Value {
    json!({ "job": job(), "created": created(), "failed": failed() })
}

fn job() -> Value {
    json!({
        "name": "job",
        "title": "A job",
        "summary": "A connection to create. It carries credentials.",
        "contentType": "application/json",
        "payload": { "$ref": "#/components/schemas/job" },
        "headers": {
            "type": "object",
            "properties": {
                "traceparent": { "type": "string", "description": "W3C Trace Context; copied to the reply." },
                "tracestate": { "type": "string", "description": "W3C Trace Context; copied to the reply." },
                (history::ATTEMPTS): {
                    "type": "string",
                    "pattern": "^[0-9]+$",
                    "description": "`0` on a job that was published before and may have arrived: the worker looks for its \
                        connection before it creates one.",
                },
            },
        },
        "correlationId": { "location": "$message.payload#/jobId" },
        "x-amqp-properties": {
            "content_type": "`application/json`",
            "delivery_mode": "2: persistent",
            "message_id": "The job's id, if the body has no `jobId`.",
            "correlation_id": "Comes back on the reply.",
            "reply_to": "The queue for the reply.",
            "timestamp": "When the job was sent: feeds the metrics of its age.",
        },
        "bindings": { "amqp": { "bindingVersion": BINDING } },
        "examples": [
            {
                "name": "withConnectionSpec",
                "summary": "Everything told.",
                "headers": { "traceparent": TRACEPARENT },
                "payload": whole_job(),
            },
            { "name": "withSource", "summary": "The source by name.", "headers": {}, "payload": short_job() },
        ],
    })
}

fn whole_job() -> Value {
    json!({
        "jobId": JOB_ID,
        "imsOrgId": "1234@AdobeOrg",
        "sandboxName": "dev",
        "connection": {
            "name": "connection for HubSpot",
            "description": "connection for HubSpot",
            "auth": { "specName": "Basic Authentication", "params": params() },
            "connectionSpec": { "id": "cc6a4487-9e91-433e-a3a3-9cf6626c1806", "version": "1.0" },
        },
        "expiresAt": "2030-01-31T12:00:00Z",
    })
}

fn short_job() -> Value {
    json!({
        "jobId": JOB_ID,
        "source": "hubspot",
        "connection": { "name": "connection for HubSpot", "auth": { "params": params() } },
    })
}

fn params() -> Value {
    json!({ "clientId": "…", "clientSecret": "…", "accessToken": "…", "refreshToken": "…" })
}

fn created() -> Value {
    let connection = CreatedConnection {
        id: "2fce94c1-9a93-4971-8e94-c19a93097129".to_owned(),
        etag: Some("\"d403848a-0000-0200-0000-5e978f7b0000\"".to_owned()),
        name: "connection for HubSpot".to_owned(),
        connection_spec_id: "cc6a4487-9e91-433e-a3a3-9cf6626c1806".to_owned(),
        ims_org_id: "1234@AdobeOrg".to_owned(),
        sandbox_name: "dev".to_owned(),
        recovered: false,
        state: None,
        verified: None,
        unverified_reason: None,
    };
    reply(
        "connection.created",
        "The connection exists",
        &[("created", "Created just now.", Outcome::Created { connection })],
    )
}

fn failed() -> Value {
    let rejected = ReplyError {
        http_status: Some(400),
        flow_code: Some("1100-400".to_owned()),
        request_id: Some("eKzUJLVSQwCAgAxVVZWYkw".to_owned()),
        ..ReplyError::new(
            ErrorCode::Rejected,
            "Flow Service answered HTTP 400: HubSpot refused the credentials",
        )
    };
    let throttled = ReplyError {
        http_status: Some(429),
        flow_code: Some("429050".to_owned()),
        ..ReplyError::new(ErrorCode::Throttled, "Flow Service answered HTTP 429 (all attempts used)")
    };
    reply(
        "connection.failed",
        "There is no connection, or nobody can tell",
        &[
            ("rejected", "Not to be sent again as it is.", Outcome::Failed { error: rejected }),
            ("throttled", "May be sent again later.", Outcome::Failed { error: throttled }),
        ],
    )
}

fn reply(kind: &str, title: &str, examples: &[(&str, &str, Outcome)]) -> Value {
    let examples: Vec<Value> = examples
        .iter()
        .map(|(name, summary, outcome)| {
            let headers = json!({ "traceparent": TRACEPARENT });
            json!({ "name": name, "summary": summary, "headers": headers, "payload": reply_of(outcome) })
        })
        .collect();
    json!({
        "name": kind,
        "title": title,
        "contentType": "application/json",
        "payload": { "$ref": "#/components/schemas/reply" },
        "headers": {
            "type": "object",
            "properties": {
                "traceparent": { "type": "string", "description": "As on the job." },
                "tracestate": { "type": "string", "description": "As on the job." },
            },
        },
        "correlationId": {
            "location": "$message.header#/correlation_id",
            "description": "The AMQP property `correlation_id`, which stands beside the headers: the job's, else its \
                `message_id`, else its `jobId`.",
        },
        "x-amqp-properties": {
            "content_type": "`application/json`",
            "delivery_mode": "2: persistent",
            "message_id": format!("The same for every reply to one job, such as `{}`.", reply_id(JOB_ID)),
            "correlation_id": "The job's, else its `message_id`, else its `jobId`.",
            "type": format!("`{kind}`"),
            "timestamp": "When the worker was done with the job.",
            "app_id": format!("`{}`", env!("CARGO_PKG_NAME")),
        },
        "bindings": { "amqp": { "messageType": kind, "bindingVersion": BINDING } },
        "examples": examples,
    })
}

fn reply_of(outcome: &Outcome) -> Value {
    let reply = Reply {
        schema_version: SCHEMA_VERSION,
        job_id: Some(JOB_ID.to_owned()),
        outcome: outcome.clone(),
        attempts: 1,
        completed_at: Timestamp::constant(1_890_811_800, 123_000_000),
    };
    serde_json::to_value(reply).unwrap_or_default()
}
