//! The broker behind TLS, with a private authority.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::PATIENCE;
use crate::support::rig::{Replies, Rig};
use crate::support::tls::Certificates;
use crate::support::worker::WorkerProcess;

/// A worker that goes straight to the broker: the certificate names the host, not the proxy.
fn worker(rig: &Rig, url: &str, env: &[(&str, &str)]) -> WorkerProcess {
    rig.start_worker(&[&[("AMQP_URL", url)], env].concat())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The worker does a whole job.
async fn does_a_job(rig: &Rig, mut worker: WorkerProcess) {
    worker.wait_ready().await;
    rig.load(0..1).await;
    let mut replies = Replies::default();
    rig.wait_answered(0..1, &mut replies).await;
    rig.settled().await;
    replies.assert_all_created();
    assert_eq!(rig.proxy.connections(), 0, "it went another way");
}

#[tokio::test]
async fn a_job_is_done_over_tls_with_a_private_authority() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    let files = rig.vhost.broker().client_files();
    let url = rig.vhost.amqps_url();
    does_a_job(&rig, worker(&rig, &url, &[("AMQP_CA_FILE", text(&files.ca))])).await;
}

#[tokio::test]
async fn a_client_certificate_logs_the_worker_in() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    let files = rig.vhost.broker().client_files();
    let url = rig.vhost.amqps_external_url();
    let env = [
        ("AMQP_AUTH", "external"),
        ("AMQP_CA_FILE", text(&files.ca)),
        ("AMQP_CERT_FILE", text(&files.certificate)),
        ("AMQP_KEY_FILE", text(&files.key)),
    ];
    does_a_job(&rig, worker(&rig, &url, &env)).await;
}

/// It may be mended without a restart, as certificates are rotated: so the worker goes on trying, and says why.
#[tokio::test]
async fn a_broker_with_an_unknown_certificate_is_not_trusted() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    let dir = tempfile::tempdir().unwrap();
    let stranger = dir.path().join("stranger.pem");
    fs::write(&stranger, Certificates::generate().unwrap().ca).unwrap();
    let url = rig.vhost.amqps_url();
    let mut worker = worker(&rig, &url, &[("AMQP_CA_FILE", text(&stranger)), ("BROKER_GIVE_UP", "5s")]);
    worker.wait_log("certificate", PATIENCE).await;
    worker.wait_unready().await;
    assert_eq!(worker.wait(PATIENCE).await.code(), Some(69), "unavailable");
    let log = worker.logs();
    let last = log.lines().last().unwrap();
    assert!(last.contains("could not connect to the broker"), "{last}");
    assert!(last.contains("certificate"), "{last}");
}

/// Half of it is a mistake, and is not made good for by a password.
#[tokio::test]
async fn a_login_by_certificate_needs_its_files() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    let files = rig.vhost.broker().client_files();
    let url = rig.vhost.amqps_external_url();
    let mut worker =
        worker(&rig, &url, &[("AMQP_AUTH", "external"), ("AMQP_CERT_FILE", text(&files.certificate))]);
    assert_eq!(worker.wait(PATIENCE).await.code(), Some(64));
    assert!(worker.logs().contains("AMQP_KEY_FILE (--amqp-key-file): missing"), "{}", worker.logs());
}
