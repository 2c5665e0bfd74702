//! A job of realistic size: HubSpot's credentials as the tutorial has them, about 1 KiB.

use std::time::{SystemTime, UNIX_EPOCH};

use lapin::BasicProperties;
use serde_json::json;

/// What all jobs are done for.
pub(crate) const ORG: &str = "1234@AdobeOrg";
pub(crate) const SANDBOX: &str = "bench";

/// HubSpot's access tokens are about as long.
const ACCESS_TOKEN_LENGTH: usize = 220;

/// A job as `connection-worker submit` would send it, for an organisation.
pub(crate) fn job(org: &str, id: &str) -> (BasicProperties, Vec<u8>) {
    let body = json!({
        "jobId": id,
        "imsOrgId": org,
        "sandboxName": SANDBOX,
        "connection": {
            "name": format!("HubSpot of customer {id}"),
            "description": "Contacts and companies, onboarded by the benchmark",
            "auth": {
                "specName": "Basic Authentication",
                "params": {
                    "clientId": "0f7c1c2a-95d1-4f0e-9a6b-6a1d6cf3f3f1",
                    "clientSecret": "c2b8a1de-6f5b-44b5-8d7e-0a9d3f0e5a77",
                    "accessToken": "a".repeat(ACCESS_TOKEN_LENGTH),
                    "refreshToken": "8f3e6a52-7d0f-4a51-b7e6-2d3c1b0a9f88",
                },
            },
            "connectionSpec": { "id": "cc6a4487-9e91-433e-a3a3-9cf6626c1806", "version": "1.0" },
        },
    });
    let sent = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(2)
        .with_message_id(id.into())
        .with_correlation_id(id.into())
        .with_timestamp(sent);
    (properties, body.to_string().into_bytes())
}
