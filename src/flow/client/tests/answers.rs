//! What each answer, and each lack of one, becomes.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;

use super::*;

#[tokio::test]
async fn every_shape_of_error_body_is_understood() {
    let flow = r#"{"type":"https://ns.adobe.com/aep/errors/FLOW-1415-400","title":"t","status":400,
        "report":{"detailed-message":"No such auth spec","request-id":"req-7"},"errorMessage":"m"}"#;
    for (status, body, kind, code, message, request_id) in [
        (400, flow, FailureKind::Refused, Some("1415-400"), "HTTP 400: No such auth spec", Some("req-7")),
        (
            404,
            r#"{"errorMessage":"no sandbox","errorDetails":"d"}"#,
            FailureKind::Refused,
            None,
            "HTTP 404: no sandbox",
            Some("header-id"),
        ),
        (
            400,
            r#"{"message":"a valid spec id"}"#,
            FailureKind::Refused,
            None,
            "HTTP 400: a valid spec id",
            Some("header-id"),
        ),
        (
            403,
            r#"{"error_code":403003,"message":"Api Key is invalid"}"#,
            FailureKind::CredentialsRefused,
            Some("403003"),
            "HTTP 403: Api Key is invalid",
            Some("header-id"),
        ),
        (
            403,
            r#"{"error_code":"503020","message":"profile"}"#,
            FailureKind::Unavailable,
            Some("503020"),
            "HTTP 403: profile",
            Some("header-id"),
        ),
        (
            415,
            r#"{"type":"/placeholder/type/uri","status":415,"title":"t","detail":"a content-type"}"#,
            FailureKind::Refused,
            None,
            "HTTP 415: a content-type",
            Some("header-id"),
        ),
        (
            503,
            r#"{"error_code":"503071","message":""}"#,
            FailureKind::Unavailable,
            Some("503071"),
            "HTTP 503 with code 503071",
            Some("header-id"),
        ),
        (
            502,
            "<html>raw</html>",
            FailureKind::ServerError,
            None,
            "HTTP 502 with an unreadable body (text/html, 16 bytes)",
            Some("header-id"),
        ),
        (504, "", FailureKind::ServerError, None, "HTTP 504 with an empty body", Some("header-id")),
        (
            400,
            r#"{"error":"invalid_scope","error_description":"why"}"#,
            FailureKind::Refused,
            Some("invalid_scope"),
            "HTTP 400: why",
            Some("header-id"),
        ),
    ] {
        let headers = [("X-Request-Id", "header-id"), ("Content-Type", "text/html; charset=utf-8")];
        let failure = fail_with(Step::Answer(answer(status, &headers, body))).await;
        let expected = Failure {
            kind,
            message: format!("Flow Service answered {message}"),
            http_status: Some(status),
            flow_code: code.map(str::to_owned),
            request_id: request_id.map(str::to_owned),
            retry_after: None,
        };
        assert_eq!(failure, expected);
    }
}

#[tokio::test]
async fn what_something_else_answers_is_told_as_such() {
    for (status, body, said) in [
        (
            404,
            r#"{"message":"no Route matched"}"#,
            "answered HTTP 404: no Route matched: FLOW_URL may be wrong",
        ),
        (
            403,
            "<html>no</html>",
            "answered HTTP 403 with an unreadable body (text/html, 15 bytes): FLOW_URL may",
        ),
    ] {
        let failure = fail_with(Step::Answer(answer(status, &[("Content-Type", "text/html")], body))).await;
        assert_eq!(failure.kind, FailureKind::ForeignAnswer, "{failure}");
        assert!(failure.message.starts_with("something else than Flow Service "), "{failure}");
        assert!(failure.message.contains(said), "{failure}");
    }
}

#[tokio::test]
async fn a_throttled_call_says_how_long_to_wait() {
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(60));
    let failure = fail_with(Step::Answer(answer(429, &[("Retry-After", &date)], ""))).await;
    assert_eq!(failure.kind, FailureKind::Throttled);
    let wait = failure.retry_after.unwrap().as_secs_f64();
    assert!((55.0..=60.0).contains(&wait), "{wait}");
    let failure = fail_with(Step::Answer(answer(429, &[("Retry-After", "999999999999")], ""))).await;
    assert_eq!(failure.retry_after, Some(Duration::from_secs(7 * 24 * 60 * 60)));
    for unreadable in ["soon", "\u{e9}"] {
        let failure = fail_with(Step::Answer(answer(429, &[("Retry-After", unreadable)], ""))).await;
        let wait = Some(Duration::from_secs(5));
        assert_eq!((failure.kind, failure.retry_after), (FailureKind::Throttled, wait), "{unreadable}");
    }
    let failure = fail_with(Step::Answer(answer(429, &[], ""))).await;
    assert_eq!((failure.kind, failure.retry_after), (FailureKind::Throttled, None));
}

/// An hour ahead, two minutes behind: what is asked for is a time from the answer on.
#[tokio::test]
async fn a_date_to_come_again_at_counts_from_the_answers_own() {
    for off in [3_600, -120] {
        let clock = UNIX_EPOCH + Duration::from_secs(1_900_000_000_u64.saturating_add_signed(off));
        let date = httpdate::fmt_http_date(clock);
        let later = httpdate::fmt_http_date(clock + Duration::from_secs(6));
        let headers = [("Date", date.as_str()), ("Retry-After", later.as_str())];
        let failure = fail_with(Step::Answer(answer(503, &headers, ""))).await;
        assert_eq!(failure.retry_after, Some(Duration::from_secs(6)), "{off}");
    }
}

#[tokio::test]
async fn a_redirect_is_no_verdict_and_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        for (location, host) in
            [("/login?t=x", ""), ("https://maintenance.example.com/login?t=x", "maintenance.example.com")]
        {
            let failure = fail_with(Step::Answer(answer(status, &[("Location", location)], ""))).await;
            assert_eq!((failure.kind, failure.http_status), (FailureKind::ForeignAnswer, Some(status)));
            assert!(failure.message.contains("FLOW_URL may be wrong"), "{failure}");
            assert!(failure.message.contains(host) && !failure.message.contains("login"), "{failure}");
        }
    }
}

#[tokio::test]
async fn a_success_that_does_not_tell_the_id_is_unreadable() {
    for step in [
        json(201, "{}"),
        json(201, ""),
        json(201, "<html>"),
        json(201, r#"{"id":7}"#),
        json(201, r#"{"id":""}"#),
        json(201, r#"{"id":" "}"#),
        json(201, r#"{"id":"a\u0007b"}"#),
        json(201, r#"{"id":"cut"#),
        json(200, r#"["id","etag"]"#),
        Step::Answer(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        Step::Last(b"HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n{\"id\":\"x\"}".to_vec()),
        Step::Last(answer(201, &[], &"x".repeat(70_000))),
        Step::Last(answer(201, &[], &format!(r#"{{"id":"x","filler":"{}"}}"#, "x".repeat(70_000)))),
    ] {
        let failure = fail_with(step).await;
        assert_eq!(failure.kind, FailureKind::Unreadable, "{failure}");
        assert!(failure.http_status.is_some_and(|status| status < 300), "{failure:?}");
    }
}

#[tokio::test]
async fn an_error_whose_body_is_cut_or_too_long_is_classified_by_its_status() {
    let cut = |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 99\r\n\r\n{{\"mess").into_bytes();
    for (step, kind, part) in [
        (Step::Last(cut("400 Bad Request")), FailureKind::ForeignAnswer, "broke off after 6 bytes"),
        (Step::Last(cut("500 Ouch")), FailureKind::ServerError, "broke off after 6 bytes"),
        (Step::Last(cut("429 Slow")), FailureKind::Throttled, "broke off after 6 bytes"),
        (
            Step::Last(answer(422, &[], &"x".repeat(1 << 20))),
            FailureKind::ForeignAnswer,
            "more than 65536 bytes",
        ),
    ] {
        let failure = fail_with(step).await;
        assert_eq!(failure.kind, kind, "{failure}");
        assert!(failure.message.contains(part), "{failure}");
    }
}

#[tokio::test]
async fn no_answer_after_sending_leaves_the_outcome_open() {
    assert_eq!(fail_with(Step::Close).await.kind, FailureKind::NoAnswer);
    assert_eq!(fail_with(Step::Last(b"HTTP/1.1 20".to_vec())).await.kind, FailureKind::NoAnswer);
    assert_eq!(fail_with(Step::Last(b"nonsense\r\n\r\n".to_vec())).await.kind, FailureKind::NoAnswer);
    assert_eq!(fail_with(Step::Hang).await.kind, FailureKind::Timeout);
}

#[tokio::test]
async fn a_success_whose_body_never_comes_ends_in_time() {
    let head = b"HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n".to_vec();
    let failure = fail_with(Step::Answer(head)).await;
    assert_eq!(failure.kind, FailureKind::Unreadable, "{failure}");
}

#[tokio::test]
async fn a_request_that_never_left_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let no_handshake = format!("https://{}", silent.local_addr().unwrap());
    let server = Server::start([]).await;
    let no_tls = server.url("").as_str().replace("http:", "https:");
    for url in [refused.as_str(), "http://flow-service.invalid", no_handshake.as_str(), no_tls.as_str()] {
        let (client, metrics) = client_at(Url::parse(url).unwrap());
        let failure = client.create(&request()).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::NotSent, "{url}: {failure}");
        assert!(failure.message.starts_with("Flow Service cannot be reached: "), "{failure}");
        assert!(!failure.message.contains("http"), "{failure}");
        let counted = r#"http_requests_total{method="POST",status="not_sent",upstream="flow"} 1"#;
        assert!(metrics.render().unwrap().contains(counted));
    }
}
