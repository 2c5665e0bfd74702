//! Answers that never end, or that would not fit into the worker: each job has its verdict in time, the worker stays as
//! small as it was, and its neighbours are served.

use std::collections::BTreeMap;
use std::time::Duration;

use connection_worker::flow::FailureKind;
use connection_worker::flow::token::{Credentials, ImsClient, ImsCredentials, ImsSettings, TokenSource};
use connection_worker::metrics::Metrics;
use connection_worker::secret::SecretSource;
use serde_json::json;
use tokio::time::Instant;

use crate::support::corner::{BOLD, Corner, SOON, job, job_named};
use crate::support::hostile::{ATTACKS, Hostile};

/// Long enough for some neighbours to be done meanwhile, on a loaded machine.
const FLOW_TIMEOUT: &str = "10s";

const NEIGHBOURS: usize = 5;

#[tokio::test]
async fn an_answer_without_end_is_left_in_time_and_costs_no_memory() {
    let (corner, flow) = (Corner::new().await, Hostile::start(None).await);
    let url = flow.url();
    let env =
        [("FLOW_URL", &*url), ("IMS_URL", &url), ("FLOW_TIMEOUT", FLOW_TIMEOUT), ("RETRY_ATTEMPTS", "1")];
    let worker = corner.worker(&[&SOON[..], &BOLD, &env].concat()).await;
    assert_eq!(corner.ask(&job("first")).await["status"], "created");
    let before = worker.metric("process_resident_memory_bytes").await;
    corner.submit_all(ATTACKS.map(|attack| job_named(&attack.name.replace(' ', "-"), attack.name))).await;
    corner.submit_all((0..NEIGHBOURS).map(|n| job(&format!("neighbour-{n}")))).await;

    let mut replies = Vec::new();
    let mut largest = before;
    while replies.len() < ATTACKS.len() + NEIGHBOURS {
        replies.push(corner.reply().await.json());
        largest = worker.metric("process_resident_memory_bytes").await.max(largest);
    }
    assert!(largest - before < 20e6, "the worker has grown by {} bytes", largest - before);
    let slow = |id: &str| id.starts_with("trickling");
    let ids: Vec<&str> = replies.iter().map(|reply| reply["jobId"].as_str().unwrap()).collect();
    let first_slow = ids.iter().position(|id| slow(id)).unwrap();
    let neighbours = ids.iter().take(first_slow).filter(|id| id.starts_with("neighbour")).count();
    assert_eq!(neighbours, NEIGHBOURS, "no neighbour waits for them: {ids:?}");

    let by_id: BTreeMap<&str, _> = ids.into_iter().zip(&replies).collect();
    for attack in ATTACKS {
        let reply = by_id[&*attack.name.replace(' ', "-")];
        let expected = if attack.has_status { json!(201) } else { json!(null) };
        let told = (&reply["error"]["code"], &reply["error"]["httpStatus"]);
        assert_eq!(told, (&json!("ambiguous"), &expected), "{}: {reply}", attack.name);
    }
    corner.settled().await;
    corner.end(worker).await;
}

#[tokio::test]
async fn ims_cannot_hold_up_the_worker_either() {
    const TIMEOUT: Duration = Duration::from_secs(1);
    for attack in ATTACKS {
        let ims = Hostile::start(Some(attack)).await;
        let metrics = Metrics::new().unwrap();
        let url = ims.url().parse().unwrap();
        let settings = ImsSettings { url, timeout: TIMEOUT, connect_timeout: TIMEOUT };
        let credentials = Credentials::Ims(ImsCredentials {
            client_id: "id".to_owned(),
            client_secret: SecretSource::Inline("secret".into()),
            scopes: "openid".to_owned(),
        });
        let ims = ImsClient::new(&settings, metrics.http).unwrap();
        let tokens = TokenSource::new(credentials, &ims, None).unwrap();
        let began = Instant::now();
        let failure = tokens.current().await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::TokenUnavailable, "{}: {failure}", attack.name);
        assert!(began.elapsed() < TIMEOUT * 10, "{}: {:?}", attack.name, began.elapsed());
    }
}
