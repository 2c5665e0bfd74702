//! Files, good and bad.

use std::collections::HashSet;

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::admission::OrgLimits;
use crate::flow::token::ImsCredentials;
use crate::secret::SecretSource;

/// In every value that could be a secret.
const CANARY: &str = "canary";

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, content: &str) -> &Self {
        std::fs::write(self.0.path().join(name), content).unwrap();
        self
    }

    fn file(&self, defaults: &Defaults) -> OrgsFile {
        OrgsFile::new(self.0.path().join("orgs.json"), "openid".to_owned(), defaults)
    }

    fn read(&self) -> Result<HashMap<ImsOrgId, Organisation>, RefusedFile> {
        self.file(&Defaults::default()).read()
    }
}

fn org(name: &str) -> ImsOrgId {
    ImsOrgId::parse(&format!("{name}@AdobeOrg")).unwrap()
}

fn sandbox(name: &str) -> SandboxName {
    SandboxName::parse(name).unwrap()
}

fn refusal(text: &str) -> String {
    let folder = Folder::new();
    let refused = folder.write("orgs.json", text).read().unwrap_err();
    let said = format!("{refused} {refused:?}");
    assert!(!said.contains(CANARY), "{said}");
    refused.to_string()
}

/// What is wrong with an entry that has these fields besides, or in place of, the usual ones.
fn complaint(fields: &Value) -> String {
    let mut entry = json!({ "client_id": "canary-id", "client_secret": "canary-secret" });
    for (key, value) in fields.as_object().unwrap() {
        match value {
            Value::String(gone) if gone == "-" => drop(entry.as_object_mut().unwrap().remove(key)),
            value => entry[key] = value.clone(),
        }
    }
    refusal(&json!({ "organisations": { "a@AdobeOrg": entry } }).to_string())
}

#[test]
fn every_way_to_describe_an_organisation_is_read() {
    let folder = Folder::new();
    std::fs::create_dir(folder.0.path().join("secrets")).unwrap();
    folder.write("secrets/b", "secret-b\n").write("token", "token-c\n").write(
        "orgs.json",
        r#"{ "organisations": {
            "a@AdobeOrg": { "client_id": "id-a", "client_secret": "secret-a", "scopes": "openid,session",
                            "sandboxes": ["dev", "prod"], "concurrency": 7, "rate": 20 },
            "b@AdobeOrg": { "client_id": "id-b", "client_secret_file": "secrets/b" },
            "c@AdobeOrg": { "access_token_file": "token", "api_key": "key-c" }
        } }"#,
    );
    let read = folder.read().unwrap();
    let ims = |client_id: &str, secret: &str, scopes: &str| {
        Credentials::Ims(ImsCredentials {
            client_id: client_id.to_owned(),
            client_secret: SecretSource::Inline(secret.into()),
            scopes: scopes.to_owned(),
        })
    };
    let (a, b, c) = (&read[&org("a")], &read[&org("b")], &read[&org("c")]);
    assert_eq!(a.credentials, ims("id-a", "secret-a", "openid,session"));
    assert_eq!(a.sandboxes, Some(HashSet::from([sandbox("dev"), sandbox("prod")])));
    assert_eq!(a.limits, OrgLimits { concurrency: Some(7), rate: Some(20.0) });
    assert_eq!(b.credentials, ims("id-b", "secret-b", "openid"));
    assert_eq!((&b.sandboxes, b.limits), (&None, OrgLimits::default()));
    let Credentials::Fixed { access_token, api_key } = &c.credentials else { panic!("{c:?}") };
    assert_eq!(access_token, &SecretSource::Inline("token-c".into()));
    assert_eq!(api_key.expose_secret(), "key-c");
    assert_eq!(read.len(), 3);
}

#[test]
fn a_secret_that_changed_in_its_file_is_another_credential() {
    let folder = Folder::new();
    folder.write(
        "orgs.json",
        r#"{"organisations":{"a@AdobeOrg":{"client_id":"id","client_secret_file":"s"}}}"#,
    );
    let before = folder.write("s", "old").read().unwrap();
    assert_eq!(before, folder.read().unwrap());
    assert_ne!(before, folder.write("s", "new").read().unwrap());
}

#[test]
fn an_entry_that_cannot_be_used_is_told_by_organisation_and_field() {
    for (fields, expected) in [
        (json!({ "client_secret": "-" }), "client_secret: missing, and so is client_secret_file"),
        (json!({ "client_id": "-" }), "client_id: missing"),
        (json!({ "client_secret_file": "canary-file" }), "client_secret: given besides client_secret_file"),
        (
            json!({ "client_secret": "-", "client_secret_file": "canary-file" }),
            "client_secret_file: cannot read the file",
        ),
        (json!({ "access_token": "canary" }), "client_id: client_id given besides access_token"),
        (json!({ "client_secrte": "canary" }), "client_secrte: unknown field, did you mean client_secret?"),
        (json!({ "client_secret": 7 }), "client_secret: a number, expected a string"),
        (json!({ "client_secret": "canary\n" }), "client_secret: holds blanks, line ends"),
        (json!({ "client_secret": "" }), "client_secret: empty"),
        (json!({ "scopes": ["canary"] }), "scopes: an array, expected a string"),
        (json!({ "sandboxes": null }), "sandboxes: null, expected a value, or no such field"),
        (json!({ "sandboxes": [] }), "sandboxes: empty, expected at least one"),
        (json!({ "sandboxes": "canary" }), "sandboxes: a string, expected an array of names"),
        (json!({ "sandboxes": ["dev", "Canary", 7, "dev"] }), "sandboxes[1]: character 1 is not allowed"),
        (json!({ "sandboxes": ["dev", 7] }), "sandboxes[1]: a number, expected a string"),
        (json!({ "sandboxes": ["dev", "dev"] }), "sandboxes[1]: given more than once"),
        (json!({ "concurrency": 0 }), "concurrency: expected a whole number from 1 to 65535"),
        (json!({ "rate": "canary" }), "rate: expected a whole number from 1 to 1000000"),
    ] {
        let said = complaint(&fields);
        assert!(said.contains(&format!("organisations.a@AdobeOrg.{expected}")), "{fields}: {said}");
    }
}

#[test]
fn a_file_that_is_none_is_refused() {
    for (text, expected) in [
        ("", "invalid JSON"),
        ("canary", "invalid JSON"),
        ("[]", "an array, expected an object"),
        ("{}", "organisations: missing"),
        (r#"{"organisations": {}}"#, "organisations: empty, expected at least one organisation"),
        (r#"{"organisations": ["canary"]}"#, "organisations: an array, expected an object"),
        (r#"{"organisations": {"a": "canary"}}"#, "organisations.a: a string, expected an object"),
        (
            r#"{"organisations": {"a b": {}}}"#,
            "organisations.a b: no organisation: character 2 is not allowed",
        ),
        (r#"{"organisations": {"a": {}, "a": {}}}"#, "organisations.a: given more than once"),
        (r#"{"organisations": {"a": {"rate": 1, "rate": 2}}}"#, "organisations.a.rate: given more than once"),
        (r#"{"organisation": {}}"#, "organisation: unknown field, did you mean organisations?"),
    ] {
        let said = refusal(text);
        assert!(said.contains(expected), "{text}: {said}");
    }
    let absent = Folder::new().read().unwrap_err().to_string();
    assert!(absent.starts_with("cannot read the file: "), "{absent}");
    let many: HashMap<String, Value> = (0..=MAX_ORGANISATIONS)
        .map(|n| (format!("{n}@AdobeOrg"), json!({ "access_token": "t", "api_key": "k" })))
        .collect();
    let said = refusal(&json!({ "organisations": many }).to_string());
    assert_eq!(said, "organisations: 1001 of them, expected at most 1000");
}

#[test]
fn all_faults_are_told_at_once() {
    let said = refusal(
        r#"{"organisations": {"a": {"client_id": "x"}, "b": {"rate": 0, "colour": "canary"}, "c": null}, "more": 1}"#,
    );
    for expected in [
        "a.client_secret: missing",
        "b.rate: ",
        "b.colour: unknown",
        "b.client_id: missing",
        "c: null",
        "more: ",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn what_jobs_leave_out_must_be_allowed() {
    let folder = Folder::new();
    folder.write(
        "orgs.json",
        r#"{"organisations": {"a@AdobeOrg": {"access_token": "t", "api_key": "k", "sandboxes": ["dev"]}}}"#,
    );
    let read = |id: &str, name: &str| {
        let defaults =
            Defaults { ims_org_id: Some(org(id)), sandbox_name: Some(sandbox(name)), ..Defaults::default() };
        folder.file(&defaults).read().map_err(|refused| refused.to_string())
    };
    assert!(read("a", "dev").is_ok());
    assert!(read("b", "dev").unwrap_err().starts_with("organisations: IMS_ORG_ID is not among them"));
    let said = read("a", "prod").unwrap_err();
    assert!(said.starts_with("organisations.a@AdobeOrg.sandboxes: SANDBOX_NAME is not among them"), "{said}");
}
