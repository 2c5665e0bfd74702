//! The client against real sockets, with small real timeouts.

mod answers;
mod finds;
mod looks;
mod secrets;
mod tokens;

use super::*;
use crate::contract::ids::{ImsOrgId, SandboxName};
use crate::flow::CreateBody;
use crate::flow::scripted::{Server, Step, answer, json};
use crate::flow::token::{Credentials, ImsClient, ImsSettings, TokenSource};
use crate::metrics::Metrics;
use crate::secret::SecretSource;

/// The body of Adobe's tutorial for `HubSpot`, with line ends and spaces of its own to see that no byte is changed.
const HUBSPOT: &str = r#"{
  "name": "connection for HubSpot",
  "description":"connection for HubSpot",
  "auth": {"specName": "Basic Authentication",
    "params": {"clientId": "canary-client-id", "clientSecret": "canary-client-secret",
      "accessToken": "canary-access-token", "refreshToken": "canary-refresh-token"}},
  "connectionSpec": {"id": "cc6a4487-9e91-433e-a3a3-9cf6626c1806", "version": "1.0"}
}
"#;

const CREATED: &str =
    r#"{"id":"2fce94c1-9a93-4971-8e94-c19a93097129","etag":"\"d403848a-0000-0200-0000-5e978f7b0000\""}"#;

fn hubspot() -> CreateBody {
    CreateBody(Bytes::from_static(HUBSPOT.as_bytes()))
}

fn request() -> CreateRequest {
    CreateRequest {
        attempts_before: 0,
        ims_org_id: "1234@AdobeOrg".to_owned(),
        sandbox_name: "dev-sandbox".to_owned(),
        body: hubspot(),
    }
}

fn client_at(url: Url) -> (FlowClient, Metrics) {
    let metrics = Metrics::new().unwrap();
    let credentials = Credentials::Fixed {
        access_token: SecretSource::Inline("canary-bearer".into()),
        api_key: "canary-api-key".into(),
    };
    let source =
        TokenSource::new(credentials, &ims_at(Url::parse("http://127.0.0.1:1").unwrap(), &metrics), None)
            .unwrap();
    (client_with(url, Keyring::one(source), &metrics), metrics)
}

fn ims_at(url: Url, metrics: &Metrics) -> ImsClient {
    let settings =
        ImsSettings { url, timeout: Duration::from_millis(1500), connect_timeout: Duration::from_secs(1) };
    ImsClient::new(&settings, metrics.http.clone()).unwrap()
}

fn client_with(url: Url, keyring: Keyring, metrics: &Metrics) -> FlowClient {
    let settings = FlowSettings {
        url,
        timeout: Duration::from_millis(1500),
        connect_timeout: Duration::from_secs(1),
        max_idle: 4,
    };
    FlowClient::new(settings, keyring, metrics.http.clone()).unwrap()
}

async fn create_once(step: Step) -> Result<Created, Failure> {
    let server = Server::start([step]).await;
    let (client, _) = client_at(server.url("/data/foundation/flowservice"));
    let result = client.create(&request()).await;
    assert_eq!(server.received().len(), 1, "a create is sent exactly once");
    result
}

async fn fail_with(step: Step) -> Failure {
    create_once(step).await.unwrap_err()
}

#[tokio::test]
async fn the_create_of_the_tutorial_goes_out_byte_for_byte() {
    let server = Server::start([json(201, CREATED), json(201, CREATED)]).await;
    for base in ["/data/foundation/flowservice", "/data/foundation/flowservice/"] {
        client_at(server.url(base)).0.create(&request()).await.unwrap();
    }
    let host = server.url("").authority().to_owned();
    let length = HUBSPOT.len().to_string();
    for request in server.received() {
        assert_eq!(request.line, "POST /data/foundation/flowservice/connections HTTP/1.1");
        assert_eq!(request.body, HUBSPOT);
        let headers: Vec<(&str, &str)> =
            request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            headers,
            [
                ("accept", "application/json"),
                ("authorization", "Bearer canary-bearer"),
                ("content-length", length.as_str()),
                ("content-type", "application/json"),
                ("host", host.as_str()),
                ("user-agent", concat!("connection-worker/", env!("CARGO_PKG_VERSION"))),
                ("x-api-key", "canary-api-key"),
                ("x-gw-ims-org-id", "1234@AdobeOrg"),
                ("x-sandbox-name", "dev-sandbox"),
            ]
        );
    }
}

#[tokio::test]
async fn the_id_and_the_etag_come_back_unchanged() {
    let created = create_once(json(201, CREATED)).await.unwrap();
    assert_eq!(created.id, "2fce94c1-9a93-4971-8e94-c19a93097129");
    assert_eq!(created.etag.as_deref(), Some("\"d403848a-0000-0200-0000-5e978f7b0000\""));
    for (status, body) in [(200, r#"{"id":"x","more":[1]}"#), (202, r#"{"id":"x","etag":null}"#)] {
        let created = create_once(json(status, body)).await.unwrap();
        assert_eq!(created, Created { id: "x".to_owned(), etag: None });
    }
}

#[tokio::test]
async fn connections_are_kept_between_calls() {
    let server = Server::start([json(201, CREATED), Step::Close, json(201, CREATED)]).await;
    let (client, _) = client_at(server.url(""));
    client.create(&request()).await.unwrap();
    // The second request goes to the kept connection, which the server closes on seeing it: not sent again.
    assert_eq!(client.create(&request()).await.unwrap_err().kind, FailureKind::NoAnswer);
    assert_eq!(server.received().len(), 2);
    client.create(&request()).await.unwrap();
}

#[tokio::test]
async fn calls_are_counted_by_how_they_ended() {
    let throttled = Step::Answer(answer(429, &[("Retry-After", "38")], ""));
    let server = Server::start([json(201, CREATED), throttled, Step::Close, Step::Hang]).await;
    let (client, metrics) = client_at(server.url(""));
    client.create(&request()).await.unwrap();
    for _ in 0..3 {
        client.create(&request()).await.unwrap_err();
    }
    let page = metrics.render().unwrap();
    for line in [
        r#"http_requests_total{method="POST",status="201",upstream="flow"} 1"#,
        r#"http_requests_total{method="POST",status="429",upstream="flow"} 1"#,
        r#"http_requests_total{method="POST",status="no_answer",upstream="flow"} 1"#,
        r#"http_requests_total{method="POST",status="timeout",upstream="flow"} 1"#,
        r#"http_requests_in_flight{upstream="flow"} 0"#,
        "http_retry_after_seconds_sum 38",
    ] {
        assert!(page.contains(&format!("connection_worker_{line}")), "{line} is not in\n{page}");
    }
}

#[test]
fn a_base_address_that_cannot_work_is_refused_at_start_up() {
    for url in
        ["ftp://x/", "mailto:x@y", "https://user@x/", "https://u:p@x/", "https://x/?a=b", "https://x/#f"]
    {
        let url = Url::parse(url).unwrap();
        let error = endpoint("FLOW_URL", &url, &["connections"]).unwrap_err();
        assert!(error.to_string().starts_with("FLOW_URL must be"), "{error}");
    }
}

#[tokio::test]
async fn a_header_value_that_cannot_be_sent_is_refused_unsent() {
    let server = Server::start([]).await;
    let (client, _) = client_at(server.url(""));
    let failure = client
        .create(&CreateRequest { sandbox_name: "a\r\nX-Evil: 1".to_owned(), ..request() })
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert_eq!(server.received().len(), 0);
}
