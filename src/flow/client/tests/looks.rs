//! Looks at one thing.

use serde_json::json as value;

use super::*;

const SPEC: &str = r#"{"items":[{"id":"cc6a4487","name":"hubspot","authSpec":[
    {"name":"Basic Authentication","spec":{"type":"object","required":["clientId"]}}],"sourceSpec":{}}],"_links":{}}"#;

pub(super) fn wanted(id: &str) -> SpecRequest {
    SpecRequest {
        ims_org_id: ImsOrgId::parse("1234@AdobeOrg").unwrap(),
        sandbox_name: SandboxName::parse("dev-sandbox").unwrap(),
        connection_spec_id: id.to_owned(),
        body: hubspot(),
    }
}

#[tokio::test]
async fn a_connection_spec_tells_its_kinds_of_authentication() {
    let refused = r#"{"error_code":"401013","message":"Oauth token is not valid"}"#;
    let server = Server::start([json(200, SPEC), json(401, refused)]).await;
    let (client, metrics) = client_at(server.url("/data/foundation/flowservice"));
    assert_eq!(
        client.auth_specs(&wanted("cc6a4487")).await.unwrap(),
        [AuthSpec {
            name: "Basic Authentication".to_owned(),
            schema: value!({ "type": "object", "required": ["clientId"] }),
        }]
    );
    // A fixed token is as good as it gets.
    let failure = client.auth_specs(&wanted("cc6a4487")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::CredentialsRefused);
    for request in server.received() {
        assert_eq!(request.line, "GET /data/foundation/flowservice/connectionSpecs/cc6a4487 HTTP/1.1");
        assert_eq!(request.header("x-gw-ims-org-id"), Some("1234@AdobeOrg"));
        assert_eq!(request.header("x-sandbox-name"), Some("dev-sandbox"));
    }
    let page = metrics.render().unwrap();
    assert!(
        page.contains(
            r#"connection_worker_http_requests_total{method="GET",status="200",upstream="flow"} 1"#
        ),
        "{page}"
    );
}

#[tokio::test]
async fn what_is_not_the_wanted_spec_is_a_failure() {
    for body in ["", "[]", "{}", r#"{"items":[]}"#, r#"{"items":[{"id":"cc6a4487"}]}"#, SPEC] {
        let server = Server::start([json(200, body)]).await;
        let failure = client_at(server.url("")).0.auth_specs(&wanted("other")).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unreadable, "{body}");
        assert!(failure.message.ends_with("which is no connection spec"), "{failure}");
    }
}

#[tokio::test]
async fn an_id_leads_to_no_other_call() {
    let server = Server::start([json(404, "{}"), json(404, "{}")]).await;
    let (client, _) = client_at(server.url("/flow"));
    for id in ["", ".", ".."] {
        assert_eq!(client.auth_specs(&wanted(id)).await.unwrap_err().kind, FailureKind::Refused, "{id:?}");
    }
    assert_eq!(server.received().len(), 0);
    for id in ["../connections", "a?b#c"] {
        client.auth_specs(&wanted(id)).await.unwrap_err();
    }
    let lines: Vec<String> = server.received().into_iter().map(|request| request.line).collect();
    assert_eq!(
        lines,
        [
            "GET /flow/connectionSpecs/..%2Fconnections HTTP/1.1",
            "GET /flow/connectionSpecs/a%3Fb%23c HTTP/1.1",
        ]
    );
}

pub(super) fn connection(id: &str) -> ConnectionRequest {
    ConnectionRequest {
        ims_org_id: ImsOrgId::parse("1234@AdobeOrg").unwrap(),
        sandbox_name: SandboxName::parse("dev-sandbox").unwrap(),
        connection_id: id.to_owned(),
        body: hubspot(),
    }
}

#[tokio::test]
async fn a_connection_tells_its_state_and_how_its_test_went() {
    let item =
        r#"{"items":[{"id":"2fce94c1","state":"enabled","auth":{"params":{"password":"x"}}}],"_links":{}}"#;
    let server =
        Server::start([json(200, item), json(200, r#"{"result":true}"#), json(200, r#"{"result":false}"#)])
            .await;
    let (client, _) = client_at(server.url("/flow"));
    assert_eq!(client.state(&connection("2fce94c1")).await.unwrap(), "enabled");
    assert!(client.test(&connection("2fce94c1")).await.unwrap());
    assert!(!client.test(&connection("2fce94c1")).await.unwrap());
    let lines: Vec<String> = server.received().into_iter().map(|request| request.line).collect();
    assert_eq!(
        lines,
        [
            "GET /flow/connections/2fce94c1 HTTP/1.1",
            "GET /flow/connections/2fce94c1/test HTTP/1.1",
            "GET /flow/connections/2fce94c1/test HTTP/1.1",
        ]
    );
}

#[tokio::test]
async fn a_state_or_a_result_that_is_none_is_a_failure() {
    let long = format!(r#"{{"items":[{{"id":"a","state":"{}"}}]}}"#, "x".repeat(33));
    for body in [
        "",
        "{}",
        r#"{"items":[]}"#,
        r#"{"items":[{"id":"a"}]}"#,
        r#"{"items":[{"id":"b","state":"enabled"}]}"#,
        r#"{"items":[{"id":"a","state":"p\u001b[2J"}]}"#,
        &long,
        r#"{"result":"true"}"#,
        "[true]",
        "[[]]",
        r#"[[{"id":"a","state":"enabled"}]]"#,
        r#"{"items":[["a","enabled"]]}"#,
    ] {
        let server = Server::start([json(200, body), json(200, body)]).await;
        let (client, _) = client_at(server.url(""));
        assert_eq!(client.state(&connection("a")).await.unwrap_err().kind, FailureKind::Unreadable, "{body}");
        assert_eq!(client.test(&connection("a")).await.unwrap_err().kind, FailureKind::Unreadable, "{body}");
    }
}
