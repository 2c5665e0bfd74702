//! The contract from the sender's side: what is taken, what is refused, and in which words.

use super::auth::AUTH_FIELDS;
use super::ids::{ImsOrgId, SandboxName};
use super::job::Job;
use super::parse::{CONNECTION_FIELDS, JOB_FIELDS, SPEC_FIELDS};
use super::reply::{CreatedConnection, ErrorCode, Outcome, Reply, ReplyError, reply_id};
use super::sealed::SEALED_FIELDS;
use super::{Defaults, Envelope, Limits, Rejected, Remarks, parse, schema};
use crate::sources::{self, Auth, Source};
use proptest::prelude::*;
use serde_json::{Value, json};

const LIMITS: Limits = Limits { max_bytes: 1 << 20 };

/// The body of Adobe's HubSpot tutorial, in its own order.
const TUTORIAL: &str = r#"{"name":"connection for HubSpot","description":"connection for HubSpot","auth":{"specName":"Basic Authentication","params":{"clientId":"xxxx","clientSecret":"xxxx","accessToken":"xxxx","refreshToken":"xxxx"}},"connectionSpec":{"id":"cc6a4487-9e91-433e-a3a3-9cf6626c1806","version":"1.0"}}"#;

fn defaults() -> Defaults {
    Defaults {
        ims_org_id: Some(ImsOrgId::parse("1234@AdobeOrg").unwrap()),
        sandbox_name: Some(SandboxName::parse("dev").unwrap()),
        mark: false,
        ..Defaults::default()
    }
}

fn read(body: impl AsRef<[u8]>) -> Result<Job, Rejected> {
    parse(body.as_ref(), &Envelope::default(), &defaults(), LIMITS)
}

fn tutorial_job() -> Value {
    json!({ "jobId": "job-1", "connection": serde_json::from_str::<Value>(TUTORIAL).unwrap() })
}

/// The tutorial's job with one change, and what is said about it.
fn refusal(change: impl FnOnce(&mut Value)) -> String {
    let mut job = tutorial_job();
    change(&mut job);
    read(job.to_string()).unwrap_err().to_string()
}

#[test]
fn the_tutorials_body_goes_out_byte_for_byte() {
    let job = read(format!(r#"{{"jobId":"job-1","connection":{TUTORIAL}}}"#)).unwrap();
    assert_eq!(std::str::from_utf8(&job.body).unwrap(), TUTORIAL);
    assert_eq!(job.id.as_str(), "job-1");
    assert_eq!(job.ims_org_id.as_str(), "1234@AdobeOrg");
    assert_eq!(job.sandbox_name.as_str(), "dev");
    assert_eq!(job.connection_spec_id, "cc6a4487-9e91-433e-a3a3-9cf6626c1806");
}

#[test]
fn params_pass_through_untouched() {
    let params = r#"{ "port" : 12345678901234567890123456789, "x":1e400,"s":"\u00e9" , "n":[null,{}]}"#;
    let body = format!(
        r#"{{"jobId":"j","connection":{{"name":"n","auth":{{"type":"OAuth2.0","specName":"S","params":{params}}},"connectionSpec":{{"id":"i"}}}}}}"#
    );
    let job = read(body).unwrap();
    let sent = std::str::from_utf8(&job.body).unwrap();
    assert!(sent.contains(params), "{sent}");
    assert!(sent.contains(r#""type":"OAuth2.0""#), "{sent}");
    assert!(sent.ends_with(r#""connectionSpec":{"id":"i","version":"1.0"}}"#), "{sent}");
}

#[test]
fn a_source_stands_in_for_the_spec_and_the_auth_name() {
    let job = read(
        json!({ "jobId": "j", "source": "hubspot",
                "connection": { "name": "connection for HubSpot", "description": "connection for HubSpot",
                                "auth": { "params": { "clientId": "xxxx", "clientSecret": "xxxx",
                                                      "accessToken": "xxxx", "refreshToken": "xxxx" } } } })
        .to_string(),
    )
    .unwrap();
    assert_eq!(std::str::from_utf8(&job.body).unwrap(), TUTORIAL);
}

/// A job that names its source, and the same job with all that the name stands for.
fn by_name_and_in_full(source: &Source, auth: &Auth) -> (Value, Value) {
    let params: Value = auth.required.iter().map(|name| ((*name).to_owned(), json!("…"))).collect();
    let auth = json!({ "specName": auth.spec_name, "params": params });
    let spec = json!({ "id": source.spec_id, "version": source.spec_version });
    (
        json!({ "jobId": "j", "source": source.name, "connection": { "name": "n", "auth": auth } }),
        json!({ "jobId": "j", "connection": { "name": "n", "auth": auth, "connectionSpec": spec } }),
    )
}

#[test]
fn every_source_stands_in_for_its_spec_in_every_kind_of_authentication() {
    for source in sources::ALL {
        for auth in source.auth {
            let (by_name, in_full) = by_name_and_in_full(source, auth);
            let job = read(by_name.to_string()).unwrap();
            assert_eq!(job, read(in_full.to_string()).unwrap(), "{}", source.name);
            assert_eq!(job.remarks, Remarks::default(), "{}", source.name);
        }
        let (mut job, _) = by_name_and_in_full(source, &source.auth[0]);
        job["connection"]["auth"].as_object_mut().unwrap().remove("specName");
        match (source.auth.len(), read(job.to_string())) {
            (1, Ok(_)) => {}
            (2.., Err(refused)) => assert_eq!(
                refused.to_string(),
                format!(
                    "connection.auth.specName: missing, source {} has more than one: {}",
                    source.name,
                    source.spec_names()
                )
            ),
            (_, read) => panic!("{}: {read:?}", source.name),
        }
    }
}

#[test]
fn a_job_carries_what_the_catalogue_remarks_and_is_taken_all_the_same() {
    let mut job = tutorial_job();
    job["connection"]["auth"]["params"].as_object_mut().unwrap().remove("accessToken");
    let job = read(job.to_string()).unwrap();
    assert_eq!(job.remarks.faults.to_string(), "connection.auth.params.accessToken: missing");
    assert!(job.remarks.doubts.is_empty());
}

#[test]
fn a_source_must_agree_with_the_spec() {
    let said = refusal(|job| {
        job["source"] = json!("hubspot");
        job["connection"]["connectionSpec"]["id"] = json!("other");
        job["connection"]["auth"]["specName"] = json!("Magic");
    });
    assert_eq!(
        said,
        "connection.connectionSpec.id: does not agree with source hubspot; \
         connection.auth.specName: does not agree with source hubspot, expected one of Basic Authentication"
    );
    assert_eq!(refusal(|job| job["source"] = json!("hubspott")), "source: unknown, did you mean hubspot?");
    assert_eq!(
        refusal(|job| job["source"] = json!("sales")),
        "source: unknown, expected the name of a source such as hubspot"
    );
}

#[test]
fn the_message_id_serves_as_job_id() {
    let mut job = tutorial_job();
    job.as_object_mut().unwrap().remove("jobId");
    let with = |id: &str| Envelope { message_id: Some(id.to_owned()) };
    let parsed = parse(job.to_string().as_bytes(), &with("m-1"), &defaults(), LIMITS).unwrap();
    assert_eq!(parsed.id.as_str(), "m-1");

    let refused = parse(job.to_string().as_bytes(), &with("m 1"), &defaults(), LIMITS).unwrap_err();
    assert_eq!(refused.job_id, None);
    assert!(
        refused.to_string().starts_with("jobId: missing, and the AMQP message_id cannot serve: character 2")
    );

    let refused = read(job.to_string()).unwrap_err();
    assert_eq!(refused.to_string(), "jobId: missing, and so is the AMQP message_id");

    let unreadable = parse(b"{", &with("m-2"), &defaults(), LIMITS).unwrap_err();
    assert_eq!(unreadable.job_id.unwrap().as_str(), "m-2");
}

#[test]
fn each_fault_is_named_with_its_place() {
    assert_eq!(
        refusal(|job| job["sandboxnme"] = json!("prod")),
        "sandboxnme: unknown field, did you mean sandboxName?"
    );
    assert_eq!(
        refusal(|job| drop(job["connection"]["auth"].as_object_mut().unwrap().remove("params"))),
        "connection.auth.params: missing"
    );
    assert_eq!(
        refusal(|job| job["connection"]["auth"]["params"] = json!("x")),
        "connection.auth.params: a string, expected an object"
    );
    assert_eq!(
        refusal(|job| job["connection"]["name"] = json!(5)),
        "connection.name: a number, expected a string"
    );
    assert_eq!(
        refusal(|job| job["connection"]["name"] = json!(" ")),
        "connection.name: empty, expected some text"
    );
    assert_eq!(
        refusal(|job| job["schemaVersion"] = json!(2)),
        "schemaVersion: 2 is not supported, expected 1"
    );
    assert_eq!(
        refusal(|job| job["expiresAt"] = json!("tomorrow")),
        "expiresAt: no such instant, expected RFC 3339 with an offset, like 2030-01-31T12:00:00Z"
    );
    assert_eq!(
        refusal(|job| job["connection"]["providerId"] = json!("p")),
        "connection.providerId: unknown field, expected one of name, description, auth, connectionSpec"
    );
}

#[test]
fn all_faults_are_told_at_once() {
    let refused = parse(
        br#"{"jobId":"a b","connection":{"auth":{"params":[]}},"x":1}"#,
        &Envelope::default(),
        &Defaults::default(),
        LIMITS,
    )
    .unwrap_err();
    let places: Vec<&str> = refused.problems.iter().map(|problem| problem.path.as_str()).collect();
    let expected = ["x", "jobId", "connection.name", "connection.auth.params", "imsOrgId", "sandboxName"];
    assert_eq!(places, expected);
}

#[test]
fn where_a_connection_goes_is_never_null() {
    let expected = "expected a name, or no such field for the worker's default";
    assert_eq!(refusal(|job| job["sandboxName"] = json!(null)), format!("sandboxName: null, {expected}"));
    assert_eq!(refusal(|job| job["imsOrgId"] = json!(null)), format!("imsOrgId: null, {expected}"));
}

#[test]
fn never_prod_by_default() {
    let refused =
        parse(tutorial_job().to_string().as_bytes(), &Envelope::default(), &Defaults::default(), LIMITS)
            .unwrap_err();
    assert!(
        refused.to_string().contains("sandboxName: missing, and the worker has no default (SANDBOX_NAME)")
    );
}

#[test]
fn a_key_given_twice_is_refused_wherever_it_stands() {
    for (body, place) in [
        (r#"{"jobId":"a","jobId":"b"}"#, "jobId"),
        (r#"{"jobId":"a","connection":{"name":"a","name":"b"}}"#, "connection.name"),
        (
            r#"{"jobId":"a","connection":{"name":"a","auth":{"specName":"s","params":{"k":{"s":1,"s":2}}}}}"#,
            "connection.auth.params.k.s",
        ),
    ] {
        let refused = read(body).unwrap_err().to_string();
        assert!(refused.contains(&format!("{place}: given more than once, expected once")), "{refused}");
    }
}

#[test]
fn size_depth_and_encoding_are_capped() {
    let limits = Limits { max_bytes: 10 };
    let refused = parse(b"12345678901", &Envelope::default(), &defaults(), limits).unwrap_err();
    assert_eq!(refused.to_string(), "11 bytes, expected at most 10");

    let nest = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let job = |value: String| {
        format!(
            r#"{{"jobId":"j","connection":{{"name":"n","auth":{{"specName":"S","params":{{"k":{value}}}}},"connectionSpec":{{"id":"i"}}}}}}"#
        )
    };
    assert!(read(job(nest(20))).is_ok());
    assert!(read(job(nest(200_000))).unwrap_err().to_string().contains("expected at most 32 levels"));
    assert!(read(nest(300_000)).is_err());

    assert_eq!(
        read(b"{\"a\":\"\xff\"}").unwrap_err().to_string(),
        "invalid UTF-8 after byte 6, expected JSON"
    );
    assert_eq!(read("").unwrap_err().to_string(), "an empty message, expected a JSON object");
    let surrogate = job(r#""\ud800""#.to_owned());
    assert!(read(surrogate).unwrap_err().to_string().contains("params.k: a string with an invalid escape"));
}

#[test]
fn no_value_of_a_job_is_repeated() {
    let canary = "s3cr3t-canary";
    for body in [
        json!({ "jobId": canary.to_owned() + " ", "connection": canary }),
        json!({ "schemaVersion": canary, "imsOrgId": [canary], "sandboxName": canary.to_uppercase() }),
        json!({ "jobId": "j", "expiresAt": canary, "source": canary,
                "connection": { "name": [canary], "auth": { "params": canary, "specName": { "a": canary } } } }),
    ] {
        let refused = read(body.to_string()).unwrap_err();
        assert!(!format!("{refused} {refused:?}").to_lowercase().contains(canary), "{refused}");
    }
    let job = read(tutorial_job().to_string().replace("xxxx", canary)).unwrap();
    assert!(!format!("{job:?}").contains(canary));
}

#[test]
fn the_schemas_name_the_fields_that_the_parser_knows() {
    let keys = |schema: &Value| {
        let mut keys: Vec<String> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    };
    let sorted = |fields: &[&str]| {
        let mut fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
        fields.sort();
        fields
    };
    let schema = schema::job().to_value();
    let definition = |name: &str| &schema["$defs"][name];
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(keys(&schema), sorted(JOB_FIELDS));
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], json!(["connection"]));
    let connection = &schema["properties"]["connection"];
    assert_eq!(keys(connection), sorted(CONNECTION_FIELDS));
    assert_eq!(connection["additionalProperties"], false);
    assert_eq!(keys(definition("AuthDocument")), sorted(AUTH_FIELDS));
    assert_eq!(keys(definition("ConnectionSpec")), sorted(SPEC_FIELDS));
    assert_eq!(connection["required"], json!(["name", "auth"]));
    let required = |index: usize| &definition("AuthDocument")["oneOf"][index]["required"];
    assert_eq!([required(0), required(1)], [&json!(["params"]), &json!(["sealed"])]);
    assert_eq!(keys(definition("SealedDocument")), sorted(SEALED_FIELDS));
}

#[test]
fn replies_look_as_documented() {
    let completed_at = "2026-12-01T00:00:00Z".parse().unwrap();
    let created = Reply {
        schema_version: 1,
        job_id: Some("j".to_owned()),
        outcome: Outcome::Created {
            connection: CreatedConnection {
                id: "c".to_owned(),
                etag: Some("\"e\"".to_owned()),
                name: "n".to_owned(),
                connection_spec_id: "s".to_owned(),
                ims_org_id: "o".to_owned(),
                sandbox_name: "b".to_owned(),
                recovered: false,
                state: None,
                verified: None,
                unverified_reason: None,
            },
        },
        attempts: 1,
        completed_at,
    };
    assert_eq!(
        String::from_utf8(created.to_json().unwrap()).unwrap(),
        r#"{"schemaVersion":1,"jobId":"j","status":"created","connection":{"id":"c","etag":"\"e\"","name":"n","connectionSpecId":"s","imsOrgId":"o","sandboxName":"b","recovered":false},"attempts":1,"completedAt":"2026-12-01T00:00:00Z"}"#
    );
    let failed = Reply {
        outcome: Outcome::Failed {
            error: ReplyError {
                code: ErrorCode::Rejected,
                message: "m".to_owned(),
                retryable: false,
                http_status: Some(400),
                flow_code: None,
                request_id: None,
            },
        },
        ..created
    };
    assert_eq!(
        String::from_utf8(failed.to_json().unwrap()).unwrap(),
        r#"{"schemaVersion":1,"jobId":"j","status":"failed","error":{"code":"rejected","message":"m","retryable":false,"httpStatus":400},"attempts":1,"completedAt":"2026-12-01T00:00:00Z"}"#
    );
}

#[test]
fn error_codes_read_the_same_everywhere() {
    for code in ErrorCode::ALL {
        assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
    }
}

#[test]
fn reply_ids_never_change() {
    // A changed id would make every receiver take repeats for new replies: this value is part of the contract.
    assert_eq!(reply_id("job-1").to_string(), reply_id("job-1").to_string());
    assert_eq!(reply_id("job-1").get_version_num(), 5);
    assert_ne!(reply_id("job-1"), reply_id("job-2"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        drop(read(bytes));
    }

    #[test]
    fn any_cut_or_spoiled_job_is_read_without_a_panic(at in 0usize..400, byte in any::<u8>(), cut in any::<bool>()) {
        let mut body = tutorial_job().to_string().into_bytes();
        let at = at.min(body.len() - 1);
        if cut { body.truncate(at) } else { body[at] = byte }
        drop(read(body));
    }
}

/// The tutorial's job, with all that sealed credentials are bound to.
fn placed_job() -> Value {
    let mut job = tutorial_job();
    job["imsOrgId"] = json!("1234@AdobeOrg");
    job["sandboxName"] = json!("dev");
    job
}

/// Reads with a key, whose public half comes along.
fn with_key(required: bool) -> (crate::sealing::PublicKey, Defaults) {
    let (public, key) = crate::sealing::generate().unwrap();
    let keys = crate::sealing::Keyring::read(&[key]).unwrap();
    (public, Defaults { sealing: super::Sealing { keys, required }, ..defaults() })
}

#[test]
fn a_sealed_job_is_the_job_in_the_clear() {
    let (public, defaults) = with_key(true);
    let read = |body: &str| parse(body.as_bytes(), &Envelope::default(), &defaults, LIMITS);
    let clear = placed_job().to_string();
    let sealed = super::seal(&clear, public).unwrap();
    assert!(!sealed.contains("params") && sealed.contains("ciphertext"), "{sealed}");
    let job = read(&sealed).unwrap();
    assert_eq!((std::str::from_utf8(&job.body).unwrap(), job.form), (TUTORIAL, super::Form::Sealed));

    let refused = read(&clear).unwrap_err();
    assert_eq!(refused.form, Some(super::Form::RefusedClear));
    assert!(refused.to_string().contains("connection-worker seal"), "{refused}");
    assert!(super::seal(&sealed, public).unwrap_err().to_string().contains("sealed already"));
}

#[test]
fn a_sealed_job_names_what_it_is_bound_to_and_cannot_be_moved() {
    let (public, defaults) = with_key(false);
    let envelope = Envelope { message_id: Some("job-1".to_owned()) };
    let sealed: Value =
        serde_json::from_str(&super::seal(&placed_job().to_string(), public).unwrap()).unwrap();
    for (field, other) in [("jobId", "job-2"), ("imsOrgId", "5@AdobeOrg"), ("sandboxName", "prod")] {
        let mut moved = sealed.clone();
        moved[field] = json!(other);
        let refused = parse(moved.to_string().as_bytes(), &envelope, &defaults, LIMITS).unwrap_err();
        assert_eq!(refused.form, Some(super::Form::Unopenable));
        assert!(refused.to_string().starts_with("connection.auth.sealed.ciphertext: cannot be opened"));
        moved.as_object_mut().unwrap().remove(field);
        let refused = parse(moved.to_string().as_bytes(), &envelope, &defaults, LIMITS).unwrap_err();
        assert!(
            refused.to_string().starts_with(&format!("{field}: missing; a job with sealed")),
            "{refused}"
        );
    }
    let refused = read(sealed.to_string()).unwrap_err();
    assert!(refused.to_string().contains("SEALING_KEY_FILES"), "{refused}");
    let mut both = sealed;
    both["connection"]["auth"]["params"] = json!({});
    let refused = parse(both.to_string().as_bytes(), &envelope, &defaults, LIMITS).unwrap_err();
    assert!(refused.to_string().contains("given besides params"), "{refused}");
}
