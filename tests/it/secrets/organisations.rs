//! What stands in the file of organisations stays there, and so does what was put there by mistake.

use connection_worker::simulator::Options;
use serde_json::{Value, json};

use super::canary::{Canary, assert_absent};
use super::job::SecretJob;
use super::{PATIENCE, shown};
use crate::support::corner::{BOLD, Corner, SOON};
use crate::support::eventually::eventually;

const IMS: &str = "ims@AdobeOrg";
const FIXED: &str = "fixed@AdobeOrg";

/// Whatever IMS and Flow Service are sent, they repeat.
fn echoes() -> Value {
    json!([
        { "endpoint": "token", "count": 1, "fault": { "kind": "echo", "status": 503 } },
        { "endpoint": "token", "count": 1, "fault": { "kind": "echo", "status": 400 } },
        { "endpoint": "create", "count": 6, "fault": { "kind": "echo", "status": 400 } },
    ])
}

/// Files that are refused, each with a secret where none belongs.
fn spoilt(mistaken: &str) -> [String; 5] {
    let with = |entry: Value| json!({ "organisations": { IMS: entry } }).to_string();
    [
        with(json!({ "client_id": "id", "client_secrte": mistaken })),
        with(json!({ "client_id": "id", "client_secret": "s", "sandboxes": [mistaken] })),
        with(json!({ "client_id": "id", "client_secret_file": mistaken })),
        with(json!({ "client_id": "id", "client_secret": "s", "rate": mistaken })),
        format!("{{\"organisations\": {mistaken}"),
    ]
}

#[tokio::test]
async fn the_file_of_organisations_shows_no_secret() {
    let (id, secret) = (Canary::plain("orgclientid"), Canary::plain("orgsecret"));
    let (token, key) = (Canary::plain("orgtoken"), Canary::plain("orgkey"));
    let (rotated, mistaken) = (Canary::plain("orgrotated"), Canary::new("mistaken"));
    let clients =
        [(id.value.clone(), vec![secret.value.clone(), rotated.value.clone()]), (key.value.clone(), vec![])];
    let options =
        Options { access_token: Some(token.value.clone()), clients: clients.into(), ..Options::default() };
    let corner = Corner::with(options).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orgs.json");
    let write = |text: &str| {
        let new = folder.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &path).unwrap();
    };
    let file = |secret: &Canary| {
        json!({ "organisations": {
            IMS: { "client_id": id.value, "client_secret": secret.value },
            FIXED: { "access_token": token.value, "api_key": key.value },
        } })
        .to_string()
    };
    write(&file(&secret));
    let env = [
        ("ORGS_FILE", path.to_str().unwrap()),
        ("IMS_CLIENT_ID", ""),
        ("IMS_CLIENT_SECRET", ""),
        ("IMS_ORG_ID", ""),
        ("RUST_LOG", "trace"),
    ];
    let job = SecretJob::new();
    let canaries = [
        job.canaries.clone(),
        vec![id.clone(), secret.clone(), token.clone(), key.clone(), rotated.clone(), mistaken.clone()],
    ]
    .concat();
    corner.sim.fault(echoes()).await;
    let worker = corner.worker(&[&env[..], &SOON, &BOLD].concat()).await;
    let ask = async |org: &str, number: usize| {
        let mut job = job.json(&format!("{}:{number}", org.replace('@', "-")), "name");
        job["imsOrgId"] = org.into();
        corner.submit(&job).await;
        let reply = corner.reply().await;
        assert_absent(&canaries, "a reply", &shown(&reply));
        reply.json()
    };
    let mut hidden = 0;
    for number in 0..4 {
        for org in [IMS, FIXED] {
            let reply = ask(org, number).await;
            hidden += usize::from(reply.to_string().contains("[redacted]"));
        }
    }
    assert!(hidden >= 6, "the echoes came back, with their secrets hidden: {hidden}");

    for (number, text) in (1..).zip(spoilt(&mistaken.value)) {
        write(&text);
        let refused = "connection_worker_organisations_reloads_total{result=\"refused\"}";
        worker.wait_count(refused, number, PATIENCE).await;
    }
    write(&file(&rotated));
    eventually("the rotated secret is in force", PATIENCE, async || {
        worker.logs().contains("an organisation logs in with other credentials")
    })
    .await;
    corner.sim.clear_faults().await;
    assert_eq!(ask(IMS, 4).await["status"], "created");
    let sent = corner.sim.requests().await;
    let keys: Vec<_> = sent.iter().map(|request| request["headers"]["x-api-key"].as_str().unwrap()).collect();
    assert!(
        keys.contains(&id.value.as_str()) && keys.contains(&key.value.as_str()),
        "they went where they belong"
    );
    assert_absent(&canaries, "/metrics", &worker.metrics().await);
    super::assert_quiet(worker, &canaries).await;
}
