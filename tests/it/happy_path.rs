//! What happens to a job when nothing goes wrong.

use connection_worker::contract::reply::reply_id;
use connection_worker::simulator::Options;
use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::broker::Message;
use crate::support::corner::{CLIENT_ID, Corner, ORG, SANDBOX, job};
use crate::support::scene::Scene;
use crate::support::simulator::Sim;

/// The body of `POST /connections` in Adobe's tutorial for HubSpot.
const TUTORIAL: &str = concat!(
    r#"{"name":"connection for HubSpot","description":"connection for HubSpot","#,
    r#""auth":{"specName":"Basic Authentication","#,
    r#""params":{"clientId":"…","clientSecret":"…","accessToken":"…","refreshToken":"…"}},"#,
    r#""connectionSpec":{"id":"cc6a4487-9e91-433e-a3a3-9cf6626c1806","version":"1.0"}}"#
);

/// The body as the sender wrote it, and nothing added.
const AS_SENT: (&str, &str) = ("JOB_MARKER", "off");

/// The headers of a recorded request, all of them.
fn headers(request: &Value, sim: &Sim, token: &str, api_key: &str) -> Value {
    json!({
        "authorization": format!("Bearer {token}"),
        "x-api-key": api_key,
        "x-gw-ims-org-id": ORG,
        "x-sandbox-name": SANDBOX,
        "content-type": "application/json",
        "accept": "application/json",
        "user-agent": concat!("connection-worker/", env!("CARGO_PKG_VERSION")),
        "host": sim.addr().to_string(),
        "content-length": request["body"].as_str().unwrap().len().to_string(),
    })
}

fn text(value: Option<&ShortString>) -> Option<&str> {
    value.map(ShortString::as_str)
}

#[tokio::test]
async fn a_job_becomes_the_request_of_the_tutorial() {
    let scene = Scene::start(&[AS_SENT]).await;
    let body = format!(r#"{{"jobId":"job-1","connection":{TUTORIAL}}}"#);
    scene.submit_raw(BasicProperties::default(), body.as_bytes()).await;
    let reply = scene.reply().await.json();
    assert_eq!(reply["status"], "created", "{reply}");

    let requests = scene.sim.requests().await;
    let [request] = requests.as_slice() else { panic!("{requests:#?}") };
    assert_eq!(request["body"], TUTORIAL);
    let authorization = request["headers"]["authorization"].as_str().unwrap();
    let token = authorization.strip_prefix("Bearer ").unwrap();
    assert!(token.starts_with("eyJ"), "{token}");
    assert_eq!(request["headers"], headers(request, &scene.sim, token, CLIENT_ID));
    let report = scene.sim.report().await;
    // The recorded calls are those of `POST /data/foundation/flowservice/connections`.
    assert_eq!(report["requests"]["create"], 1, "{report}");
    assert_eq!(report["requests"]["token"], 1, "{report}");
    assert_eq!(report["statuses"], json!({ "200": 1, "201": 1 }), "{report}");
    scene.settled().await;
}

#[tokio::test]
async fn a_fixed_token_is_sent_as_it_is() {
    let options = Options {
        access_token: Some("the-fixed-token".to_owned()),
        client_id: Some("the-api-key".to_owned()),
        ..Options::default()
    };
    let env = [
        ("IMS_CLIENT_ID", ""),
        ("IMS_CLIENT_SECRET", ""),
        ("ACCESS_TOKEN", "the-fixed-token"),
        ("API_KEY", "the-api-key"),
    ];
    let scene = Scene::with(options, &env).await;
    let reply = scene.ask(&job("job-1")).await;
    assert_eq!(reply["status"], "created", "{reply}");
    let requests = scene.sim.requests().await;
    let expected = headers(&requests[0], &scene.sim, "the-fixed-token", "the-api-key");
    assert_eq!(requests[0]["headers"], expected);
    assert_eq!(scene.sim.report().await["requests"]["token"], 0);
}

#[tokio::test]
async fn a_reply_says_everything_that_is_documented() {
    let scene = Scene::start(&[AS_SENT]).await;
    let mut traced = FieldTable::default();
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (name, value) in
        [("traceparent", traceparent), ("tracestate", "vendor=1"), ("tenant", "not for the reply")]
    {
        traced.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    let properties = BasicProperties::default()
        .with_correlation_id("request-7".into())
        .with_message_id("message-7".into())
        .with_headers(traced);
    let before = Timestamp::now();
    let body = format!(r#"{{"jobId":"job-1","connection":{TUTORIAL}}}"#);
    for recovered in [false, true] {
        // The same job again is the same connection.
        scene.submit_raw(properties.clone(), body.as_bytes()).await;
        let reply = scene.reply().await;
        assert_is_documented(&reply, recovered, before, Timestamp::now());
        assert_eq!(text(reply.properties.correlation_id().as_ref()), Some("request-7"));
        let expected = reply_id("job-1");
        assert_eq!(expected.get_version_num(), 5);
        assert_eq!(text(reply.properties.message_id().as_ref()), Some(expected.to_string().as_str()));
        assert_eq!(reply.header("traceparent").as_deref(), Some(traceparent));
        assert_eq!(reply.header("tracestate").as_deref(), Some("vendor=1"));
        assert_eq!(reply.header("tenant"), None);
    }
}

fn assert_is_documented(message: &Message, recovered: bool, before: Timestamp, after: Timestamp) {
    let mut reply = message.json();
    let completed_at: Timestamp = reply["completedAt"].take().as_str().unwrap().parse().unwrap();
    let seconds = |at: Timestamp| u64::try_from(at.as_second()).unwrap();
    assert!((seconds(before)..=seconds(after)).contains(&seconds(completed_at)), "{completed_at}");
    let connection = &mut reply["connection"];
    let id = connection["id"].take();
    Uuid::parse_str(id.as_str().unwrap()).unwrap();
    // The exact value for `If-Match`: with its own quotes.
    let etag = connection["etag"].take();
    assert!(etag.as_str().is_some_and(|etag| etag.len() > 2 && etag.starts_with('"') && etag.ends_with('"')));
    assert_eq!(
        reply,
        json!({
            "schemaVersion": 1,
            "jobId": "job-1",
            "status": "created",
            "connection": {
                "id": null,
                "etag": null,
                "name": "connection for HubSpot",
                "connectionSpecId": "cc6a4487-9e91-433e-a3a3-9cf6626c1806",
                "imsOrgId": ORG,
                "sandboxName": SANDBOX,
                "recovered": recovered,
            },
            "attempts": u32::from(!recovered),
            "completedAt": null,
        })
    );
    let properties = &message.properties;
    assert_eq!(text(properties.content_type().as_ref()), Some("application/json"));
    assert_eq!(text(properties.kind().as_ref()), Some("connection.created"));
    assert_eq!(text(properties.app_id().as_ref()), Some("connection-worker"));
    assert_eq!(*properties.delivery_mode(), Some(2));
    assert_eq!(*properties.timestamp(), Some(seconds(completed_at)));
    assert_eq!((properties.reply_to(), properties.expiration()), (&None, &None));
}

#[tokio::test]
async fn a_job_may_leave_out_what_is_known() {
    let scene = Scene::start(&[AS_SENT]).await;
    let hubspot = json!({ "clientId": "a", "clientSecret": "b", "accessToken": "c", "refreshToken": "d" });
    // A number that no float can hold, and an unknown key, reach Flow Service as they are.
    let body = r#"{"source":"postgresql","imsOrgId":"5678@AdobeOrg","sandboxName":"stage","connection":{
        "name":"warehouse","auth":{"type":"x", "params":{"connectionString":"…","n":12345678901234567890.10}}}}"#;
    let sent = [
        json!({ "source": "hubspot", "connection": { "name": "hub", "auth": { "params": hubspot } } })
            .to_string(),
        body.to_owned(),
    ];
    for (id, body) in sent.iter().enumerate() {
        let properties = BasicProperties::default().with_message_id(format!("message-{id}").into());
        scene.submit_raw(properties, body.as_bytes()).await;
        let reply = scene.reply().await;
        let (properties, reply) = (&reply.properties, reply.json());
        assert_eq!(reply["status"], "created", "{reply}");
        assert_eq!(reply["jobId"], format!("message-{id}"));
        assert_eq!(text(properties.correlation_id().as_ref()), reply["jobId"].as_str());
    }
    let requests = scene.sim.requests().await;
    let told = |request: &Value| {
        let headers = &request["headers"];
        (headers["x-gw-ims-org-id"].clone(), headers["x-sandbox-name"].clone())
    };
    assert_eq!(told(&requests[0]), (json!(ORG), json!(SANDBOX)));
    assert_eq!(told(&requests[1]), (json!("5678@AdobeOrg"), json!("stage")));
    assert_eq!(
        requests[0]["body"],
        concat!(
            r#"{"name":"hub","auth":{"specName":"Basic Authentication","#,
            r#""params":{"clientId":"a","clientSecret":"b","accessToken":"c","refreshToken":"d"}},"#,
            r#""connectionSpec":{"id":"cc6a4487-9e91-433e-a3a3-9cf6626c1806","version":"1.0"}}"#
        )
    );
    assert_eq!(
        requests[1]["body"],
        concat!(
            r#"{"name":"warehouse","auth":{"specName":"Connection String Based Authentication","#,
            r#""params":{"connectionString":"…","n":12345678901234567890.10},"type":"x"},"#,
            r#""connectionSpec":{"id":"74a1c565-4e59-48d7-9d67-7c03b8a13137","version":"1.0"}}"#
        )
    );
}

#[tokio::test]
async fn every_source_of_the_catalogue_is_created_by_its_name() {
    let scene = Scene::start(&[]).await;
    let sources = connection_worker::sources::ALL;
    scene
        .submit_all(sources.iter().map(|source| {
            let auth = &source.auth[0];
            let params: serde_json::Map<_, _> =
                auth.required.iter().map(|name| ((*name).to_owned(), json!("…"))).collect();
            json!({
                "jobId": source.name,
                "source": source.name,
                "connection": { "name": source.title, "auth": { "specName": auth.spec_name, "params": params } },
            })
        }))
        .await;
    for reply in scene.replies(sources.len()).await {
        let reply = reply.json();
        assert_eq!(reply["status"], "created", "{reply}");
    }
    assert_eq!(scene.sim.report().await["distinct"], sources.len());
}

#[tokio::test]
async fn existing_queues_are_used_as_they_are() {
    let corner = Corner::new().await;
    // The worker would create quorum queues that dead-letter.
    for queue in [corner.jobs_queue(), corner.reply_queue(), corner.dead_queue()] {
        corner.vhost.declare_classic(&queue).await;
    }
    // What was in the queue before the worker came is done as well.
    corner.submit(&job("early")).await;
    let scene = Scene::on(corner, &[]).await;
    scene.submit(&job("late")).await;
    let mut done: Vec<_> = scene.replies(2).await.iter().map(|reply| reply.json()["jobId"].clone()).collect();
    done.sort_by_key(ToString::to_string);
    assert_eq!(done, ["early", "late"]);
    scene.settled().await;
}

/// It is another machine, and would see in the clear what is meant for this one.
#[tokio::test]
async fn no_proxy_comes_between_the_worker_and_its_own_machine() {
    let nobody = "http://127.0.0.1:1";
    let scene = Scene::start(&[("http_proxy", nobody), ("HTTP_PROXY", nobody), ("ALL_PROXY", nobody)]).await;
    assert_eq!(scene.ask(&job("direct")).await["status"], "created");
}
