//! `secrets_stay_inside`, as far as this module goes.

use crate::flow::scripted::Request;

use super::*;

/// Everything of a failure that can be seen.
fn all_of(failure: &Failure) -> String {
    format!("{failure} {failure:?} {failure:#?}")
}

#[tokio::test]
async fn an_error_that_echoes_the_request_gives_no_secret_away() {
    let echo = |status: u16| {
        Step::Make(Box::new(move |request: &Request| {
            let sent = format!("{:?} {}", request.headers, request.body);
            let body = serde_json::json!({
                "message": format!("You sent {sent}"),
                "error_code": "canary-client-secret",
                "report": { "request-id": "canary-bearer" },
            });
            let headers = [
                ("X-Request-Id", "canary-refresh-token"),
                ("Content-Type", "canary-access-token/canary-api-key"),
            ];
            answer(status, &headers, &body.to_string())
        }))
    };
    for status in [400, 401, 403, 404, 429, 500, 503, 302] {
        let failure = fail_with(echo(status)).await;
        assert!(failure.message.contains("You sent"), "{failure}");
        assert!(!all_of(&failure).contains("canary"), "{failure:?}");
        assert_eq!(failure.flow_code.as_deref(), Some("[redacted]"));
        assert_eq!(failure.request_id.as_deref(), Some("[redacted]"));
    }
}

/// Whatever is asked for a job: Flow Service knows the connection, and may quote it.
#[tokio::test]
async fn no_call_for_a_job_gives_its_secrets_away() {
    let quoting =
        serde_json::json!({ "message": format!("It has {HUBSPOT}"), "error_code": "canary-client-secret" });
    for status in [200, 400, 404, 500] {
        let steps = || {
            let headers =
                [("X-Request-Id", "canary-refresh-token"), ("Content-Type", "canary-access-token/x")];
            [0; 4].map(|_| Step::Answer(answer(status, &headers, &quoting.to_string())))
        };
        let server = Server::start(steps()).await;
        let (client, _) = client_at(server.url(""));
        let failures = [
            client.find(&finds::wanted("d [job a-1]")).await.unwrap_err(),
            client.auth_specs(&looks::wanted("cc6a4487")).await.unwrap_err(),
            client.state(&looks::connection("c-1")).await.unwrap_err(),
            client.test(&looks::connection("c-1")).await.unwrap_err(),
        ];
        for failure in failures {
            assert!(!all_of(&failure).contains("canary"), "{status}: {failure:?}");
        }
    }
}

#[tokio::test]
async fn an_unreadable_answer_gives_no_secret_away() {
    let headers = [("X-Request-Id", "canary-refresh-token"), ("Content-Type", "canary-access-token/x")];
    for (status, body) in [(201, HUBSPOT), (502, "canary-bearer")] {
        let failure = fail_with(Step::Answer(answer(status, &headers, body))).await;
        assert!(!all_of(&failure).contains("canary"), "{failure:?}");
    }
}

#[tokio::test]
async fn a_failed_connection_gives_no_secret_away() {
    for step in [Step::Close, Step::Hang, Step::Last(b"canary-bearer\r\n\r\n".to_vec())] {
        assert!(!all_of(&fail_with(step).await).contains("canary"));
    }
}

#[tokio::test]
async fn the_classification_is_made_before_the_code_is_hidden() {
    let server = Server::start([json(429, r#"{"error_code":"429050","message":"x"}"#)]).await;
    let body = HUBSPOT.replace("canary-client-id", "429050");
    let failure = client_at(server.url(""))
        .0
        .create(&CreateRequest { body: CreateBody(body.into()), ..request() })
        .await
        .unwrap_err();
    assert_eq!((failure.kind, failure.flow_code.as_deref()), (FailureKind::Throttled, Some("[redacted]")));
}

#[test]
fn debug_shows_no_secret() {
    let (client, _) = client_at(Url::parse("http://localhost").unwrap());
    let shown = format!("{:?} {client:?}", request());
    assert!(!shown.contains("canary"), "{shown}");
    assert!(
        shown.contains("1234@AdobeOrg") && shown.contains(&format!("[{} bytes]", HUBSPOT.len())),
        "{shown}"
    );
}
