//! Looking for a connection.

use super::*;
use crate::contract::ids::JobId;

pub(super) fn wanted(description: &str) -> FindRequest {
    FindRequest {
        ims_org_id: "1234@AdobeOrg".to_owned(),
        sandbox_name: "dev-sandbox".to_owned(),
        job_id: JobId::parse("a-1").unwrap(),
        description: description.to_owned(),
        name: "for HubSpot".to_owned(),
        connection_spec_id: "cc6a4487-9e91-433e-a3a3-9cf6626c1806".to_owned(),
        since: Some("2030-01-31T12:10:00Z".parse().unwrap()),
        body: hubspot(),
    }
}

fn item(id: &str, created_at: i64, description: &str) -> String {
    format!(
        r#"{{"id":"{id}","etag":"\"e\"","createdAt":{created_at},"description":"{description}","auth":{{"params":{{"password":"x"}}}}}}"#
    )
}

fn page(items: &[String], next: Option<&str>) -> Step {
    let links = next.map(|href| format!(r#""next":{{"href":"{href}"}}"#)).unwrap_or_default();
    json(200, &format!(r#"{{"items":[{}],"_links":{{{links}}}}}"#, items.join(",")))
}

async fn find(steps: Vec<Step>, description: &str) -> (Result<Option<Found>, Failure>, Vec<String>) {
    let server = Server::start(steps).await;
    let (client, _) = client_at(server.url("/data/foundation/flowservice"));
    let found = client.find(&wanted(description)).await;
    let received = server.received();
    for request in &received {
        assert_eq!(request.header("authorization"), Some("Bearer canary-bearer"));
        assert_eq!(request.header("x-sandbox-name"), Some("dev-sandbox"));
    }
    (found, received.into_iter().map(|request| request.line).collect())
}

fn get(query: &str) -> String {
    format!("GET /data/foundation/flowservice/connections?{query} HTTP/1.1")
}

#[tokio::test]
async fn a_connection_is_looked_for_by_its_whole_description() {
    let (found, lines) =
        find(vec![page(&[item("c-1", 5, "für HubSpot [job a-1]")], None)], "für HubSpot [job a-1]").await;
    let connection = Created { id: "c-1".to_owned(), etag: Some("\"e\"".to_owned()) };
    assert_eq!(found, Ok(Some(Found { connection, duplicates: Vec::new() })));
    let description = "f%C3%BCr%20HubSpot%20%5Bjob%20a%2D1%5D";
    assert_eq!(lines, [get(&format!("property=description=={description}&limit=100"))]);
}

/// The filter is not trusted: one that is too generous must not hand the job somebody else's connection.
#[tokio::test]
async fn only_the_jobs_own_mark_counts_and_of_several_the_oldest() {
    let items = [
        item("younger", 7, "d [job a-1]"),
        item("other", 1, "d [job a-12]"),
        item("quoting", 1, "[job a-1] [job b]"),
        item("oldest", 5, "d [job a-1]"),
        r#"{"id":"bare"}"#.to_owned(),
    ];
    let (found, _) = find(vec![page(&items, None)], "d [job a-1]").await;
    let found = found.unwrap().unwrap();
    assert_eq!(
        (found.connection.id.as_str(), &found.duplicates[..]),
        ("oldest", &["younger".to_owned()][..])
    );
    let (absent, _) = find(vec![page(&items[1..3], None)], "d [job a-1]").await;
    assert_eq!(absent, Ok(None));
}

#[tokio::test]
async fn a_description_that_no_filter_can_say_is_looked_for_by_source_and_age() {
    let long = format!("{} [job a-1]", "x".repeat(1001));
    for description in
        ["a, b [job a-1]", r#"a "b" [job a-1]"#, " a [job a-1]", "a=b [job a-1]", long.as_str()]
    {
        let escaped = description.replace('"', "\\\"");
        let steps = vec![
            page(&[item("other", 1, "a, b [job z]")], Some("/connections?continuationToken=t%201&x=y")),
            page(&[item("c-1", 5, &escaped)], None),
        ];
        let (found, lines) = find(steps, description).await;
        assert_eq!(found.unwrap().unwrap().connection.id, "c-1", "{description}");
        let source = "property=connectionSpec.id==cc6a4487%2D9e91%2D433e%2Da3a3%2D9cf6626c1806&property=name==for%20HubSpot";
        // Ten minutes before the job was first seen, in milliseconds.
        let first = get(&format!("{source}&property=createdAt%3E=1896091200000&limit=100"));
        assert_eq!(lines, [first, get("continuationToken=t%201&x=y")], "{description}");
    }
}

#[tokio::test]
async fn a_link_leads_to_no_other_server() {
    let elsewhere = page(&[], Some("https://example.com/connections?continuationToken=t"));
    let (found, lines) = find(vec![elsewhere, page(&[], None)], "d [job a-1]").await;
    assert_eq!(found, Ok(None));
    assert_eq!(lines[1], get("continuationToken=t"));
}

#[tokio::test]
async fn an_odd_item_or_link_hides_nothing() {
    let ours = item("c-1", 5, "d [job a-1]");
    for odd in [
        "null",
        "7",
        "[]",
        r#""text""#,
        r#"{"name":"no id"}"#,
        r#"{"id":7,"etag":{},"createdAt":null,"description":[]}"#,
        r#"{"id":"c-2","createdAt":"2030-01-31","description":null}"#,
        r#"{"id":"c-2","createdAt":1.5}"#,
    ] {
        let (found, _) = find(vec![page(&[odd.to_owned(), ours.clone()], None)], "d [job a-1]").await;
        assert_eq!(found.unwrap().unwrap().connection.id, "c-1", "{odd}");
    }
    for (created_at, etag) in [("null", "{}"), (r#""2030""#, "7"), ("1.5", "null"), ("[]", "[]")] {
        let odd =
            format!(r#"{{"id":"c-1","createdAt":{created_at},"etag":{etag},"description":"d [job a-1]"}}"#);
        let (found, _) = find(vec![page(std::slice::from_ref(&odd), None)], "d [job a-1]").await;
        let connection = Created { id: "c-1".to_owned(), etag: None };
        assert_eq!(found, Ok(Some(Found { connection, duplicates: Vec::new() })), "{odd}");
    }
    for links in [
        "null",
        "[]",
        "{}",
        "7",
        r#"["x"]"#,
        r#"{"next":"x"}"#,
        r#"{"next":null}"#,
        r#"{"next":{}}"#,
        r#"{"next":{"href":""}}"#,
    ] {
        let page = json(200, &format!(r#"{{"items":[{ours}],"_links":{links}}}"#));
        let (found, lines) = find(vec![page], "d [job a-1]").await;
        assert_eq!((found.unwrap().unwrap().connection.id.as_str(), lines.len()), ("c-1", 1), "{links}");
    }
}

#[tokio::test]
async fn what_is_no_list_is_a_failure_and_never_an_absence() {
    for (step, kind) in [
        (json(200, "{}"), FailureKind::Unreadable),
        (json(200, "[]"), FailureKind::Unreadable),
        (json(200, "[[],{}]"), FailureKind::Unreadable),
        (json(200, r#"{"items":{}}"#), FailureKind::Unreadable),
        (json(200, r#"{"items":[{"description":"d [job a-1]"}]}"#), FailureKind::Unreadable),
        (page(&[item("", 1, "d [job a-1]")], None), FailureKind::Unreadable),
        (page(&[item("a b", 1, "d [job a-1]")], None), FailureKind::Unreadable),
        (page(&[r#""c-1""#.to_owned()], None), FailureKind::Unreadable),
        (page(&[r#"[{"id":"c-1"}]"#.to_owned()], None), FailureKind::Unreadable),
        (page(&[r#"{"id":"c-1","id":"c-2"}"#.to_owned()], None), FailureKind::Unreadable),
        (json(200, r#"{"items":[],"_links":[{"rel":"next","href":"x"}]}"#), FailureKind::Unreadable),
        (json(200, r#"{"items":[],"_links":{"next":"x"}}"#), FailureKind::Unreadable),
        (json(200, r#"{"items":[],"_links":{"next":{"href":["x"]}}}"#), FailureKind::Unreadable),
        (page(&[], Some("/connections")), FailureKind::Unreadable),
        (json(503, "{}"), FailureKind::ServerError),
        (json(400, r#"{"message":"no such filter"}"#), FailureKind::Refused),
        (Step::Close, FailureKind::NoAnswer),
        (Step::Hang, FailureKind::Timeout),
    ] {
        let again = page(&[], Some("/connections"));
        let (found, _) = find(vec![step, again], "d [job a-1]").await;
        assert_eq!(found.unwrap_err().kind, kind);
    }
}

#[tokio::test]
async fn a_look_up_that_is_refused_for_its_token_says_so() {
    let refused = json(401, r#"{"error_code":"401013","message":"Oauth token is not valid"}"#);
    let (found, lines) = find(vec![refused, page(&[], None)], "d [job a-1]").await;
    // A fixed token has no other, so the refusal is the answer.
    assert_eq!(found.unwrap_err().kind, FailureKind::CredentialsRefused);
    assert_eq!(lines.len(), 1);
}
