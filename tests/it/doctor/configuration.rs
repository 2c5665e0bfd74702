//! Faults of the configuration, and values that come with more than they should.

use serde_json::Value;

use super::{PASSWORD, Report, doctor};
use crate::support::command::run;
use crate::support::corner::{CLIENT_ID, CLIENT_SECRET, Corner};

#[tokio::test]
async fn a_faulty_configuration_is_all_that_is_told() {
    let url = format!("http://guest:{PASSWORD}@localhost/");
    let env = [("AMQP_URL", url.as_str()), ("TOPOLOGY", PASSWORD)];
    let report = Report::read(&run(&["doctor", "--json"], &env).await);
    assert_eq!(report.code, Some(64), "{:#?}", report.checks);
    let told = report.of("configuration");
    let subjects: Vec<&Value> = told.iter().map(|check| &check["subject"]).collect();
    assert_eq!(subjects, ["AMQP_URL", "IMS_CLIENT_ID", "TOPOLOGY"]);
    assert_eq!(told[2]["message"], "expected create or verify");
    assert!(told[2]["remedy"].as_str().unwrap().contains("--topology"), "{}", told[2]);
    assert!(told.iter().all(|check| check["status"] == "failed"), "{told:#?}");
    assert_eq!(report.ended("skipped"), ["others"]);
    assert_eq!(report.checks.len(), told.len() + 1, "{:#?}", report.checks);

    let plain = run(&["doctor"], &env).await;
    assert_eq!((plain.code, plain.stderr.as_str()), (Some(64), ""), "{plain:?}");
    assert!(!plain.stdout.contains(PASSWORD), "{plain:?}");
    let lines: Vec<&str> = plain.stdout.lines().collect();
    assert!(lines[0].starts_with("FAIL configuration        AMQP_URL: expected a URL"), "{}", plain.stdout);
    assert_eq!(lines[3], "skip others               configuration failed");
    assert_eq!(lines[4..], ["0 ok, 0 warnings, 3 failed, 1 skipped"]);
}

/// A Kubernetes secret made of a file brings along how the file ends.
#[tokio::test]
async fn a_line_end_after_a_credential_does_no_harm() {
    let corner = Corner::new().await;
    let (id, secret) = (format!("{CLIENT_ID}\n"), format!("{CLIENT_SECRET}\r\n"));
    let ims = [("IMS_CLIENT_ID", id.as_str()), ("IMS_CLIENT_SECRET", secret.as_str())];
    let report = doctor(&corner, &ims).await;
    assert_eq!((report.code, report.ended("failed").len()), (Some(0), 0), "{:#?}", report.checks);

    let token = "e30.eyJzY29wZSI6Im9wZW5pZCJ9.c2ln\n"; // {"scope":"openid"}
    let none = [("IMS_CLIENT_ID", ""), ("IMS_CLIENT_SECRET", "")];
    let fixed = [("API_KEY", "key\r\n"), ("ACCESS_TOKEN", token)];
    let report = doctor(&corner, &[none, fixed].concat()).await;
    assert_eq!(report.of("ims.token")[0]["status"], "ok", "{:#?}", report.checks);
}
