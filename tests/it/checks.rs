//! What is looked into before the create: whether a job's `auth` fits its connection spec.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::command::piped;
use crate::support::corner::{SOON, job};
use crate::support::eventually::eventually;
use crate::support::scene::Scene;
use crate::support::worker::WorkerProcess;

/// What stands in place of a secret in these jobs: nobody may repeat it.
const CANARY: &str = "p8e-canary";

/// A job for a source with these params.
fn job_for(id: &str, source: &str, spec_name: &str, params: &Value) -> Value {
    json!({
        "jobId": id,
        "source": source,
        "connection": { "name": id, "auth": { "specName": spec_name, "params": params } },
    })
}

/// The lines of the log that name a job and have this message.
fn lines(worker: &WorkerProcess, job_id: &str, message: &str) -> Vec<Value> {
    let read = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    let is_wanted = |line: &Value| line["span"]["job_id"] == job_id && line["message"] == message;
    worker.stderr().lines().map(read).filter(is_wanted).collect()
}

const DOUBTFUL: &str = "the job's auth looks wrong, and Flow Service may refuse it";

#[tokio::test]
async fn a_param_that_the_published_spec_requires_must_be_there() {
    let scene = Scene::start(&[]).await;
    let params =
        json!({ "clientID": CANARY, "clientSecret": null, "accessToken": CANARY, "refreshToken": "" });
    let reply = scene.ask(&job_for("j-1", "hubspot", "Basic Authentication", &params)).await;
    assert_eq!(
        (&reply["error"]["code"], &reply["error"]["message"], &reply["attempts"]),
        (
            &json!("invalid_job"),
            &json!(
                "connection.auth.params.clientId: missing; is clientID a slip?; \
                 connection.auth.params.clientSecret: missing"
            ),
            &json!(0),
        )
    );
    // By the id of its spec, too.
    let mut by_id = job("j-2");
    by_id["connection"]["auth"]["params"].as_object_mut().unwrap().remove("refreshToken");
    let reply = scene.ask(&by_id).await;
    assert_eq!(reply["error"]["message"], "connection.auth.params.refreshToken: missing", "{reply}");
    let report = scene.sim.report().await;
    assert_eq!((&report["requests"]["create"], &report["requests"]["token"]), (&json!(0), &json!(0)));
    assert!(!scene.worker.stderr().contains(CANARY));
}

#[tokio::test]
async fn where_the_catalogue_only_guesses_a_job_is_sent_and_the_operator_told() {
    let scene = Scene::start(&[]).await;
    for (id, source, spec_name, params, doubts) in [
        (
            "sample",
            "salesforce",
            "Basic Authentication",
            json!({ "username": CANARY, "password": CANARY, "securitytoken": CANARY, "domain": CANARY }),
            "connection.auth.params.securityToken: missing; is securitytoken a slip?; \
             connection.auth.params.domain: unknown",
        ),
        (
            "table",
            "generic-rest",
            "oAuth2RefreshCode",
            json!({ "host": CANARY }),
            "connection.auth.params.accessToken: missing",
        ),
        (
            "more",
            "hubspot",
            "Basic Authentication",
            json!({ "clientId": "a", "clientSecret": "b", "accessToken": "c", "refreshToken": "d",
                    "portalId": CANARY }),
            "connection.auth.params.portalId: unknown",
        ),
    ] {
        let reply = scene.ask(&job_for(id, source, spec_name, &params)).await;
        assert_eq!(reply["status"], "created", "{reply}");
        let said = eventually(DOUBTFUL, PATIENCE, async || lines(&scene.worker, id, DOUBTFUL).pop()).await;
        assert_eq!((&said["level"], &said["doubts"]), (&json!("WARN"), &json!(doubts)));
        assert_eq!(lines(&scene.worker, id, DOUBTFUL).len(), 1);
    }
    // Neither a job that is whole, nor one whose source nobody knows.
    scene.ask(&job("whole")).await;
    let mut unknown = job("unknown");
    unknown["connection"]["connectionSpec"]["id"] = json!("00000000-0000-4000-8000-000000000000");
    unknown["connection"]["auth"]["params"] = json!({});
    let reply = scene.ask(&unknown).await;
    assert_eq!(reply["error"]["flowCode"], "1413-400", "the last word has Flow Service: {reply}");
    assert_eq!(scene.count("doubtful_params_total").await, 3);
    assert!(!scene.worker.stderr().contains(CANARY));
}

#[tokio::test]
async fn a_kind_of_authentication_that_the_catalogue_lacks_is_left_to_flow_service() {
    let scene = Scene::start(&[]).await;
    let mut other = job("j-1");
    other["connection"]["auth"] = json!({ "specName": "OAuth2 Refresh Code", "params": {} });
    let reply = scene.ask(&other).await;
    assert_eq!(reply["error"]["flowCode"], "1415-400", "{reply}");
    let said = eventually(DOUBTFUL, PATIENCE, async || lines(&scene.worker, "j-1", DOUBTFUL).pop()).await;
    assert_eq!(
        said["doubts"],
        "connection.auth.specName: not known for hubspot, expected one of Basic Authentication"
    );
}

#[tokio::test]
async fn validation_can_be_switched_off() {
    let scene = Scene::start(&[("SPEC_VALIDATION", "off")]).await;
    let reply = scene.ask(&job_for("j-1", "hubspot", "Basic Authentication", &json!({}))).await;
    assert_eq!(
        (&reply["error"]["code"], &reply["error"]["flowCode"]),
        (&json!("rejected"), &json!("1100-400"))
    );
    let reply =
        scene.ask(&job_for("j-2", "mysql", "Connection String Based Authentication", &json!({}))).await;
    assert_eq!(reply["status"], "created", "{reply}");
    assert_eq!(scene.count("doubtful_params_total").await, 0);
}

/// Whatever connection spec Flow Service is asked for, it tells that of `mysql`, with this schema.
fn spec_with(schema: &Value) -> Value {
    let spec = json!({
        "id": "26d738e0-8963-47ea-aadf-c60de735468a",
        "name": "mysql",
        "authSpec": [{ "name": MYSQL, "spec": schema }, { "name": "Other", "type": "x", "spec": {} }],
        "sourceSpec": {},
    });
    let body = json!({ "items": [spec], "_links": {} }).to_string();
    let fault = json!({ "kind": "status", "status": 200, "form": "raw", "body": body });
    json!({ "endpoint": "specs", "fault": fault })
}

const MYSQL: &str = "Connection String Based Authentication";
const REMOTE: (&str, &str) = ("SPEC_VALIDATION", "remote");

fn mysql(id: &str, params: &Value) -> Value {
    job_for(id, "mysql", MYSQL, params)
}

#[tokio::test]
async fn the_live_spec_has_the_last_word() {
    let scene = Scene::start(&[REMOTE]).await;
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": { "server": { "type": "string" }, "port": { "type": "integer" },
                        "secret": { "type": "string", "pattern": "^x", "format": "password" } },
        "required": ["server"],
    });
    scene.sim.fault(spec_with(&schema)).await;
    let reply = scene.ask(&mysql("bad", &json!({ "port": CANARY, "secret": CANARY }))).await;
    assert_eq!(reply["error"]["code"], "invalid_job", "{reply}");
    let said = reply["error"]["message"].as_str().unwrap();
    for part in
        ["server: missing", "port: expected integer", "secret: does not keep the connection spec's pattern"]
    {
        assert!(said.contains(&format!("connection.auth.params.{part}")), "no {part} in {said}");
    }
    assert!(!reply.to_string().contains(CANARY) && !scene.worker.stderr().contains(CANARY));

    let mut other = mysql("kind", &json!({}));
    other["source"] = Value::Null;
    other["connection"]["connectionSpec"] = json!({ "id": "26d738e0-8963-47ea-aadf-c60de735468a" });
    other["connection"]["auth"]["specName"] = json!("Magic");
    let reply = scene.ask(&other).await;
    assert_eq!(
        reply["error"]["message"],
        "connection.auth.specName: unknown to the connection spec, expected one of \
         Connection String Based Authentication, Other"
    );
    // The catalogue would miss `connectionString`.
    let reply = scene.ask(&mysql("good", &json!({ "server": "s", "more": CANARY }))).await;
    assert_eq!(reply["status"], "created", "{reply}");
    assert_eq!(scene.count("doubtful_params_total").await, 0);

    let report = scene.sim.report().await;
    assert_eq!((&report["requests"]["specs"], &report["requests"]["create"]), (&json!(1), &json!(1)));
    assert_eq!(scene.count(r#"spec_fetches_total{result="ok"}"#).await, 1);
}

#[tokio::test]
async fn every_example_keeps_the_specs_of_the_simulator() {
    let scene = Scene::start(&[REMOTE]).await;
    let env = [("AMQP_URL", scene.amqp_url.as_str()), ("JOB_QUEUE", &scene.jobs_queue())];
    let ran = piped(&["sources --all-examples", "submit --wait"], &env).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let specs = connection_worker::sources::ALL.len();
    assert_eq!(scene.sim.report().await["requests"]["specs"], specs, "each is asked for once");
    assert_eq!(scene.count(r#"spec_fetches_total{result="ok"}"#).await, specs as u64);
}

#[tokio::test]
async fn where_no_spec_can_be_had_the_catalogue_has_to_do() {
    for fault in [
        json!({ "kind": "status", "status": 503 }),
        json!({ "kind": "status", "status": 404 }),
        json!({ "kind": "close" }),
        json!({ "kind": "invalid_json" }),
        json!({ "kind": "truncate" }),
        json!({ "kind": "huge", "bytes": 1_000_000_000 }),
        json!({ "kind": "status", "status": 200, "form": "raw", "body": r#"{"items":[{"id":"other","authSpec":[]}]}"# }),
    ] {
        let scene = Scene::start(&[REMOTE]).await;
        scene.sim.fault(json!({ "endpoint": "specs", "fault": fault })).await;
        for id in ["a", "b"] {
            let reply = scene.ask(&job(id)).await;
            assert_eq!(reply["status"], "created", "{fault}: {reply}");
        }
        let reply = scene.ask(&job_for("c", "hubspot", "Basic Authentication", &json!({}))).await;
        assert_eq!(reply["error"]["code"], "invalid_job", "{fault}: {reply}");
        assert_eq!(scene.count(r#"spec_fetches_total{result="failed"}"#).await, 1, "{fault}");
        let told = scene.worker.stderr().matches("a connection spec cannot be had").count();
        assert_eq!(told, 1, "{fault}");
    }
}

#[tokio::test]
async fn a_hostile_schema_leads_nowhere() {
    const ELSEWHERE: &str = "http://elsewhere";
    let elsewhere = format!("{ELSEWHERE}/schema.json");
    let many: Value = (0..5_000).map(|n| (format!("p{n}"), json!({ "type": "null" }))).collect();
    for schema in [
        json!({ "$ref": elsewhere, "properties": { "a": { "$ref": elsewhere } } }),
        json!({ "properties": { "connectionString": { "$ref": "#" } } }),
        json!({ "properties": many, "required": ["nothing"] }),
        json!({ "type": "no-such-type" }),
    ] {
        let scene = Scene::start(&[REMOTE]).await;
        let schema = schema.to_string().replace(ELSEWHERE, &scene.sim.url());
        scene.sim.fault(spec_with(&serde_json::from_str(&schema).unwrap())).await;
        let reply = scene.ask(&mysql("j-1", &json!({ "connectionString": "x" }))).await;
        assert_eq!(reply["status"], "created", "{schema:.100}: {reply}");
        assert_eq!(scene.count(r#"spec_fetches_total{result="unusable"}"#).await, 1, "{schema:.100}");
        let report = scene.sim.report().await;
        assert_eq!(report["requests"]["other"], 0, "nothing that a schema refers to is fetched: {report}");
    }
}

/// Its connection may exist: nobody may be told that it does not, because a spec has changed.
#[tokio::test]
async fn a_job_in_doubt_is_not_held_to_the_live_spec() {
    let scene = Scene::start(&[&[REMOTE], &SOON[..]].concat()).await;
    scene.sim.fault(spec_with(&json!({ "required": ["server"] }))).await;
    let job = mysql("again", &json!({ "connectionString": "x" }));
    let mut headers = FieldTable::default();
    headers.insert("job-attempts".into(), AMQPValue::LongInt(0));
    let properties = BasicProperties::default().with_headers(headers);
    scene.submit_raw(properties, job.to_string().as_bytes()).await;
    let reply = scene.reply().await.json();
    assert_eq!(reply["status"], "created", "{reply}");
    assert_eq!(scene.sim.report().await["requests"]["specs"], 0);
}
