//! Tokens from a file and from an IMS of our own, over real sockets.

use std::io::Write as _;

use super::*;
use crate::flow::FailureKind;
use crate::flow::scripted::{Server, Step, answer, json};
use crate::metrics::Metrics;

const ISSUED: &str = r#"{"access_token":"issued-token","token_type":"bearer","expires_in":86399}"#;

fn ims_at(url: Url) -> ImsClient {
    let settings =
        ImsSettings { url, timeout: Duration::from_millis(1500), connect_timeout: Duration::from_secs(1) };
    ImsClient::new(&settings, Metrics::new().unwrap().http).unwrap()
}

/// Where nobody is asked.
fn no_ims() -> ImsClient {
    ims_at(Url::parse("http://127.0.0.1:1").unwrap())
}

fn secret_file(content: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file
}

fn ims_source(url: Url, client_secret: SecretSource) -> TokenSource {
    let credentials = ImsCredentials {
        client_id: "client-id".to_owned(),
        client_secret,
        scopes: "openid, AdobeID ,session".to_owned(),
    };
    TokenSource::new(Credentials::Ims(credentials), &ims_at(url), None).unwrap()
}

fn ims(server: &Server) -> TokenSource {
    ims_source(server.url(""), SecretSource::Inline("canary-secret".into()))
}

fn fixed(access_token: SecretSource) -> TokenSource {
    TokenSource::new(Credentials::Fixed { access_token, api_key: "api-key".into() }, &no_ims(), None).unwrap()
}

fn value(token: &AccessToken) -> &str {
    token.value.expose_secret()
}

#[tokio::test]
async fn ims_is_asked_with_a_form_in_the_body() {
    let server = Server::start([json(200, ISSUED)]).await;
    let source = ims(&server);
    assert_eq!(value(&source.current().await.unwrap()), "issued-token");
    let request = &server.received()[0];
    assert_eq!(request.line, "POST /ims/token/v3 HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(
        request.body,
        "grant_type=client_credentials&client_id=client-id&client_secret=canary-secret&scope=openid%2CAdobeID%2Csession"
    );
    assert_eq!(source.api_key_header(), "client-id");
}

#[tokio::test]
async fn a_hundred_callers_make_one_request() {
    let server = Server::start([json(200, ISSUED)]).await;
    let source = ims(&server);
    let tokens = futures_util::future::join_all((0..100).map(|_| source.current())).await;
    assert!(tokens.into_iter().all(|token| value(&token.unwrap()) == "issued-token"));
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn a_rotated_client_secret_is_read_again() {
    let refusal = r#"{"error":"invalid_client","error_description":"wrong"}"#;
    for status in [400, 200] {
        let server = Server::start([json(status, refusal), json(200, ISSUED)]).await;
        let file = secret_file("old-secret\n");
        let source = ims_source(server.url("/"), SecretSource::File(file.path().to_owned()));
        std::fs::write(file.path(), "new-secret\n").unwrap();
        source.current().await.unwrap();
        let received = server.received();
        assert!(received[0].body.contains("client_secret=old-secret&"), "{status}");
        assert!(received[1].body.contains("client_secret=new-secret&"), "{status}");
        assert_eq!(source.secrets()[1].expose_secret(), "new-secret");
    }
}

#[tokio::test]
async fn an_unchanged_client_secret_is_tried_once() {
    let server = Server::start([json(401, r#"{"error":"invalid_client"}"#)]).await;
    let file = secret_file("old-secret");
    let source = ims_source(server.url(""), SecretSource::File(file.path().to_owned()));
    let failure = source.current().await.unwrap_err();
    assert_eq!((failure.kind, failure.http_status), (FailureKind::CredentialsRefused, Some(401)));
    assert_eq!(failure.flow_code.as_deref(), Some("invalid_client"));
    assert!(failure.message.contains("IMS_CLIENT_SECRET"), "{failure}");
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn what_ims_says_is_classified() {
    let scope = r#"{"error":"invalid_scope","error_description":"no such scope for canary-secret"}"#;
    for (step, kind, part) in [
        (json(400, scope), FailureKind::CredentialsRefused, "openid,AdobeID,session"),
        (json(403, "{}"), FailureKind::CredentialsRefused, "HTTP 403"),
        (json(404, "{}"), FailureKind::CredentialsRefused, "IMS_URL"),
        (
            Step::Answer(answer(302, &[("Location", "/login?x=canary-secret")], "")),
            FailureKind::CredentialsRefused,
            "IMS_URL",
        ),
        (
            json(200, r#"{"error":"invalid_scope"}"#),
            FailureKind::CredentialsRefused,
            "openid,AdobeID,session",
        ),
        (json(200, r#"{"error":"server_error"}"#), FailureKind::TokenUnavailable, "server_error"),
        (json(500, "{}"), FailureKind::TokenUnavailable, "HTTP 500"),
        (json(408, "{}"), FailureKind::TokenUnavailable, "HTTP 408"),
        (json(200, r#"{"access_token":7,"x":"canary-secret"}"#), FailureKind::TokenUnavailable, "unreadable"),
        (json(200, r#"{"access_token":"can"#), FailureKind::TokenUnavailable, "unreadable"),
        (Step::Close, FailureKind::TokenUnavailable, "cannot be reached"),
        (Step::Hang, FailureKind::TokenUnavailable, "cannot be reached"),
    ] {
        let server = Server::start([step]).await;
        let failure = ims(&server).current().await.unwrap_err();
        assert_eq!(failure.kind, kind, "{failure}");
        assert!(failure.message.contains(part), "{failure}");
        assert!(!format!("{failure:?}").contains("canary"), "{failure:?}");
    }
}

#[tokio::test]
async fn ims_says_how_long_to_wait() {
    let server = Server::start([Step::Answer(answer(429, &[("Retry-After", "38")], ""))]).await;
    let failure = ims(&server).current().await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::TokenUnavailable);
    assert_eq!(failure.retry_after, Some(Duration::from_secs(38)));
}

#[tokio::test]
async fn a_fixed_token_in_a_file_is_read_again_when_it_is_refused() {
    let file = secret_file("first\n");
    let source = fixed(SecretSource::File(file.path().to_owned()));
    let first = source.current().await.unwrap();
    assert_eq!(value(&first), "first");
    assert!(source.renew(&first).await.unwrap().is_none(), "the file still holds the refused one");
    std::fs::write(file.path(), "second\n").unwrap();
    assert_eq!(value(&source.renew(&first).await.unwrap().unwrap()), "second");
    assert_eq!(value(&source.renew(&first).await.unwrap().unwrap()), "second", "for who comes later");
    assert_eq!(value(&source.current().await.unwrap()), "second");
    std::fs::remove_file(file.path()).unwrap();
    let second = source.current().await.unwrap();
    assert_eq!(source.renew(&second).await.unwrap_err().kind, FailureKind::TokenUnavailable);
}

#[tokio::test]
async fn a_fixed_token_without_a_file_cannot_be_renewed() {
    let source = fixed(SecretSource::Inline("only".into()));
    let only = source.current().await.unwrap();
    assert!(source.renew(&only).await.unwrap().is_none());
}

#[test]
fn what_cannot_work_is_refused_at_start_up() {
    let fixed = |token: &str, key: &str| Credentials::Fixed {
        access_token: SecretSource::Inline(token.into()),
        api_key: key.into(),
    };
    assert!(matches!(TokenSource::new(fixed("", "key"), &no_ims(), None), Err(BuildError::Secret { .. })));
    assert!(matches!(
        TokenSource::new(fixed("a\nb", "key"), &no_ims(), None),
        Err(BuildError::Header("ACCESS_TOKEN"))
    ));
    assert!(matches!(
        TokenSource::new(fixed("token", "k\ney"), &no_ims(), None),
        Err(BuildError::Header("API_KEY"))
    ));
}

#[tokio::test]
async fn debug_shows_no_secret() {
    let server = Server::start([json(200, &ISSUED.replace("issued-token", "canary-token"))]).await;
    let credentials = Credentials::Fixed {
        access_token: SecretSource::Inline("canary-token".into()),
        api_key: "canary-key".into(),
    };
    let source = ims(&server);
    let token = source.current().await.unwrap();
    let shown =
        format!("{credentials:?} {source:?} {token:?} {:?} {:?}", token.header(), source.api_key_header());
    assert!(!shown.contains("canary"), "{shown}");
    assert!(!shown.contains("client-id"), "{shown}");
}
