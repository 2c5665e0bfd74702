//! Messages that are no jobs, among jobs: answered or parked, and their neighbours are done.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};

use super::case::{Case, on_both_types};
use crate::support::corner::job;

fn changed(id: &str, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut job = job(id);
    change(&mut job);
    job.to_string().into_bytes()
}

/// What is answered with `invalid_job`, because it can be told to whom.
fn invalid() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("empty", Vec::new()),
        ("not-utf-8", b"{\"jobId\":\"\xff\xfe\"}".to_vec()),
        ("deep", format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes()),
        ("large", vec![b' '; 16 * 1024 * 1024]),
        ("unknown-version", changed("unknown-version", |job| job["schemaVersion"] = json!(99))),
        ("no-connection", changed("no-connection", |job| job["connection"] = Value::Null)),
        ("other-type", changed("other-type", |job| job["connection"]["name"] = json!([1]))),
    ]
}

/// Almost as large as a frame, which all headers of a message have to fit into.
fn header_bomb() -> BasicProperties {
    let mut headers = FieldTable::default();
    for number in 0..1_000 {
        headers.insert(format!("header-{number}").into(), AMQPValue::LongString("x".repeat(100).into()));
    }
    BasicProperties::default().with_headers(headers)
}

#[tokio::test]
async fn bad_messages_among_good_ones_hurt_only_themselves() {
    on_both_types(async |queue_type| {
        let mut case = Case::start(queue_type, &[]).await;
        case.begin().await;
        for (id, body) in invalid() {
            let properties = BasicProperties::default().with_message_id(id.into());
            case.submit_as(id, "invalid_job", properties, &body).await;
        }
        let body = job("bomb").to_string();
        case.submit_as("bomb", "created", header_bomb(), body.as_bytes()).await;
        for nobody in [b"null".as_slice(), b"\xff"] {
            case.rig.submit_raw(BasicProperties::default(), nobody).await;
            *case.dead.entry("malformed").or_default() += 1;
        }
        case.check().await;
        assert_eq!(case.workers[0].count(super::FAILURES).await, 0, "none costs a session");
    })
    .await;
}
