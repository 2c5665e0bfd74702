//! Creating, reading, testing and deleting one connection, and every documented refusal.

use serde_json::{Value, json};

use super::{FLOW, HEADERS, HUBSPOT, Options, SFTP, Sim, hubspot};

#[tokio::test]
async fn a_created_connection_can_be_read_back() {
    let sim = Sim::start(Options::default()).await;
    let reply = sim.try_create("connection for HubSpot", "d").await.unwrap();
    assert_eq!(reply.status, 201);
    assert_eq!(reply.header("x-request-id").unwrap().len(), 32);
    let created = reply.json();
    let id = created["id"].as_str().unwrap();
    assert_eq!(reply.header("location"), Some(format!("{FLOW}/connections/{id}").as_str()));
    assert_eq!(created.as_object().unwrap().len(), 2);

    let page = sim.flow("GET", &format!("/connections/{id}")).await.json();
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    assert_eq!(page["_links"], json!({}));
    let item = &page["items"][0];
    let etag = item["etag"].as_str().unwrap();
    assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    assert_eq!((&item["etag"], &item["etag"]), (&item["version"], &created["etag"]));
    for (key, value) in [
        ("id", id),
        ("name", "connection for HubSpot"),
        ("description", "d"),
        ("state", "enabled"),
        ("sandboxName", "dev"),
        ("imsOrgId", "1@AdobeOrg"),
        ("createdBy", "client"),
        ("createdClient", "client"),
    ] {
        assert_eq!(item[key], value, "{key}");
    }
    assert_eq!(item["connectionSpec"], json!({ "id": HUBSPOT, "version": "1.0" }));
    assert!(item["createdAt"].as_i64().unwrap() > 1_600_000_000_000);
    assert_eq!(item["createdAt"], item["updatedAt"]);
}

#[tokio::test]
async fn secrets_are_masked_on_read() {
    let sim = Sim::start(Options::default()).await;
    let id = sim.create("a", "").await;
    let page = sim.flow("GET", &format!("/connections/{id}")).await.json();
    let auth = &page["items"][0]["auth"];
    assert_eq!(auth["specName"], "Basic Authentication");
    let masked = "******";
    let expected =
        json!({ "clientId": "id", "clientSecret": masked, "accessToken": masked, "refreshToken": masked });
    assert_eq!(auth["params"], expected);
}

#[tokio::test]
async fn a_test_tells_whether_the_credentials_are_good() {
    let sim = Sim::start(Options::default()).await;
    let good = sim.create("a", "").await;
    assert_eq!(sim.flow("GET", &format!("/connections/{good}/test")).await.json(), json!({ "result": true }));
    let mut body = hubspot("b", "");
    body["auth"]["params"]["accessToken"] = "invalid".into();
    let bad = sim.post(&[], body.to_string().as_bytes()).await.unwrap().json();
    let path = format!("/connections/{}/test", bad["id"].as_str().unwrap());
    assert_eq!(sim.flow("GET", &path).await.json(), json!({ "result": false }));
}

#[tokio::test]
async fn a_deleted_connection_is_gone() {
    let sim = Sim::start(Options::default()).await;
    let id = sim.create("a", "").await;
    let reply = sim.flow("DELETE", &format!("/connections/{id}/")).await;
    assert_eq!((reply.status, reply.body.len()), (204, 0));
    assert_eq!(sim.names("").await, Vec::<String>::new());
    for (method, path) in [("GET", ""), ("GET", "/test"), ("DELETE", "")] {
        let reply = sim.flow(method, &format!("/connections/{id}{path}")).await;
        assert_eq!((reply.status, reply.code().as_str()), (404, "FLOW-1439-404"), "{method} {path}");
        assert_eq!((&reply.json()["report"]["id"], &reply.json()["status"]), (&json!(id), &json!(404)));
    }
}

#[tokio::test]
async fn one_sandbox_does_not_see_the_connections_of_another() {
    let sim = Sim::start(Options::default()).await;
    let id = sim.create("a", "").await;
    for (changed, value) in [("x-sandbox-name", "other"), ("x-gw-ims-org-id", "2@AdobeOrg")] {
        let headers = HEADERS.map(|(name, good)| (name, if name == changed { value } else { good }));
        let path = format!("{FLOW}/connections/{id}");
        assert_eq!(sim.exchange("GET", &path, &headers, b"").await.unwrap().status, 404);
        let all = sim.exchange("GET", &format!("{FLOW}/connections"), &headers, b"").await.unwrap();
        assert_eq!(all.json()["items"], json!([]));
    }
}

#[tokio::test]
async fn wrong_headers_are_refused_with_the_documented_codes() {
    let sim = Sim::start(Options {
        client_id: Some("client".to_owned()),
        sandboxes: vec!["dev".to_owned()],
        ..Options::default()
    })
    .await;
    let body = hubspot("a", "").to_string();
    for (name, value, status, code) in [
        ("x-api-key", "", 403, "403000"),
        ("x-api-key", "other", 403, "403003"),
        ("authorization", "", 403, "403010"),
        ("authorization", "Bearer other", 401, "401013"),
        ("authorization", "Basic fixed", 401, "401013"),
        ("x-gw-ims-org-id", "", 400, "400003"),
        ("x-sandbox-name", "", 400, "FLOW-2105-400"),
        ("x-sandbox-name", "other", 404, "FLOW-2103-404"),
        ("x-sandbox-id", "1", 400, "FLOW-2110-400"),
    ] {
        let reply = sim.post(&[(name, value)], body.as_bytes()).await.unwrap();
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{name}: {value}");
        assert!(reply.header("x-request-id").is_some());
        if code.starts_with("FLOW") {
            assert_eq!(reply.json()["report"]["request-id"], reply.header("x-request-id").unwrap());
            assert_eq!(reply.json()["status"], status);
        }
    }
    for content_type in ["", "text/plain"] {
        let reply = sim.post(&[("content-type", content_type)], body.as_bytes()).await.unwrap();
        assert_eq!((reply.status, &reply.json()["title"]), (400, &json!("BadRequestError")));
        assert_eq!(reply.json()["detail"], "A valid content-type must be specified");
    }
    assert_eq!(sim.report().await["created"], 0);
    let charset = [("content-type", "application/json; charset=utf-8")];
    assert_eq!(sim.post(&charset, body.as_bytes()).await.unwrap().status, 201);
}

#[tokio::test]
async fn wrong_bodies_are_refused_with_the_documented_codes() {
    let sim = Sim::start(Options::default()).await;
    for body in ["", "  ", "null"] {
        let reply = sim.post(&[], body.as_bytes()).await.unwrap();
        assert_eq!((reply.status, reply.code().as_str()), (400, "FLOW-1405-400"), "{body:?}");
    }
    for body in ["{", "[]", r#"{"name":1}"#] {
        assert_eq!(sim.post(&[], body.as_bytes()).await.unwrap().status, 400, "{body}");
    }
    for (pointer, value, code) in [
        ("/connectionSpec", Value::Null, "FLOW-1413-400"),
        ("/connectionSpec/id", Value::Null, "FLOW-1413-400"),
        ("/connectionSpec/id", json!("cc6a4487"), "FLOW-1413-400"),
        ("/auth/specName", Value::Null, "FLOW-1415-400"),
        ("/auth/specName", json!("basic authentication"), "FLOW-1415-400"),
        ("/auth/params", Value::Null, "FLOW-1100-400"),
        ("/auth/params/accessToken", Value::Null, "FLOW-1100-400"),
    ] {
        let mut body = hubspot("a", "");
        *body.pointer_mut(pointer).unwrap() = value;
        let reply = sim.post(&[], body.to_string().as_bytes()).await.unwrap();
        assert_eq!((reply.status, reply.code().as_str()), (400, code), "{pointer}");
    }
    assert_eq!(sim.report().await["created"], 0);
}

#[tokio::test]
async fn missing_params_are_named() {
    let sim = Sim::start(Options::default()).await;
    let mut body = hubspot("a", "");
    body["auth"]["params"] = json!({ "clientId": "id", "accessToken": "s" });
    let reply = sim.post(&[], body.to_string().as_bytes()).await.unwrap();
    let message = reply.json()["errorMessage"].as_str().unwrap().to_owned();
    assert!(
        message.contains("Error from flow provider") && message.ends_with(": clientSecret, refreshToken")
    );
}

#[tokio::test]
async fn a_missing_spec_version_is_a_422() {
    let sim = Sim::start(Options::default()).await;
    let mut body = hubspot("a", "");
    body["connectionSpec"] = json!({ "id": HUBSPOT });
    let reply = sim.post(&[], body.to_string().as_bytes()).await.unwrap();
    assert_eq!(
        (reply.status, reply.json()),
        (422, json!({ "message": "'version' is required for spec info" }))
    );
}

#[tokio::test]
async fn params_that_nobody_is_sure_of_are_not_demanded() {
    let sim = Sim::start(Options::default()).await;
    let mut body = hubspot("a", "");
    body["connectionSpec"]["id"] = SFTP.into();
    body["auth"] = json!({ "specName": "Basic Authentication for sftp", "params": { "port": 22 } });
    assert_eq!(sim.post(&[], body.to_string().as_bytes()).await.unwrap().status, 201);
    body.as_object_mut().unwrap().remove("auth");
    assert_eq!(sim.post(&[], body.to_string().as_bytes()).await.unwrap().status, 201);
}

#[tokio::test]
async fn a_body_above_one_mebibyte_is_refused() {
    let sim = Sim::start(Options::default()).await;
    let description = "x".repeat(1024 * 1024);
    // The connection may break under the unread rest of the body before the answer is read.
    if let Some(reply) = sim.try_create("a", &description).await {
        assert_eq!(reply.status, 413);
    }
    let report = sim.report().await;
    assert_eq!((&report["created"], &report["statuses"]["413"]), (&json!(0), &json!(1)));
}

#[tokio::test]
async fn unknown_calls_are_not_found() {
    let sim = Sim::start(Options::default()).await;
    for (method, path) in [("GET", "/flows"), ("PUT", "/connections"), ("GET", "/connections/1/2/3")] {
        assert_eq!(sim.flow(method, path).await.status, 404, "{method} {path}");
    }
    assert_eq!(sim.report().await["requests"]["other"], 3);
}

#[tokio::test]
async fn connection_specs_are_listed_and_found() {
    let sim = Sim::start(Options::default()).await;
    let spec = sim.flow("GET", &format!("/connectionSpecs/{HUBSPOT}")).await.json()["items"][0].clone();
    assert_eq!((&spec["name"], &spec["version"]), (&json!("hubspot"), &json!("1.0")));
    let schema = &spec["authSpec"][0]["spec"];
    assert_eq!(spec["authSpec"][0]["name"], "Basic Authentication");
    assert_eq!(schema["required"], json!(["clientId", "clientSecret", "accessToken", "refreshToken"]));
    assert_eq!(schema["properties"]["clientId"], json!({ "type": "string" }));
    assert_eq!(schema["properties"]["refreshToken"], json!({ "type": "string", "format": "password" }));

    let by_name = sim.flow("GET", "/connectionSpecs?property=name==%22hubspot%22").await.json();
    assert_eq!(by_name["items"], json!([spec]));
    assert_eq!(sim.flow("GET", "/connectionSpecs?count=true").await.json(), json!({ "count": 59 }));
    let unknown = sim.flow("GET", "/connectionSpecs/none").await;
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "FLOW-1439-404"));

    let first = sim.flow("GET", "/connectionSpecs?limit=50").await.json();
    let next = sim.flow("GET", first["_links"]["next"]["href"].as_str().unwrap()).await.json();
    assert_eq!(
        (first["items"][0]["name"].as_str(), next["items"].as_array().unwrap().len()),
        (Some("hubspot"), 9)
    );
}
