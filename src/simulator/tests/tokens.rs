//! IMS, and what the gateway makes of its tokens.

use std::time::Duration;

use serde_json::json;

use super::{Options, Sim, hubspot};

const GOOD: &str = "grant_type=client_credentials&client_id=id&client_secret=s&scope=openid,AdobeID";

async fn issued(sim: &Sim) -> String {
    sim.token(GOOD).await.json()["access_token"].as_str().unwrap().to_owned()
}

async fn create_with(sim: &Sim, token: &str) -> u16 {
    let authorization = format!("Bearer {token}");
    let body = hubspot("a", "").to_string();
    sim.post(&[("authorization", &authorization)], body.as_bytes()).await.unwrap().status
}

#[tokio::test]
async fn a_token_is_issued_and_good() {
    let sim = Sim::start(Options::default()).await;
    let reply = sim.token(GOOD).await;
    let body = reply.json();
    assert_eq!((reply.status, body["token_type"].as_str()), (200, Some("bearer")));
    assert_eq!(body["expires_in"], 86_399);
    assert_eq!(create_with(&sim, body["access_token"].as_str().unwrap()).await, 201);
    assert_eq!(sim.report().await["tokensIssued"], 1);
}

#[tokio::test]
async fn ims_refuses_in_the_form_of_rfc_6749() {
    let sim = Sim::start(Options {
        client_id: Some("id".to_owned()),
        client_secrets: vec!["s".to_owned()],
        ..Options::default()
    })
    .await;
    for (from, to, status, error) in [
        ("client_credentials", "password", 400, "unsupported_grant_type"),
        ("grant_type", "x", 400, "invalid_request"),
        ("client_id=id", "client_id=other", 401, "invalid_client"),
        ("client_secret=s", "client_secret=x", 401, "invalid_client"),
        ("client_secret=s&", "", 401, "invalid_client"),
        ("openid", "nonsense", 400, "invalid_scope"),
        ("&scope=openid,AdobeID", "", 400, "invalid_scope"),
    ] {
        let reply = sim.token(&GOOD.replace(from, to)).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, error), "{from}");
        assert!(reply.json()["error_description"].is_string());
    }
    let json = sim.exchange("POST", "/ims/token/v3", &[], GOOD.as_bytes()).await.unwrap();
    assert_eq!((json.status, json.code().as_str()), (400, "invalid_request"));
}

#[tokio::test]
async fn client_secrets_rotate() {
    let sim = Sim::start(Options { client_secrets: vec!["old".to_owned()], ..Options::default() }).await;
    let with = |secret: &str| GOOD.replace("client_secret=s", &format!("client_secret={secret}"));
    assert_eq!(sim.control("POST", "secrets", &json!({"clientSecrets": ["new", "old"]})).await.status, 200);
    assert_eq!(sim.token(&with("old")).await.status, 200);
    sim.control("POST", "secrets", &json!({"clientSecrets": ["new"]})).await;
    assert_eq!(sim.token(&with("old")).await.code(), "invalid_client");
    assert_eq!(sim.token(&with("new")).await.status, 200);
    let three = sim.control("POST", "secrets", &json!({"clientSecrets": ["a", "b", "c"]})).await;
    assert_eq!(three.status, 400);
    sim.control("POST", "reset", &json!(null)).await;
    assert_eq!(sim.token(&with("old")).await.status, 200);
}

#[tokio::test]
async fn each_of_several_clients_has_its_own_secrets_and_tokens() {
    let clients = [("a", "s-a"), ("b", "s-b")].map(|(id, secret)| (id.to_owned(), vec![secret.to_owned()]));
    let sim = Sim::start(Options { clients: clients.into(), ..Options::default() }).await;
    let ask = async |id: &str, secret: &str| {
        let form = GOOD.replace("client_id=id", &format!("client_id={id}"));
        sim.token(&form.replace("client_secret=s", &format!("client_secret={secret}"))).await
    };
    let create = async |token: &str, client: &str| {
        let headers = [("authorization", format!("Bearer {token}")), ("x-api-key", client.to_owned())];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        sim.post(&headers, hubspot("a", "").to_string().as_bytes()).await.unwrap().status
    };
    let token = |reply: &super::Reply| reply.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(ask("a", "s-b").await.code(), "invalid_client");
    assert_eq!(ask("c", "s-a").await.code(), "invalid_client");
    let (of_a, of_b) = (token(&ask("a", "s-a").await), token(&ask("b", "s-b").await));
    assert_eq!((create(&of_a, "a").await, create(&of_b, "b").await), (201, 201));
    assert_eq!((create(&of_a, "b").await, create(&of_a, "c").await), (401, 403));

    let revoked = json!({ "clientId": "a", "clientSecrets": [] });
    assert_eq!(sim.control("POST", "secrets", &revoked).await.status, 200);
    assert_eq!(ask("a", "s-a").await.code(), "invalid_client");
    assert_eq!(create(&of_a, "a").await, 201, "what was issued stays good");
    sim.control("POST", "tokens/expire", &json!({ "clientId": "a" })).await;
    assert_eq!((create(&of_a, "a").await, create(&of_b, "b").await), (401, 201));
    let nobody = json!({ "clientId": "c", "clientSecrets": [] });
    assert_eq!(sim.control("POST", "secrets", &nobody).await.status, 400);
}

#[tokio::test]
async fn tokens_expire_when_their_time_is_over() {
    let sim = Sim::start(Options { token_lifetime: Duration::ZERO, ..Options::default() }).await;
    assert_eq!(create_with(&sim, &issued(&sim).await).await, 401);
}

#[tokio::test]
async fn all_tokens_expire_on_demand_and_new_ones_are_good() {
    let sim = Sim::start(Options::default()).await;
    let token = issued(&sim).await;
    assert_eq!(create_with(&sim, &token).await, 201);
    sim.control("POST", "tokens/expire", &json!(null)).await;
    assert_eq!(create_with(&sim, &token).await, 401);
    assert_eq!(create_with(&sim, "fixed").await, 401);
    assert_eq!(create_with(&sim, &issued(&sim).await).await, 201);
    sim.control("POST", "reset", &json!(null)).await;
    assert_eq!(create_with(&sim, "fixed").await, 201);
}

#[tokio::test]
async fn a_fault_can_expire_the_tokens_just_before_a_create() {
    let sim = Sim::start(Options::default()).await;
    sim.fault(json!({ "count": 1, "fault": { "kind": "expire_tokens" } })).await;
    assert_eq!(create_with(&sim, "fixed").await, 401);
    assert_eq!(create_with(&sim, &issued(&sim).await).await, 201);
}
