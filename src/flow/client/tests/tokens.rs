//! What happens when the token is refused.

use crate::flow::token::ImsCredentials;

use super::*;

const REFUSED_TOKEN: &str = r#"{"error_code":"401013","message":"Oauth token is not valid"}"#;

fn issued(token: &str) -> Step {
    json(200, &format!(r#"{{"access_token":"{token}","expires_in":86399}}"#))
}

fn client_of(ims: &Server, flow: &Server) -> FlowClient {
    let metrics = Metrics::new().unwrap();
    let credentials = Credentials::Ims(ImsCredentials {
        client_id: "client-id".to_owned(),
        client_secret: SecretSource::Inline("canary-secret".into()),
        scopes: "openid".to_owned(),
    });
    let source = TokenSource::new(credentials, &ims_at(ims.url(""), &metrics), None).unwrap();
    client_with(flow.url(""), Keyring::one(source), &metrics)
}

fn tokens_seen(flow: &Server) -> Vec<String> {
    flow.received().iter().map(|request| request.header("authorization").unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_refused_token_is_replaced_and_the_call_made_once_more() {
    for refusal in [
        json(401, REFUSED_TOKEN),
        json(401, ""),
        json(403, r#"{"error_code":"403020"}"#),
        json(400, r#"{"type":"https://ns.adobe.com/aep/errors/FLOW-2115-400"}"#),
        json(401, r#"{"type":"https://ns.adobe.com/aep/errors/FLOW-2000-401"}"#),
    ] {
        let ims = Server::start([issued("one"), issued("two")]).await;
        let flow = Server::start([refusal, json(201, CREATED)]).await;
        client_of(&ims, &flow).create(&request()).await.unwrap();
        assert_eq!(tokens_seen(&flow), ["Bearer one", "Bearer two"]);
        assert_eq!(flow.received()[1].body, HUBSPOT);
    }
}

#[tokio::test]
async fn a_second_refusal_is_the_last_word() {
    let ims = Server::start([issued("one"), issued("two")]).await;
    let flow = Server::start([json(401, REFUSED_TOKEN), json(401, REFUSED_TOKEN)]).await;
    let failure = client_of(&ims, &flow).create(&request()).await.unwrap_err();
    assert_eq!(
        (failure.kind, failure.flow_code.as_deref()),
        (FailureKind::CredentialsRefused, Some("401013"))
    );
    assert_eq!(flow.received().len(), 2);
}

#[tokio::test]
async fn a_refusal_that_is_not_about_the_token_costs_no_token() {
    for (status, code, kind) in [
        (401, "401014", FailureKind::CredentialsRefused),
        (403, "403003", FailureKind::CredentialsRefused),
        (403, "403025", FailureKind::Unauthorized),
    ] {
        let ims = Server::start([issued("one"), issued("two")]).await;
        let flow = Server::start([json(status, &format!(r#"{{"error_code":"{code}"}}"#))]).await;
        let failure = client_of(&ims, &flow).create(&request()).await.unwrap_err();
        assert_eq!(failure.kind, kind);
        assert_eq!((ims.received().len(), flow.received().len()), (1, 1));
    }
}

#[tokio::test]
async fn without_a_new_token_the_call_is_not_made_again() {
    let ims = Server::start([issued("one"), json(503, "")]).await;
    let flow = Server::start([json(401, REFUSED_TOKEN)]).await;
    let failure = client_of(&ims, &flow).create(&request()).await.unwrap_err();
    assert_eq!((failure.kind, failure.http_status), (FailureKind::TokenUnavailable, Some(503)));
    assert_eq!(flow.received().len(), 1);
}

#[tokio::test]
async fn without_a_token_flow_service_is_not_called() {
    let ims = Server::start([Step::Close]).await;
    let flow = Server::start([]).await;
    let failure = client_of(&ims, &flow).create(&request()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::TokenUnavailable);
    assert_eq!(flow.received().len(), 0);
}

#[tokio::test]
async fn many_refused_at_once_cost_one_token() {
    let ims = Server::start([issued("one"), issued("two")]).await;
    let by_token = || {
        Step::Make(Box::new(|request| match request.header("authorization") {
            Some("Bearer two") => answer(201, &[], CREATED),
            _ => answer(401, &[], REFUSED_TOKEN),
        }))
    };
    let flow = Server::start((0..40).map(|_| by_token())).await;
    let client = client_of(&ims, &flow);
    let request = request();
    let created = futures_util::future::join_all((0..20).map(|_| client.create(&request))).await;
    assert!(created.iter().all(Result::is_ok), "{created:?}");
    assert_eq!(ims.received().len(), 2);
}
