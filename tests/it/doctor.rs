//! `doctor`: right about what is well and about what is not, and it leaves everything as it was.

use std::io::Write as _;
use std::time::Duration;

use connection_worker::simulator::Options;
use serde_json::{Value, json};

use crate::support::command::{Ran, on_terminal, run};
use crate::support::corner::{CLIENT_SECRET, Corner, ORG};
use crate::support::rig::Rig;

mod configuration;
mod queues;
mod rights;

/// In every URL here that has one of its own.
const PASSWORD: &str = "pa55-w0rd-canary";

/// What `doctor --json` said.
struct Report {
    code: Option<i32>,
    checks: Vec<Value>,
}

impl Report {
    fn read(ran: &Ran) -> Self {
        assert_eq!(ran.stderr, "", "{ran:?}");
        for secret in [PASSWORD, CLIENT_SECRET] {
            assert!(!ran.stdout.contains(secret), "a secret is shown: {ran:?}");
        }
        let checks = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Self { code: ran.code, checks }
    }

    /// All that was said about one check.
    fn of(&self, check: &str) -> Vec<&Value> {
        self.checks.iter().filter(|it| it["check"] == check).collect()
    }

    /// The checks and subjects that ended so.
    fn ended(&self, status: &str) -> Vec<String> {
        let ended = self.checks.iter().filter(|check| check["status"] == status);
        ended.map(|check| check["check"].as_str().unwrap().to_owned()).collect()
    }

    /// Fails the test unless this check and no other failed, with these words.
    fn assert_only(&self, check: &str, words: &[&str]) {
        assert_eq!(
            (self.code, self.ended("failed")),
            (Some(1), vec![check.to_owned()]),
            "{:#?}",
            self.checks
        );
        let text = self.of(check)[0].to_string();
        for word in words {
            assert!(text.contains(word), "no {word} in {text}");
        }
    }

    /// What was said about a queue.
    fn queue(&self, name: &str) -> &Value {
        self.of("queue")
            .into_iter()
            .find(|it| it["subject"] == name)
            .unwrap_or_else(|| panic!("nothing about {name}"))
    }
}

async fn ask(corner: &Corner, args: &[&str], env: &[(&str, &str)]) -> Ran {
    let told = corner.settings();
    let told: Vec<(&str, &str)> = told.iter().map(|(name, value)| (*name, value.as_str())).collect();
    run(&[&["doctor"], args].concat(), &[&told, env].concat()).await
}

async fn doctor(corner: &Corner, env: &[(&str, &str)]) -> Report {
    Report::read(&ask(corner, &["--json"], env).await)
}

#[tokio::test]
async fn what_is_well_is_found_so_and_left_as_it_is() {
    let corner = Corner::new().await;
    let empty = doctor(&corner, &[]).await;
    assert_eq!((empty.code, empty.ended("failed").len()), (Some(0), 0), "{:#?}", empty.checks);
    assert_eq!(empty.of("queue").len(), 10);
    for queue in
        [corner.jobs_queue(), corner.overflow_queue(), corner.held_queue(), corner.retry_queue("10s")]
    {
        assert_eq!(empty.queue(&queue)["message"], "missing; `run` creates it (TOPOLOGY=create)");
        assert!(!corner.vhost.exists(&queue).await, "{queue} was created");
    }

    let worker = corner.worker(&[]).await;
    let consumers = corner.vhost.consumers(&corner.jobs_queue()).await;
    let report = doctor(&corner, &[("TOPOLOGY", "verify")]).await;
    assert_eq!(report.code, Some(0), "{:#?}", report.checks);
    assert_eq!(report.ended("skipped"), ["broker.tls"]);
    assert!(report.ended("warning").is_empty(), "{:#?}", report.checks);
    for queue in report.of("queue") {
        assert!(
            queue["message"].as_str().unwrap().contains("0 ready; as the worker would create it"),
            "{queue}"
        );
    }
    let retry = report.queue(&corner.retry_queue("10m"));
    assert!(retry["message"].as_str().unwrap().ends_with("comes back after 10m"), "{retry}");
    assert!(report.of("ims.token")[0]["message"].as_str().unwrap().contains("expires in 23 h"));
    let counted = corner.sim.report().await;
    assert_eq!((&counted["created"], &counted["requests"]["find"]), (&json!(0), &json!(2)), "{counted}");
    let after = corner.vhost.consumers(&corner.jobs_queue()).await;
    assert_eq!(after, consumers, "only the worker takes jobs");
    corner.end(worker).await;
}

/// For people: one line a check, with symbols where they can be shown.
#[tokio::test]
async fn the_report_is_a_line_for_each_check() {
    let corner = Corner::new().await;
    let plain = ask(&corner, &[], &[("SANDBOX_NAME", "")]).await;
    assert_eq!(plain.code, Some(0), "{plain:?}");
    let lines: Vec<&str> = plain.stdout.lines().collect();
    assert_eq!(lines.len(), 25, "{}", plain.stdout);
    assert!(plain.stdout.is_ascii() && lines[0].starts_with("ok   configuration "), "{}", plain.stdout);
    assert!(plain.stdout.contains("skip flow.access"), "{}", plain.stdout);
    assert_eq!(lines[24], "22 ok, 0 warnings, 0 failed, 2 skipped");

    let told = corner.settings();
    let told: Vec<(&str, &str)> = told.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for (locale, mark) in [("C.UTF-8", "✓ configuration"), ("C", "ok   configuration")] {
        let shown = on_terminal(&["doctor"], &[&told[..], &[("LC_ALL", locale)]].concat(), "").await;
        assert!(shown.stdout.starts_with(mark), "{shown:?}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_found_and_the_rest_is_checked_all_the_same() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    let report = doctor(&rig.corner, &[("AMQP_URL", &rig.url_of("guest", PASSWORD))]).await;
    report.assert_only("broker.login", &["403", "check user and password in AMQP_URL"]);
    assert_eq!(report.ended("skipped"), ["broker.tls", "broker.publish", "broker.consume", "broker.queues"]);
    assert_eq!(report.of("flow.access")[0]["status"], "ok");
}

#[tokio::test]
async fn a_broker_that_is_away_or_nowhere_is_found() {
    let corner = Corner::new().await;
    let report = doctor(&corner, &[("AMQP_URL", "amqp://guest:guest@127.0.0.1:1/")]).await;
    report.assert_only("broker.connect", &["refused", "start the broker"]);
    let report = doctor(&corner, &[("AMQP_URL", "amqps://guest:guest@no-such-host.invalid/")]).await;
    report.assert_only("broker.address", &["no-such-host.invalid", "check the host in AMQP_URL"]);
    // The simulator speaks another language.
    let url = format!("amqps://guest:guest@{}/", corner.sim.addr());
    let report = doctor(&corner, &[("AMQP_URL", &url), ("AMQP_TIMEOUT", "5s")]).await;
    report.assert_only("broker.tls", &["AMQP_CA_FILE"]);
}

#[tokio::test]
async fn a_wrong_client_secret_is_found() {
    let options = Options { client_secrets: vec!["another".to_owned()], ..Options::default() };
    let corner = Corner::with(options).await;
    let report = doctor(&corner, &[]).await;
    report.assert_only("ims.token", &["IMS gave no token", "check IMS_CLIENT_ID and IMS_CLIENT_SECRET"]);
    assert_eq!(report.of("flow.access")[0]["message"], "ims.token failed");
    let report =
        doctor(&corner, &[("IMS_SCOPES", "openid,nonsense"), ("IMS_CLIENT_SECRET", "another")]).await;
    report.assert_only("ims.token", &["check IMS_SCOPES"]);
}

#[tokio::test]
async fn a_flow_service_that_is_away_is_found() {
    let corner = Corner::new().await;
    let report = doctor(&corner, &[("FLOW_URL", "http://127.0.0.1:1/flowservice")]).await;
    report.assert_only("flow.reach", &["cannot be reached", "nobody listens there", "FLOW_URL"]);
    assert_eq!(report.of("flow.access")[0]["message"], "flow.reach failed");
    assert_eq!(report.of("clock")[0]["message"], "this machine is level with IMS");
    let report = doctor(&corner, &[("FLOW_URL", "https://no-such-host.invalid/")]).await;
    report.assert_only("flow.reach", &["no-such-host.invalid has no address here"]);

    corner.sim.fault(json!({ "endpoint": "find", "fault": { "kind": "status", "status": 503 } })).await;
    doctor(&corner, &[]).await.assert_only("flow.access", &["HTTP 503", "the worker waits until it is"]);
}

#[tokio::test]
async fn a_sandbox_or_a_permission_that_is_missing_is_found() {
    let options = Options { sandboxes: vec!["prod".to_owned()], ..Options::default() };
    let corner = Corner::with(options).await;
    let report = doctor(&corner, &[]).await;
    report.assert_only("flow.access", &[ORG, "sandbox dev", "HTTP 404", "SANDBOX_NAME"]);

    let refusal = json!({ "kind": "status", "status": 403, "form": "gateway", "code": "403027" });
    corner.sim.fault(json!({ "endpoint": "find", "fault": refusal })).await;
    let report = doctor(&corner, &[("SANDBOX_NAME", "prod")]).await;
    report.assert_only("flow.access", &["HTTP 403", "product profile"]);
    assert_eq!(doctor(&corner, &[("FLOW_URL", &corner.sim.url())]).await.ended("failed"), ["flow.access"]);
}

#[tokio::test]
async fn a_clock_that_is_off_is_found() {
    let corner = Corner::new().await;
    corner.sim.fault(json!({ "endpoint": "any", "fault": { "kind": "clock", "seconds": 3600 } })).await;
    let report = doctor(&corner, &[]).await;
    report.assert_only("clock", &["s behind Flow Service", "s behind IMS", "NTP"]);
    corner.sim.clear_faults().await;
    corner.sim.fault(json!({ "endpoint": "any", "fault": { "kind": "clock", "seconds": -60 } })).await;
    doctor(&corner, &[]).await.assert_only("clock", &["s ahead of Flow Service"]);
}

#[tokio::test]
async fn a_fixed_token_tells_when_it_expires() {
    let token = "e30.eyJleHAiOjEsInNjb3BlIjoib3BlbmlkIn0.c2ln"; // {"exp":1,"scope":"openid"}
    let corner = Corner::new().await;
    let fixed =
        [("IMS_CLIENT_ID", ""), ("IMS_CLIENT_SECRET", ""), ("API_KEY", "key"), ("ACCESS_TOKEN", token)];
    let report = doctor(&corner, &fixed).await;
    report.assert_only("ims.token", &["has expired", "replace ACCESS_TOKEN"]);
    assert!(report.of("ims.reach").is_empty(), "nobody asks IMS");
}

#[tokio::test]
async fn each_organisation_is_checked_with_its_own_credentials() {
    let secrets = |secret: &str| vec![secret.to_owned()];
    let clients = [("acme", "acme-secret"), ("umbrella", "another")];
    let clients = clients.map(|(client, secret)| (client.to_owned(), secrets(secret))).into();
    let corner = Corner::with(Options { clients, ..Options::default() }).await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let organisations = json!({ "organisations": {
        "acme@AdobeOrg": { "client_id": "acme", "client_secret": "acme-secret", "sandboxes": ["stage", "prod"] },
        "umbrella@AdobeOrg": { "client_id": "umbrella", "client_secret": CLIENT_SECRET },
    } });
    file.write_all(organisations.to_string().as_bytes()).unwrap();
    let path = file.path().to_str().unwrap();
    let many = [("ORGS_FILE", path), ("IMS_CLIENT_ID", ""), ("IMS_CLIENT_SECRET", ""), ("IMS_ORG_ID", "")];
    let report = doctor(&corner, &many).await;
    assert_eq!(
        (report.code, report.ended("failed")),
        (Some(1), vec!["ims.token".to_owned()]),
        "{:#?}",
        report.checks
    );
    let (tokens, accesses) = (report.of("ims.token"), report.of("flow.access"));
    assert_eq!((&tokens[0]["subject"], &tokens[0]["status"]), (&json!("acme@AdobeOrg"), &json!("ok")));
    assert_eq!(
        (&tokens[1]["subject"], &tokens[1]["status"]),
        (&json!("umbrella@AdobeOrg"), &json!("failed"))
    );
    // One of its own sandboxes, because the worker's default is none of them.
    assert_eq!(
        (&accesses[0]["subject"], &accesses[0]["status"]),
        (&json!("acme@AdobeOrg, sandbox prod"), &json!("ok"))
    );
    assert_eq!(accesses[1]["status"], "skipped");
}
