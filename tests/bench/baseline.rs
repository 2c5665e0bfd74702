//! The bare loop: what is left of such a worker when every guarantee is taken away.
//!
//! One connection, one channel to consume and one to publish, where any number of publishes is under way at once. No
//! validation, no retries, no mandatory check, no duplicates looked for, no metrics, no logs. It does the same work for
//! the same messages: takes the connection out of the job, posts it with the same headers, reads id and etag, publishes
//! a persistent reply of the same size, waits for its confirm, and acknowledges.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::tcp::OwnedTLSConfig;
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::support::broker::connect;

/// What it has to know.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    pub(crate) amqp_url: String,
    #[arg(long)]
    pub(crate) job_queue: String,
    #[arg(long)]
    pub(crate) reply_queue: String,
    #[arg(long)]
    pub(crate) flow_url: String,
    #[arg(long)]
    pub(crate) access_token: String,
    #[arg(long)]
    pub(crate) concurrency: u16,
    /// Whom to trust besides the system's authorities, in PEM.
    #[arg(long)]
    pub(crate) ca: Option<PathBuf>,
}

/// What a job's task needs.
struct Shared {
    http: reqwest::Client,
    connections: String,
    access_token: String,
    publish: Channel,
    reply_queue: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Job<'a> {
    #[serde(rename = "jobId")]
    id: &'a str,
    ims_org_id: &'a str,
    sandbox_name: &'a str,
    #[serde(borrow)]
    connection: &'a RawValue,
}

#[derive(Deserialize)]
struct Created<'a> {
    id: &'a str,
    etag: String,
}

/// Works until it is killed.
pub(crate) async fn run(args: Args) {
    let ca = args.ca.as_ref().map(|path| std::fs::read_to_string(path).expect("the authority"));
    let mut http = reqwest::Client::builder().no_proxy().http1_only();
    if let Some(pem) = &ca {
        http =
            http.add_root_certificate(reqwest::Certificate::from_pem(pem.as_bytes()).expect("a certificate"));
    }
    let tls = OwnedTLSConfig { identity: None, cert_chain: ca };
    let connection = connect(&args.amqp_url, tls).await.expect("a connection");
    let consume = connection.create_channel().await.expect("a channel");
    let publish = connection.create_channel().await.expect("a channel");
    publish.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    let shared = Arc::new(Shared {
        http: http.build().expect("a client"),
        connections: format!("{}/connections", args.flow_url),
        access_token: args.access_token,
        publish,
        reply_queue: args.reply_queue,
    });
    consume.basic_qos(args.concurrency, BasicQosOptions::default()).await.expect("a prefetch limit");
    let options = BasicConsumeOptions::default();
    let mut jobs = consume
        .basic_consume(args.job_queue.into(), "".into(), options, FieldTable::default())
        .await
        .expect("a consumer");
    while let Some(delivery) = jobs.next().await {
        let (shared, delivery) = (Arc::clone(&shared), delivery.expect("a delivery"));
        tokio::spawn(async move { shared.work(delivery).await });
    }
}

impl Shared {
    async fn work(&self, delivery: Delivery) {
        let job: Job<'_> = serde_json::from_slice(&delivery.data).expect("a job");
        let request = self
            .http
            .post(&self.connections)
            .bearer_auth(&self.access_token)
            .header("x-api-key", "bench")
            .header("x-gw-ims-org-id", job.ims_org_id)
            .header("x-sandbox-name", job.sandbox_name)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .body(job.connection.get().to_owned());
        let answer = request.send().await.expect("an answer").bytes().await.expect("a body");
        let created: Created<'_> = serde_json::from_slice(&answer).expect("a connection");
        let reply = json!({
            "schemaVersion": 1,
            "jobId": job.id,
            "status": "created",
            "connection": {
                "id": created.id,
                "etag": created.etag,
                "name": format!("HubSpot of customer {}", job.id),
                "connectionSpecId": "cc6a4487-9e91-433e-a3a3-9cf6626c1806",
                "imsOrgId": job.ims_org_id,
                "sandboxName": job.sandbox_name,
                "recovered": false,
            },
            "attempts": 1,
            "completedAt": "2030-01-31T12:00:00.000Z",
        });
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(2)
            .with_message_id("2fce94c1-9ec7-5f34-8b5d-3fd4ba95ffb8".into())
            .with_correlation_id(job.id.into())
            .with_type("connection.created".into());
        let options = BasicPublishOptions::default();
        let queue = self.reply_queue.as_str().into();
        let confirm = self
            .publish
            .basic_publish("".into(), queue, options, reply.to_string().as_bytes(), properties)
            .await
            .expect("published");
        confirm.await.expect("confirmed");
        delivery.acker.ack(BasicAckOptions::default()).await.expect("acknowledged");
    }
}
