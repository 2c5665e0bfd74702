//! Many organisations in one worker: each with its own credentials, none in another's way, and others while it runs.

use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use connection_worker::simulator::Options;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::broker::Message;
use crate::support::corner::{Corner, SANDBOX, SOON, job};
use crate::support::eventually::eventually;
use crate::support::scene::Scene;
use crate::support::worker::WorkerProcess;
use crate::support::{PATIENCE, tell};

const RED: &str = "red@AdobeOrg";
const GREEN: &str = "green@AdobeOrg";
const BLUE: &str = "blue@AdobeOrg";

/// How often the file was read anew and taken, and refused.
const TAKEN: &str = "organisations_reloads_total{result=\"ok\"}";
const REFUSED: &str = "organisations_reloads_total{result=\"refused\"}";
const IN_FORCE: &str = "organisations_file_in_force";

/// The client id and the secret of an organisation.
fn client_of(org: &str) -> (String, String) {
    let name = org.split('@').next().unwrap();
    (format!("client-{name}"), format!("p8e-{name}"))
}

fn entry(org: &str) -> Value {
    let (id, secret) = client_of(org);
    json!({ "client_id": id, "client_secret": secret })
}

fn job_for(org: &str, id: &str) -> Value {
    let mut job = job(id);
    job["imsOrgId"] = org.into();
    job
}

/// A worker with a file of organisations, and a simulator that knows the clients of all three.
struct Orgs {
    scene: Scene,
    folder: TempDir,
}

impl Deref for Orgs {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.scene
    }
}

impl Orgs {
    async fn start<const N: usize>(entries: [(&str, Value); N], env: &[(&str, &str)]) -> Self {
        Self::on(Self::corner().await, entries, env).await
    }

    async fn corner() -> Corner {
        let clients = [RED, GREEN, BLUE].map(client_of).map(|(id, secret)| (id, vec![secret]));
        Corner::with(Options { clients: clients.into(), ..Options::default() }).await
    }

    async fn on<const N: usize>(corner: Corner, entries: [(&str, Value); N], env: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, &file_of(entries));
        let path = folder.path().join("orgs.json");
        let told = [
            ("ORGS_FILE", path.to_str().unwrap()),
            ("IMS_CLIENT_ID", ""),
            ("IMS_CLIENT_SECRET", ""),
            ("IMS_ORG_ID", ""),
        ];
        let scene = Scene::on(corner, &[&told, &SOON[..], env].concat()).await;
        Self { scene, folder }
    }

    fn rewrite<const N: usize>(&self, entries: [(&str, Value); N]) {
        write(&self.folder, &file_of(entries));
    }

    /// Waits until a file was read anew for the `n`th time with this result.
    async fn reloaded(&self, series: &str, n: u64) {
        eventually(series, PATIENCE, async || {
            let count = self.count(series).await;
            if count == n { Ok(()) } else { Err((count, self.worker.logs())) }
        })
        .await;
    }

    async fn tokens_issued(&self) -> u64 {
        self.sim.report().await["tokensIssued"].as_u64().unwrap()
    }

    /// The API keys that each organisation was called with.
    async fn keys(&self) -> BTreeMap<String, Vec<String>> {
        let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for request in self.sim.requests().await {
            let header = |name: &str| request["headers"][name].as_str().unwrap().to_owned();
            keys.entry(header("x-gw-ims-org-id")).or_default().push(header("x-api-key"));
        }
        keys
    }
}

fn file_of<const N: usize>(entries: [(&str, Value); N]) -> String {
    json!({ "organisations": HashMap::from(entries) }).to_string()
}

/// In one go, as Kubernetes and every careful program do it.
fn write(folder: &TempDir, text: &str) {
    let new = folder.path().join("orgs.json.new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, folder.path().join("orgs.json")).unwrap();
}

fn all() -> [(&'static str, Value); 3] {
    [RED, GREEN, BLUE].map(|org| (org, entry(org)))
}

#[tokio::test]
async fn each_organisation_is_called_with_its_own_credentials_and_what_is_not_listed_is_not_allowed() {
    let mut red = entry(RED);
    red["sandboxes"] = json!([SANDBOX]);
    let orgs = Orgs::start([(RED, red), (GREEN, entry(GREEN))], &[]).await;
    for (number, org) in [RED, GREEN, RED, GREEN].into_iter().enumerate() {
        let reply = orgs.ask(&job_for(org, &format!("job-{number}"))).await;
        assert_eq!(reply["status"], "created", "{reply}");
    }
    let expected = [GREEN, RED].map(|org| (org.to_owned(), vec![client_of(org).0; 2]));
    assert_eq!(orgs.keys().await, expected.into());
    assert_eq!(orgs.tokens_issued().await, 2, "one for each organisation");

    let mut elsewhere = job_for(RED, "elsewhere");
    elsewhere["sandboxName"] = "prod".into();
    // Nothing that the source asks for is there: that is not looked at.
    elsewhere["connection"]["auth"]["params"] = json!({});
    for (job, field) in [(job_for(BLUE, "unknown"), "imsOrgId: "), (elsewhere, "sandboxName: ")] {
        let reply = orgs.ask(&job).await;
        let error = &reply["error"];
        assert_eq!((&error["code"], &error["retryable"]), (&"not_allowed".into(), &false.into()), "{reply}");
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with(field), "{message}");
        assert!(!message.contains(GREEN), "{message}");
        assert_eq!(reply["attempts"], 0);
    }
    orgs.settled().await;
    assert_eq!(orgs.vhost.depth(&orgs.dead_queue()).await, 0);
    assert_eq!(orgs.sim.report().await["requests"]["create"], 4, "nobody was called");
    assert_eq!(orgs.count("jobs_completed_total{outcome=\"not_allowed\"}").await, 2);
}

/// Its connection may exist, and the worker may not even look.
#[tokio::test]
async fn a_job_that_may_have_been_done_and_is_not_allowed_any_more_is_told_so_and_parked() {
    let orgs = Orgs::start([(RED, entry(RED))], &[]).await;
    let mut headers = FieldTable::default();
    headers.insert("job-attempts".into(), AMQPValue::LongInt(3));
    let properties = BasicProperties::default().with_headers(headers);
    orgs.submit_raw(properties, job_for(BLUE, "tried").to_string().as_bytes()).await;
    let reply = orgs.reply().await.json();
    assert_eq!((&reply["error"]["code"], &reply["attempts"]), (&"not_allowed".into(), &3.into()), "{reply}");
    assert!(reply["error"]["message"].as_str().unwrap().contains("may have created"), "{reply}");
    let dead = orgs.vhost.take(&orgs.dead_queue(), 1, PATIENCE).await.remove(0);
    assert_eq!(dead.header("dead-reason").as_deref(), Some("exhausted"));
    assert_eq!(dead.json()["jobId"], "tried");
}

#[tokio::test]
async fn organisations_come_and_go_while_jobs_go_on() {
    let retries =
        [("RETRY_BASE", "200ms"), ("RETRY_MAX", "200ms"), ("RETRY_ATTEMPTS", "100"), ("RETRY_BUDGET", "1")];
    let orgs = Orgs::start([(RED, entry(RED)), (GREEN, entry(GREEN))], &retries).await;
    for org in [RED, GREEN] {
        assert_eq!(orgs.ask(&job_for(org, &client_of(org).0)).await["status"], "created");
    }
    // A job of one that is to go, which needs its credentials again and again.
    let fault = json!({ "name": "connection slow", "fault": { "kind": "throttle", "retryAfter": "0" } });
    orgs.sim.fault(fault).await;
    orgs.submit(&job_for(RED, "slow")).await;
    let throttled = "http_requests_total{method=\"POST\",status=\"429\",upstream=\"flow\"}";
    eventually("it is tried", PATIENCE, async || orgs.count(throttled).await >= 1).await;

    orgs.rewrite([(GREEN, entry(GREEN)), (BLUE, entry(BLUE))]);
    orgs.reloaded(TAKEN, 1).await;
    assert_eq!(orgs.ask(&job_for(BLUE, "new")).await["status"], "created");
    assert_eq!(orgs.ask(&job_for(GREEN, "stays")).await["status"], "created");
    assert_eq!(orgs.ask(&job_for(RED, "gone")).await["error"]["code"], "not_allowed");
    // How organisations fare is told once a second.
    let limit_of_blue = format!("organisation_concurrency_limit{{organisation=\"{BLUE}\"}}");
    eventually("the new one is shown, and the old one is not", PATIENCE, async || {
        let metrics = orgs.worker.metrics().await;
        if metrics.contains(&limit_of_blue) && !metrics.contains(RED) { Ok(()) } else { Err(metrics) }
    })
    .await;
    let before = orgs.count(throttled).await;
    eventually("the job in hand is tried on", PATIENCE, async || orgs.count(throttled).await > before).await;
    orgs.sim.clear_faults().await;
    let reply = orgs.reply().await.json();
    assert_eq!((&reply["jobId"], &reply["status"]), (&"slow".into(), &"created".into()), "{reply}");
    assert_eq!(orgs.tokens_issued().await, 3, "who stayed kept the token");
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_refused_whole_and_the_old_one_stays_in_force() {
    let orgs = Orgs::start([(RED, entry(RED))], &[]).await;
    assert_eq!((orgs.count(IN_FORCE).await, orgs.count("organisations_configured").await), (1, 1));
    let mut broken = entry(GREEN);
    broken["client_secrte"] = "canary-typo".into();
    orgs.rewrite([(GREEN, broken), (BLUE, entry(BLUE))]);
    orgs.reloaded(REFUSED, 1).await;
    assert_eq!(orgs.count(IN_FORCE).await, 0);
    assert_eq!(orgs.ask(&job_for(RED, "old")).await["status"], "created");
    assert_eq!(orgs.ask(&job_for(BLUE, "new")).await["error"]["code"], "not_allowed");
    let logs = orgs.worker.logs();
    let expected = "organisations.green@AdobeOrg.client_secrte: unknown field, did you mean client_secret?";
    assert_eq!(logs.matches(expected).count(), 1, "{logs}");
    assert!(!logs.contains("canary-typo"), "{logs}");

    // Who asks is answered, though nothing has changed.
    orgs.worker.signal(Signal::SIGHUP);
    orgs.reloaded(REFUSED, 2).await;
    orgs.rewrite([(RED, entry(RED))]);
    orgs.reloaded(TAKEN, 1).await;
    assert_eq!(orgs.count(IN_FORCE).await, 1, "it is as it was");
    orgs.worker.signal(Signal::SIGHUP);
    orgs.reloaded(TAKEN, 2).await;
    orgs.rewrite(all());
    orgs.worker.signal(Signal::SIGHUP);
    orgs.reloaded(TAKEN, 3).await;
    assert_eq!(orgs.ask(&job_for(BLUE, "now")).await["status"], "created");
    assert_eq!(orgs.tokens_issued().await, 2);
}

/// As Kubernetes exchanges a secret: the name stays, and what is behind it is another folder.
#[tokio::test]
async fn a_secret_in_a_file_behind_a_symbolic_link_can_be_exchanged() {
    let corner = Orgs::corner().await;
    let (id, secret) = client_of(RED);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (version, secret) in [("..1", "p8e-revoked"), ("..2", secret.as_str())] {
        std::fs::create_dir(at(version)).unwrap();
        std::fs::write(at(version).join("red"), secret).unwrap();
        let entry = json!({ "client_id": id, "client_secret_file": "red" });
        std::fs::write(at(version).join("orgs.json"), file_of([(RED, entry)])).unwrap();
    }
    std::os::unix::fs::symlink("..1", at("..data")).unwrap();
    for name in ["orgs.json", "red"] {
        std::os::unix::fs::symlink(format!("..data/{name}"), at(name)).unwrap();
    }
    let path = at("orgs.json");
    let told = [
        ("ORGS_FILE", path.to_str().unwrap()),
        ("IMS_CLIENT_ID", ""),
        ("IMS_CLIENT_SECRET", ""),
        ("IMS_ORG_ID", RED),
    ];
    let scene = Scene::on(corner, &[&told[..], &SOON].concat()).await;
    scene.submit(&job("waits")).await;
    let down = format!("organisation_breakers_open{{organisation=\"{RED}\"}}");
    eventually("the secret is refused", PATIENCE, async || scene.count(&down).await == 1).await;
    std::os::unix::fs::symlink("..2", at("..new")).unwrap();
    std::fs::rename(at("..new"), at("..data")).unwrap();
    let reply = scene.reply().await.json();
    assert_eq!((&reply["jobId"], &reply["status"]), (&"waits".into(), &"created".into()), "{reply}");
    assert!(scene.worker.logs().contains("an organisation logs in with other credentials"));
}

#[tokio::test]
async fn limits_are_an_organisations_own_and_can_be_changed() {
    let mut red = entry(RED);
    red["concurrency"] = 2.into();
    let orgs = Orgs::start([(RED, red), (GREEN, entry(GREEN))], &[("ORG_CONCURRENCY", "9")]).await;
    let limit = async |org: &str, kind: &str| {
        orgs.count(&format!("organisation_{kind}_limit{{organisation=\"{org}\"}}")).await
    };
    assert_eq!((limit(RED, "concurrency").await, limit(GREEN, "concurrency").await), (2, 9));
    let mut green = entry(GREEN);
    green["rate"] = 50.into();
    orgs.rewrite([(RED, entry(RED)), (GREEN, green)]);
    orgs.reloaded(TAKEN, 1).await;
    eventually("the new limits hold", PATIENCE, async || {
        let limits = (limit(RED, "concurrency").await, limit(GREEN, "rate").await);
        if limits == (9, 50) { Ok(()) } else { Err(limits) }
    })
    .await;
}

#[tokio::test]
async fn without_a_file_sighup_ends_the_worker_as_it_does_by_default() {
    let mut scene = Scene::start(&[]).await;
    scene.worker.signal(Signal::SIGHUP);
    assert_eq!(scene.worker.wait(PATIENCE).await.signal(), Some(1));
}

/// Jobs of each organisation, in turns.
const EACH: usize = 100;

fn jobs() -> impl Iterator<Item = Value> {
    let one =
        |number: usize| [RED, GREEN, BLUE].map(|org| job_for(org, &format!("{}:{number}", client_of(org).0)));
    (0..EACH).flat_map(one)
}

fn created_for(org: &str, replies: &[Message]) -> usize {
    let is_one = |reply: &&Message| {
        let reply = reply.json();
        reply["status"] == "created" && reply["connection"]["imsOrgId"] == org
    };
    replies.iter().filter(is_one).count()
}

/// While its secret is revoked its jobs wait, none of them lost or given up, and the others' are done; with a new secret in
/// the file all are.
#[tokio::test]
async fn one_organisation_without_a_valid_secret_is_in_nobodys_way() {
    let corner = Orgs::corner().await;
    if !corner.vhost.broker().is_ours() {
        return;
    }
    corner.declare_short_retries("quorum", Duration::from_millis(500)).await;
    let revoked = json!({ "client_id": client_of(RED).0, "client_secret": "p8e-revoked" });
    let few = [("CONCURRENCY", "16"), ("RETRY_ATTEMPTS", "12")];
    let orgs = Orgs::on(corner, [(RED, revoked), (GREEN, entry(GREEN)), (BLUE, entry(BLUE))], &few).await;
    let began = Instant::now();
    orgs.submit_all(jobs()).await;
    let replies = orgs.replies(2 * EACH).await;
    let others_done = began.elapsed();
    assert_eq!((created_for(GREEN, &replies), created_for(BLUE, &replies)), (EACH, EACH));
    let down = |org: &str| format!("organisation_breakers_open{{organisation=\"{org}\"}}");
    eventually("one is down", PATIENCE, async || orgs.count(&down(RED)).await == 1).await;
    assert_eq!((orgs.count(&down(GREEN)).await, orgs.count(&down(BLUE)).await), (0, 0));
    assert_eq!(orgs.vhost.depth(&orgs.reply_queue()).await, 0, "nobody is told that it cannot be done");
    assert_eq!(orgs.keys().await.get(RED), None, "Flow Service was not called for it");
    let attempts = orgs.count("attempt_failures_total{kind=\"credentials_refused\"}").await;

    orgs.rewrite(all());
    let mended = Instant::now();
    let replies = orgs.replies(EACH).await;
    assert_eq!(created_for(RED, &replies), EACH);
    orgs.settled().await;
    assert_eq!(orgs.vhost.depth(&orgs.dead_queue()).await, 0, "no dead letter");
    assert_eq!(orgs.sim.report().await["duplicates"]["extra"], 0);
    tell(&format!(
        "{} jobs of two organisations done in {others_done:?} beside {EACH} of one whose secret is revoked, which cost \
         {attempts} attempts; those done {:?} after the secret was put right",
        2 * EACH,
        mended.elapsed()
    ));
}

/// All faults of the file are told at the start, as those of all other settings, and what is given besides it.
#[tokio::test]
async fn a_worker_does_not_start_with_a_file_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, r#"{"organisations":{"red@AdobeOrg":{"client_id":"canary"},"a b":{"rate":0}}}"#);
    let path = folder.path().join("orgs.json");
    let env = [
        ("AMQP_URL", "amqp://127.0.0.1:1/"),
        ("ORGS_FILE", path.to_str().unwrap()),
        ("IMS_CLIENT_ID", "id"),
        ("API_KEY", "key"),
        ("CONCURRENCY", "0"),
    ];
    let mut worker = WorkerProcess::start(&env);
    assert_eq!(worker.wait(PATIENCE).await.code(), Some(64));
    let said = worker.stderr();
    for expected in [
        "ORGS_FILE (--orgs-file): organisations.red@AdobeOrg.client_secret: missing, and so is client_secret_file",
        "ORGS_FILE (--orgs-file): organisations.a b: no organisation: character 2 is not allowed",
        "ORGS_FILE (--orgs-file): organisations.a b.rate: expected a whole number from 1 to 1000000",
        "IMS_CLIENT_ID (--ims-client-id): given besides ORGS_FILE",
        "API_KEY (--api-key): given besides ORGS_FILE",
        "CONCURRENCY (--concurrency): out of range",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(!said.contains("canary"), "{said}");
}
