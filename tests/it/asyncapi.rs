//! `schema asyncapi`: the document says what is so. Whether it is good AsyncAPI, `make asyncapi` asks the official parser.

use std::fs;

use serde_json::{Value, json};

use crate::schema::Schema;
use crate::support::command::run;
use crate::support::env;
use crate::support::scene::Scene;

const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/asyncapi.json");

/// The document as the command prints it.
pub(crate) async fn printed(env: &[(&str, &str)]) -> Value {
    let ran = run(&["schema", "asyncapi"], env).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    serde_json::from_str(&ran.stdout).unwrap()
}

#[tokio::test]
async fn the_published_document_is_what_is_printed() {
    let printed = run(&["schema", "asyncapi"], &[]).await.stdout;
    if env("BLESS").is_some() {
        fs::write(PUBLISHED, printed).unwrap();
        return;
    }
    let published = fs::read_to_string(PUBLISHED).unwrap_or_default();
    assert!(
        published == printed,
        "deploy/asyncapi.json is not what `schema asyncapi` prints: run `make readme`"
    );
}

#[tokio::test]
async fn the_document_names_the_queues_as_they_are_configured() {
    let names = [("JOB_QUEUE", "crm.jobs"), ("REPLY_QUEUE", "crm.replies")];
    let document = printed(&names).await;
    assert_eq!(document["channels"]["jobs"]["address"], "crm.jobs");
    assert_eq!(document["channels"]["jobs"]["bindings"]["amqp"]["queue"]["name"], "crm.jobs");
    assert_eq!(document["channels"]["replies"]["address"], "crm.replies");
    let ran = run(&["schema", "asyncapi"], &[("JOB_QUEUE", "a"), ("REPLY_QUEUE", "a.dead")]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(64), ""));
    assert!(ran.stderr.contains("REPLY_QUEUE"), "{}", ran.stderr);
}

/// Every reference, wherever it stands.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    let document = printed(&[]).await;
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 10, "{found:?}");
    for reference in found {
        let place = reference.strip_prefix('#').expect("all of it is in one document");
        assert!(document.pointer(place).is_some(), "{reference} leads nowhere");
    }
}

#[tokio::test]
async fn the_examples_keep_their_schemas() {
    let document = printed(&[]).await;
    for (message, schema) in [("job", "job"), ("created", "reply"), ("failed", "reply")] {
        let message = &document["components"]["messages"][message];
        assert_eq!(message["payload"]["$ref"], format!("#/components/schemas/{schema}"));
        let (whole, in_asyncapi) = (Schema::printed(schema).await, Schema::in_asyncapi(schema).await);
        let examples = message["examples"].as_array().unwrap();
        assert!(!examples.is_empty());
        for example in examples {
            assert_eq!(whole.check(&example["payload"]), Ok(()), "{example}");
            assert_eq!(in_asyncapi.check(&example["payload"]), Ok(()), "{example}");
        }
    }
}

/// The examples are jobs that work, and what comes back is as the document says.
#[tokio::test]
async fn a_worker_does_what_the_document_says() {
    let scene = Scene::start(&[]).await;
    let document = printed(&[]).await;
    let messages = &document["components"]["messages"];
    let schema = Schema::in_asyncapi("reply").await;
    for (number, example) in messages["job"]["examples"].as_array().unwrap().iter().enumerate() {
        let mut job = example["payload"].clone();
        job["jobId"] = json!(format!("job-{number}"));
        scene.submit(&job).await;
        let reply = scene.reply().await;
        assert_eq!(schema.check(&reply.json()), Ok(()));
        let said = &messages["created"];
        assert_eq!(reply.properties.kind().as_ref().unwrap().as_str(), said["name"].as_str().unwrap());
        assert_eq!(said["bindings"]["amqp"]["messageType"], said["name"]);
        assert_eq!(*reply.properties.delivery_mode(), Some(2));
        assert_eq!(
            reply.properties.correlation_id().as_ref().unwrap().as_str(),
            job["jobId"].as_str().unwrap()
        );
    }
    scene.submit(&json!({ "jobId": "broken" })).await;
    let reply = scene.reply().await;
    assert_eq!(schema.check(&reply.json()), Ok(()));
    let name = messages["failed"]["name"].as_str().unwrap();
    assert_eq!(reply.properties.kind().as_ref().unwrap().as_str(), name);
}
