//! The published schemas say the same as the code that reads and writes the messages.

use boon::{Compiler, SchemaIndex, Schemas};
use connection_worker::contract::ids::{ImsOrgId, SandboxName};
use connection_worker::contract::reply::Reply;
use connection_worker::contract::{self, Defaults, Envelope, Limits};
use serde_json::{Value, json};

use crate::support::command::run;

/// A schema as `schema` prints it, compiled.
pub(crate) struct Schema {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Schema {
    /// Fails the test if it is no valid schema of its draft.
    pub(crate) async fn printed(message: &str) -> Self {
        let ran = run(&["schema", message], &[]).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        let schema: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        Self::of(schema)
    }

    /// The same as it stands in the AsyncAPI document.
    pub(crate) async fn in_asyncapi(message: &str) -> Self {
        let mut document = crate::asyncapi::printed(&[]).await;
        let mut schema = document["components"]["schemas"][message]["schema"].take();
        schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
        Self::of(schema)
    }

    fn of(schema: Value) -> Self {
        let mut compiler = Compiler::new();
        compiler.enable_format_assertions();
        compiler.add_resource("printed.json", schema).unwrap();
        let mut schemas = Schemas::new();
        let index =
            compiler.compile("printed.json", &mut schemas).unwrap_or_else(|error| panic!("{error:#}"));
        Self { schemas, index }
    }

    pub(crate) fn check(&self, message: &Value) -> Result<(), String> {
        self.schemas.validate(message, self.index).map_err(|error| format!("{error:#}"))
    }
}

/// The example of the contract.
fn job() -> Value {
    json!({
        "jobId": "0d3b8b1c-6f8d-4a5e-9a33-7b8d0d0f3b1c",
        "imsOrgId": "1234@AdobeOrg",
        "sandboxName": "prod",
        "connection": {
            "name": "connection for HubSpot",
            "description": "connection for HubSpot",
            "auth": { "specName": "Basic Authentication",
                      "params": { "clientId": "…", "clientSecret": "…", "accessToken": "…", "refreshToken": "…" } },
            "connectionSpec": { "id": "cc6a4487-9e91-433e-a3a3-9cf6626c1806", "version": "1.0" }
        },
        "expiresAt": "2026-12-01T00:00:00Z"
    })
}

/// Whether the worker would take it. What a job leaves out, the configuration or the message has.
fn parse(job: &Value) -> Result<(), String> {
    let envelope = Envelope { message_id: Some("m-1".to_owned()) };
    let defaults = Defaults {
        ims_org_id: ImsOrgId::parse("1234@AdobeOrg").ok(),
        sandbox_name: SandboxName::parse("dev").ok(),
        mark: false,
        ..Defaults::default()
    };
    let limits = Limits { max_bytes: 1 << 20 };
    contract::parse(job.to_string().as_bytes(), &envelope, &defaults, limits)
        .map(drop)
        .map_err(|error| error.to_string())
}

/// Where in [`job`], and what stands there instead; nothing stands for a field that is left out.
fn changes() -> Vec<(&'static str, Option<Value>, bool)> {
    let mut changes = Vec::new();
    let mut case = |place, taken, values: &[Value]| {
        changes.extend(values.iter().map(|value| (place, Some(value.clone()), taken)));
    };
    let (long, longer) = ("x".repeat(128), "x".repeat(129));
    case("/jobId", true, &[json!("a.b_c:d-e"), json!(long), json!(null)]);
    case(
        "/jobId",
        false,
        &[json!(""), json!("a b"), json!("ä"), json!("a\n"), json!(longer), json!(7), json!(["a"])],
    );
    case("/imsOrgId", true, &[json!("A.b_c@d-e")]);
    case("/imsOrgId", false, &[json!(null)]);
    case("/imsOrgId", false, &[json!(""), json!("a b"), json!("a\r\nb"), json!(longer), json!({})]);
    case("/sandboxName", true, &[json!("a.b_c-1")]);
    case("/sandboxName", false, &[json!(null)]);
    case(
        "/sandboxName",
        false,
        &[json!(""), json!("Prod"), json!("a b"), json!("a\n"), json!(longer), json!(true)],
    );
    case("/schemaVersion", true, &[json!(1), json!(null)]);
    case("/schemaVersion", false, &[json!(0), json!(2), json!("1"), json!(-1), json!(1.5)]);
    case("/source", true, &[json!("hubspot"), json!(null)]);
    case("/source", false, &[json!(1), json!("hubspott"), json!("")]);
    case(
        "/expiresAt",
        true,
        &[json!("2030-01-31T12:00:00+01:00"), json!("2030-01-31T12:00:00.5Z"), json!(null)],
    );
    case(
        "/expiresAt",
        false,
        &[
            json!("tomorrow"),
            json!("2030-01-31"),
            json!("2030-01-31T12:00:00"),
            json!(1_900_000_000),
            json!(""),
        ],
    );
    case(
        "/expiresAt",
        false,
        &[
            json!("2030-01-31 12:00:00Z"),
            json!("2030-01-31T12:00Z"),
            json!("20300131T120000Z"),
            json!("2030-02-30T12:00:00Z"),
        ],
    );
    case("/connection", false, &[json!(null), json!("x"), json!([]), json!({})]);
    case("/connection/name", true, &[json!("ä \" name"), json!(" x ")]);
    case("/connection/name", false, &[json!(""), json!(" "), json!("\t\n"), json!(null), json!(5)]);
    case("/connection/description", true, &[json!(""), json!("x"), json!(null)]);
    case("/connection/description", false, &[json!(5), json!({})]);
    case("/connection/auth", false, &[json!(null), json!("x"), json!({}), json!({ "specName": "x" })]);
    case("/connection/auth/specName", true, &[json!("x")]);
    case("/connection/auth/specName", false, &[json!(""), json!(" "), json!(5)]);
    case("/connection/auth/params", true, &[json!({}), json!({ "a": [1, null, { "b": true }] })]);
    case("/connection/auth/params", false, &[json!(null), json!("x"), json!([]), json!(1)]);
    let sealed = |key: &str| json!({ "publicKey": key, "ciphertext": "AAAA" });
    let key = "OUjP4K0d22ldeA5ZB3GV2mxWUGsCcyl5SrAryoCBXE0";
    case("/connection/auth/sealed", true, &[json!(null)]);
    case("/connection/auth/sealed", false, &[sealed(key), json!("x"), json!({})]);
    case("/connection/auth/type", true, &[json!("OAuth2.0"), json!(null), json!({ "free": 1 })]);
    case(
        "/connection/connectionSpec",
        false,
        &[json!("x"), json!({}), json!([]), json!({ "version": "1.0" })],
    );
    case("/connection/connectionSpec/id", false, &[json!(""), json!(" "), json!(5), json!(null)]);
    case("/connection/connectionSpec/version", true, &[json!("2.0"), json!(null)]);
    case("/connection/connectionSpec/version", false, &[json!(""), json!(" "), json!(1.0)]);
    // Typos.
    case("/sandboxname", false, &[json!("prod")]);
    case("/connection/descripton", false, &[json!("x")]);
    case("/connection/providerId", false, &[json!("x")]);
    case("/connection/connectionSpec/vresion", false, &[json!("1.0")]);
    for (place, taken) in [
        ("/jobId", true),
        ("/imsOrgId", true),
        ("/sandboxName", true),
        ("/expiresAt", true),
        ("/connection", false),
        ("/connection/name", false),
        ("/connection/description", true),
        ("/connection/auth", false),
        ("/connection/auth/params", false),
        ("/connection/connectionSpec/id", false),
        ("/connection/connectionSpec/version", true),
    ] {
        changes.push((place, None, taken));
    }
    changes
}

fn changed(mut message: Value, place: &str, value: Option<Value>) -> Value {
    let (parent, key) = place.rsplit_once('/').unwrap();
    let parent = message.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => drop(parent.insert(key.to_owned(), value)),
        None => drop(parent.remove(key)),
    }
    message
}

#[tokio::test]
async fn the_schema_of_a_job_and_the_parser_agree() {
    let (schema, in_asyncapi) = (Schema::printed("job").await, Schema::in_asyncapi("job").await);
    let mut disagreements = Vec::new();
    for (place, value, taken) in changes() {
        let job = changed(job(), place, value.clone());
        let results = [schema.check(&job), in_asyncapi.check(&job), parse(&job)];
        if results.iter().any(|result| result.is_ok() != taken) {
            let [by_schema, by_asyncapi, by_parser] = results;
            disagreements.push(format!(
                "{place} {value:?}: to be taken: {taken}; schema: {by_schema:?}; in AsyncAPI: {by_asyncapi:?}; parser: {by_parser:?}"
            ));
        }
    }
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
}

#[tokio::test]
async fn the_documented_job_keeps_its_schema() {
    let schema = Schema::printed("job").await;
    for job in [
        job(),
        json!({ "source": "hubspot", "connection": { "name": "n", "auth": { "params": {} } } }),
        json!({ "schemaVersion": 1, "jobId": "j", "source": "hubspot",
                "connection": { "name": "n", "auth": { "params": {} }, "connectionSpec": null } }),
    ] {
        assert_eq!(schema.check(&job), Ok(()));
        assert_eq!(parse(&job), Ok(()));
    }
    for no_job in [json!([]), json!("x"), json!(null), json!({})] {
        assert!(schema.check(&no_job).is_err() && parse(&no_job).is_err(), "{no_job}");
    }
}

fn replies() -> [Value; 4] {
    [
        json!({ "schemaVersion": 1, "jobId": "j", "status": "created",
                "connection": { "id": "2fce94c1", "etag": "\"d403848a\"", "name": "n", "connectionSpecId": "s",
                                "imsOrgId": "1234@AdobeOrg", "sandboxName": "dev", "recovered": false },
                "attempts": 1, "completedAt": "2026-12-01T00:00:00Z" }),
        json!({ "schemaVersion": 1, "jobId": "j", "status": "failed",
                "error": { "code": "rejected", "message": "no", "retryable": false,
                           "httpStatus": 400, "flowCode": "1100-400", "requestId": "r" },
                "attempts": 1, "completedAt": "2026-12-01T00:00:00Z" }),
        json!({ "schemaVersion": 1, "status": "failed",
                "error": { "code": "invalid_job", "message": "no", "retryable": false },
                "attempts": 0, "completedAt": "2026-12-01T00:00:00.5Z" }),
        json!({ "schemaVersion": 1, "jobId": "j", "status": "created",
                "connection": { "id": "2fce94c1", "etag": null, "name": "n", "connectionSpecId": "s",
                                "imsOrgId": "1234@AdobeOrg", "sandboxName": "dev", "recovered": true,
                                "state": "disabled", "verified": false, "unverifiedReason": "not_enabled" },
                "attempts": 1, "completedAt": "2026-12-01T00:00:00Z" }),
    ]
}

#[tokio::test]
async fn the_schema_of_a_reply_and_its_type_agree() {
    let (schema, in_asyncapi) = (Schema::printed("reply").await, Schema::in_asyncapi("reply").await);
    for reply in replies() {
        assert_eq!((schema.check(&reply), in_asyncapi.check(&reply)), (Ok(()), Ok(())));
        let read: Reply = serde_json::from_value(reply.clone()).unwrap();
        let written: Value = serde_json::from_slice(&read.to_json().unwrap()).unwrap();
        assert_eq!(written, reply);
    }
    let [created, failed, _, verified] = replies();
    for (reply, place, value) in [
        (&created, "/status", Some(json!("done"))),
        (&created, "/status", Some(json!("failed"))),
        (&created, "/connection", None),
        (&created, "/connection/id", None),
        (&created, "/connection/etag", Some(json!(1))),
        (&created, "/connection/recovered", None),
        (&created, "/attempts", Some(json!(-1))),
        (&created, "/attempts", None),
        (&created, "/completedAt", Some(json!("now"))),
        (&created, "/schemaVersion", None),
        (&created, "/jobId", Some(json!(1))),
        (&verified, "/connection/state", Some(json!(1))),
        (&verified, "/connection/verified", Some(json!("no"))),
        (&verified, "/connection/unverifiedReason", Some(json!("oops"))),
        (&failed, "/error/code", Some(json!("oops"))),
        (&failed, "/error/message", None),
        (&failed, "/error/retryable", Some(json!("no"))),
        (&failed, "/error/httpStatus", Some(json!("400"))),
        (&failed, "/error", None),
    ] {
        let reply = changed(reply.clone(), place, value.clone());
        let by_type = serde_json::from_value::<Reply>(reply.clone());
        assert!(schema.check(&reply).is_err(), "the schema takes {place} {value:?}");
        assert!(in_asyncapi.check(&reply).is_err(), "the schema in AsyncAPI takes {place} {value:?}");
        assert!(by_type.is_err(), "the type takes {place} {value:?}");
    }
}

#[tokio::test]
async fn receivers_tolerate_what_a_later_version_may_add() {
    let schema = Schema::printed("reply").await;
    for place in ["/later", "/connection/later"] {
        let [created, ..] = replies();
        let reply = changed(created, place, Some(json!("x")));
        assert_eq!(schema.check(&reply), Ok(()));
        serde_json::from_value::<Reply>(reply).unwrap();
    }
}
