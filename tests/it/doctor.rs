//! `doctor`: right about what is well and about what is not, and it leaves everything as it was.

use std::io::Write as _;
use std::time::Duration;

use connection_worker::simulator::Options;
use lapin::BasicProperties;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::command::{Ran, on_terminal, run};
use crate::support::corner::{CLIENT_SECRET, Corner, ORG, RETRY_TIERS, job};
use crate::support::rig::Rig;

mod configuration;
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
    assert_eq!(corner.vhost.consumers(&corner.jobs_queue()).await, 1, "only the worker takes jobs");
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
async fn every_missing_queue_is_found_and_none_is_created() {
    let corner = Corner::new().await;
    corner.vhost.declare_quorum(&corner.reply_queue()).await;
    let report = doctor(&corner, &[("TOPOLOGY", "verify")]).await;
    assert_eq!((report.code, report.ended("failed").len()), (Some(1), 9), "{:#?}", report.checks);
    assert_eq!(report.queue(&corner.reply_queue())["status"], "ok");
    let missing = report.queue(&corner.retry_queue("1h"));
    assert_eq!(missing["remedy"], "create it, or start with TOPOLOGY=create");
    assert!(!corner.vhost.exists(&corner.retry_queue("1h")).await);
}

/// Those that wait for a slot are a matter of course; those whose calls are held back, somebody should look at.
#[tokio::test]
async fn jobs_that_wait_are_counted_with_what_they_wait_for() {
    let corner = Corner::new().await;
    let mut worker = corner.worker(&[]).await;
    worker.signal(Signal::SIGTERM);
    worker.wait(PATIENCE).await;
    for (queue, jobs) in [(corner.overflow_queue(), 2), (corner.held_queue(), 3)] {
        for number in 0..jobs {
            let body = job(&format!("job-{number}")).to_string();
            corner.vhost.publish(&queue, BasicProperties::default(), body.as_bytes()).await;
        }
    }
    let report = doctor(&corner, &[]).await;
    assert_eq!((report.code, report.ended("warning")), (Some(0), vec!["queue".to_owned()]));
    let overflow = report.queue(&corner.overflow_queue());
    assert_eq!(overflow["status"], "ok", "{overflow}");
    let said = overflow["message"].as_str().unwrap();
    assert!(said.starts_with("2 ready (these jobs wait for a slot"), "{overflow}");
    let held = report.queue(&corner.held_queue());
    assert_eq!(held["status"], "warning", "{held}");
    let said = held["message"].as_str().unwrap();
    assert!(said.starts_with("3 ready (calls for these jobs are held back, or scarce"), "{held}");
    assert!(held["remedy"].as_str().unwrap().contains("status page"), "{held}");
    corner.remove().await;
}

#[tokio::test]
async fn a_queue_with_other_arguments_is_told_apart() {
    let corner = Corner::new().await;
    corner.declare_short_retries("quorum", Duration::from_millis(50)).await;
    // By name: a server from 4.0 on names the type that it gives to queues of none, earlier ones do not.
    let mut classic = FieldTable::default();
    classic.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
    corner.vhost.declare(&corner.jobs_queue(), classic.clone()).await;
    corner.vhost.declare(&corner.dead_queue(), classic).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-priority".into(), AMQPValue::LongInt(5));
    corner.vhost.declare(&corner.reply_queue(), arguments).await;
    let report = doctor(&corner, &[]).await;
    // All of them work: a worker would use them as they are.
    assert_eq!(report.code, Some(0), "{:#?}", report.checks);
    for (queue, differences) in [
        (corner.retry_queue("10s"), &["x-message-ttl is 50, not 10000"][..]),
        (
            corner.jobs_queue(),
            &[
                "x-queue-type is classic, not quorum",
                "x-dead-letter-exchange is absent, not \"\"",
                "x-dead-letter-routing-key is absent",
                "x-overflow is absent, not reject-publish",
            ],
        ),
        (corner.reply_queue(), &["x-max-priority is 5, not absent"]),
        (corner.dead_queue(), &["x-queue-type is classic, not quorum"]),
    ] {
        let said = report.queue(&queue);
        assert_eq!(said["status"], "warning", "{said}");
        for difference in differences {
            assert!(said["message"].as_str().unwrap().contains(difference), "no {difference} in {said}");
        }
    }
}

#[tokio::test]
async fn a_queue_from_which_no_job_would_come_back_is_found() {
    let corner = Corner::new().await;
    corner.declare_short_retries("classic", Duration::from_millis(50)).await;
    let astray = corner.retry_queue(RETRY_TIERS[3]);
    corner.vhost.delete_queue(&astray).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(3_600_000));
    arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString("".into()));
    arguments.insert("x-dead-letter-routing-key".into(), AMQPValue::LongString("elsewhere".into()));
    corner.vhost.declare(&astray, arguments).await;
    let report = doctor(&corner, &[]).await;
    assert_eq!((report.code, report.ended("failed").len()), (Some(1), 1), "{:#?}", report.checks);
    let said = report.queue(&astray);
    assert!(
        said["message"].as_str().unwrap().contains("x-dead-letter-routing-key is elsewhere, not"),
        "{said}"
    );
    assert!(said["remedy"].as_str().unwrap().contains("never come back"), "{said}");

    let transient = corner.vhost.queue("transient");
    let options = QueueDeclareOptions::default();
    corner
        .vhost
        .channel()
        .await
        .queue_declare(transient.as_str().into(), options, FieldTable::default())
        .await
        .unwrap();
    let report = doctor(&corner, &[("REPLY_QUEUE", &transient)]).await;
    let said = report.queue(&transient);
    assert_eq!(said["status"], "failed", "{said}");
    assert!(said["message"].as_str().unwrap().contains("durable is false, not true"), "{said}");
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
