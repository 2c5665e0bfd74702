//! The broker behind TLS, with a private authority; and servers, of whatever kind, that speak too old a TLS.

use std::fs;
use std::path::Path;
use std::time::Duration;

use connection_worker::flow::client::{FlowClient, FlowSettings};
use connection_worker::flow::token::{Credentials, ImsClient, ImsSettings, Keyring, TokenSource};
use connection_worker::flow::{CreateBody, CreateRequest, FailureKind, FlowApi};
use connection_worker::metrics::Metrics;
use connection_worker::secret::SecretSource;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::support::PATIENCE;
use crate::support::command::run_with_input;
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

/// For those who have one place for the authorities of everything.
#[tokio::test]
async fn a_private_authority_may_stand_in_place_of_the_systems() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    let files = rig.vhost.broker().client_files();
    let url = rig.vhost.amqps_url();
    does_a_job(&rig, worker(&rig, &url, &[("SSL_CERT_FILE", text(&files.ca))])).await;
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

/// A server that knows nothing newer than TLS 1.1; gives the last that its client says. Where it is, in `127.0.0.1:PORT`.
async fn old_server() -> (String, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = vec![0; 16 * 1024];
        let length = stream.read(&mut hello).await.unwrap();
        assert_eq!((hello[0], hello[5]), (22, 1), "a ClientHello: {:?}", &hello[..length]);
        // RFC 4346: TLS 1.1, a random number, no session, RSA with AES-128-CBC and SHA, no compression.
        let body = [&[3, 2][..], &[7; 32], &[0], &[0, 0x2f], &[0]].concat();
        let length = u8::try_from(body.len()).unwrap();
        let message = [&[22, 3, 2, 0, length + 4, 2, 0, 0, length], &body[..]].concat();
        stream.write_all(&message).await.unwrap();
        let mut answer = Vec::new();
        // It may be reset, having said all.
        stream.read_to_end(&mut answer).await.ok();
        answer
    });
    (addr, served)
}

/// A fatal alert, "protocol version", and nothing else (RFC 8446, section 6.2).
fn assert_refused(answer: &[u8]) {
    assert!(answer.len() == 7 && answer[0] == 21 && answer[5..] == [2, 70], "{answer:?}");
}

#[tokio::test]
async fn a_broker_with_an_old_tls_gets_no_password() {
    let (addr, served) = old_server().await;
    let url = format!("amqps://guest:guest@{addr}/");
    let ran = run_with_input(&["submit"], &[("AMQP_URL", &url)], r#"{"jobId":"x"}"#).await;
    assert_eq!(ran.code, Some(69), "{ran:?}");
    assert_refused(&served.await.unwrap());
}

#[tokio::test]
async fn a_flow_service_with_an_old_tls_gets_no_token() {
    let (addr, served) = old_server().await;
    let metrics = Metrics::new().unwrap();
    let access_token = SecretSource::Inline("a-token".into());
    let credentials = Credentials::Fixed { access_token, api_key: "a-key".into() };
    let url: url::Url = format!("https://{addr}").parse().unwrap();
    let ims = ImsSettings { url: url.clone(), timeout: PATIENCE, connect_timeout: PATIENCE };
    let ims = ImsClient::new(&ims, metrics.http.clone()).unwrap();
    let keyring = Keyring::one(TokenSource::new(credentials, &ims, None).unwrap());
    let settings = FlowSettings { url, timeout: PATIENCE, connect_timeout: PATIENCE, max_idle: 1 };
    let flow = FlowClient::new(settings, keyring, metrics.http).unwrap();
    let request = CreateRequest {
        ims_org_id: "1234@AdobeOrg".to_owned(),
        sandbox_name: "dev".to_owned(),
        body: CreateBody("{}".into()),
        attempts_before: 0,
    };
    assert_eq!(flow.create(&request).await.unwrap_err().kind, FailureKind::NotSent);
    assert_refused(&served.await.unwrap());
}
