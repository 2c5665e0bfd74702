//! Values that come with more than they should.

use super::doctor;
use crate::support::corner::{CLIENT_ID, CLIENT_SECRET, Corner};

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
