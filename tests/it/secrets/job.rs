//! A job that is full of secrets, and what can go wrong with it.

use serde_json::{Value, json};

use super::canary::Canary;

/// A job with a secret wherever a job can have one.
pub(super) struct SecretJob {
    pub(super) canaries: Vec<Canary>,
    /// The job's `auth`, which Flow Service is to get as it stands.
    pub(super) auth: Value,
}

impl SecretJob {
    /// One with every secret there can be.
    pub(super) fn new() -> Self {
        let mut canaries = Vec::new();
        let mut any = |name: &str| {
            canaries.push(Canary::new(name));
            canaries.last().unwrap().value.clone()
        };
        let (client_secret, access_token, refresh_token) =
            (any("clientsecret"), any("accesstoken"), any("refreshtoken"));
        let (deep, other, in_json) = (any("nested"), any("other"), any("injson"));
        let mut plain = |name: &str| {
            canaries.push(Canary::plain(name));
            canaries.last().unwrap().value.clone()
        };
        let auth = json!({
            "specName": "Basic Authentication",
            "params": {
                "clientId": plain("clientid"),
                "clientSecret": client_secret,
                "accessToken": access_token,
                "refreshToken": refresh_token,
                "nested": { "list": [1, { "password": deep }] },
                "json": json!({ "private_key": in_json }).to_string(),
                "connectionString": format!("Server=tcp:db;User ID=u;Password={};Encrypt=yes", plain("connstring")),
                "url": format!("https://user:{}@host.example.com/path", plain("urlpassword")),
                "key": format!("-----BEGIN KEY-----\n{}\n{}\n-----END KEY-----\n", plain("pemone"), plain("pemtwo")),
                "pin": 918_273_645_546_372_u64,
            },
            "other": { "token": other },
        });
        Self { canaries, auth }
    }

    /// The job under this id, for a connection of this name.
    pub(super) fn json(&self, id: &str, name: &str) -> Value {
        json!({
            "jobId": id,
            "connection": {
                "name": name,
                "auth": self.auth,
                "connectionSpec": { "id": "cc6a4487-9e91-433e-a3a3-9cf6626c1806", "version": "1.0" }
            }
        })
    }

    /// Messages that are no jobs, with secrets where they do not belong.
    pub(super) fn spoilt(&self) -> Vec<Vec<u8>> {
        let mut spoilt = Vec::new();
        let secret = &self.canaries[0].value;
        for place in [
            "/jobId",
            "/imsOrgId",
            "/sandboxName",
            "/schemaVersion",
            "/source",
            "/expiresAt",
            "/connection",
            "/unknown",
            "/connection/unknown",
            "/connection/auth",
            "/connection/auth/params",
            "/connection/connectionSpec",
            "/connection/connectionSpec/unknown",
        ] {
            for value in [json!(secret), json!([secret]), json!({ "a": { "b": secret } })] {
                let mut job = self.json("spoilt", "spoilt");
                let (parent, key) = place.rsplit_once('/').unwrap();
                job.pointer_mut(parent).unwrap()[key] = value;
                // An object where an object belongs needs one more fault.
                job["fault"] = json!(secret);
                spoilt.push(job.to_string().into_bytes());
            }
        }
        for place in [
            "/connection/name",
            "/connection/description",
            "/connection/auth/specName",
            "/connection/connectionSpec/id",
            "/connection/connectionSpec/version",
        ] {
            let mut job = self.json("spoilt", "spoilt");
            let (parent, key) = place.rsplit_once('/').unwrap();
            job.pointer_mut(parent).unwrap()[key] = json!([secret]);
            spoilt.push(job.to_string().into_bytes());
        }
        let good = self.json("spoilt", "spoilt").to_string();
        spoilt.push(secret.clone().into_bytes());
        spoilt.push(json!(secret).to_string().into_bytes());
        spoilt.push(good.as_bytes()[..good.len() - 2].to_vec());
        let half_pair = format!("{{\"x\":\"\\ud800{}\",", self.canaries[0].value.replace('"', ""));
        spoilt.push(good.replacen('{', &half_pair, 1).into_bytes());
        spoilt.push(
            good.replacen("\"params\":{", &format!("\"params\":{{\"a\":{0},\"a\":{0},", json!(secret)), 1)
                .into_bytes(),
        );
        spoilt.push([good.as_bytes(), b"\xff"].concat());
        spoilt
    }
}

/// The rules by name of the connection: every class of failure.
pub(super) fn rules() -> Value {
    let status = |name: &str, status: u16, form: &str| json!({ "name": name, "fault": { "kind": "status", "status": status, "form": form } });
    let fault = |name: &str, fault: Value| json!({ "name": name, "fault": fault });
    json!([
        fault("echo 400", json!({ "kind": "echo", "status": 400 })),
        fault("echo 401", json!({ "kind": "echo", "status": 401 })),
        fault("echo 403", json!({ "kind": "echo", "status": 403 })),
        fault("echo 422", json!({ "kind": "echo", "status": 422 })),
        fault("echo 429", json!({ "kind": "echo", "status": 429 })),
        fault("echo 500", json!({ "kind": "echo", "status": 500 })),
        fault("echo 503", json!({ "kind": "echo", "status": 503 })),
        status("refused", 400, "flow"),
        status("forbidden", 403, "raw"),
        status("conflict", 409, "flow"),
        status("broken", 500, "flow"),
        status("gateway", 503, "gateway"),
        status("html", 502, "raw"),
        fault("throttled", json!({ "kind": "throttle", "retryAfter": "0" })),
        fault("closed", json!({ "kind": "close" })),
        fault("hung", json!({ "kind": "hang" })),
        fault("truncated", json!({ "kind": "truncate" })),
        fault("unreadable", json!({ "kind": "invalid_json" })),
        fault("huge", json!({ "kind": "huge", "bytes": 1_000_000 })),
        fault("redirected", json!({ "kind": "redirect", "location": "http://127.0.0.1:1/elsewhere" })),
    ])
}

/// The names of [`rules`], and one that all is well with.
pub(super) fn names(rules: &Value) -> Vec<String> {
    let names = rules.as_array().unwrap().iter().map(|rule| rule["name"].as_str().unwrap().to_owned());
    names.chain(["well".to_owned()]).collect()
}
