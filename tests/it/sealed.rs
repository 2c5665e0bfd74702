//! Sealed jobs: from the two commands to the connection, and what the broker gets to see.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use connection_worker::simulator::Options;
use lapin::BasicProperties;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::schema::Schema;
use crate::support::broker::Broker;
use crate::support::command::{Ran, run, run_with_input};
use crate::support::corner::{Corner, ORG, SANDBOX, SOON, job};
use crate::support::scene::Scene;

/// A folder with keys.
struct Keys(TempDir);

impl Keys {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn path(&self, name: &str) -> String {
        self.file(name).to_str().unwrap().to_owned()
    }

    /// Makes a key; gives its public half.
    async fn make(&self, name: &str) -> String {
        let ran = run(&["keygen", &self.path(name)], &[]).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        ran.stdout.trim().to_owned()
    }
}

/// A job that names all that sealed credentials are bound to.
fn placed(id: &str) -> Value {
    let mut job = job(id);
    job["imsOrgId"] = json!(ORG);
    job["sandboxName"] = json!(SANDBOX);
    job
}

async fn sealing(job: &Value, key: &str) -> Ran {
    run_with_input(&["seal", "--to", key], &[], &job.to_string()).await
}

async fn sealed(job: &Value, key: &str) -> Value {
    let ran = sealing(job, key).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    serde_json::from_str(&ran.stdout).unwrap()
}

fn error_of(reply: &Value) -> (&str, &str) {
    (reply["error"]["code"].as_str().unwrap(), reply["error"]["message"].as_str().unwrap())
}

#[tokio::test]
async fn a_sealed_job_is_done_and_one_in_the_clear_is_refused() {
    let keys = Keys::new();
    let key = keys.make("worker.key").await;
    let env = [("SEALING_KEY_FILES", keys.path("worker.key")), ("REQUIRE_SEALED", "true".to_owned())];
    let scene = Scene::start(&env.each_ref().map(|(name, value)| (*name, value.as_str()))).await;
    let clear = placed("job-1");
    let sealed = sealed(&clear, &key).await;
    let reply = scene.ask(&sealed).await;
    assert_eq!(reply["status"], "created", "{reply}");
    for schema in [Schema::printed("job").await, Schema::in_asyncapi("job").await] {
        assert_eq!(schema.check(&sealed), Ok(()));
        for bound_to in ["jobId", "imsOrgId", "sandboxName"] {
            let mut job = sealed.clone();
            job.as_object_mut().unwrap().remove(bound_to);
            assert!(schema.check(&job).is_err(), "without {bound_to}");
        }
    }
    let requests = scene.sim.requests().await;
    let sent: Value = serde_json::from_str(requests[0]["body"].as_str().unwrap()).unwrap();
    assert_eq!(sent["auth"], clear["connection"]["auth"], "Flow Service gets them in the clear");

    let reply = scene.ask(&placed("job-2")).await;
    let (code, message) = error_of(&reply);
    assert_eq!(code, "invalid_job");
    assert!(message.contains("REQUIRE_SEALED") && message.contains("connection-worker seal"), "{message}");
    for (form, count) in [("sealed", 1), ("refused_clear", 1), ("clear", 0), ("unopenable", 0)] {
        assert_eq!(scene.count(&format!("job_credentials_total{{form=\"{form}\"}}")).await, count, "{form}");
    }
}

#[tokio::test]
async fn several_keys_open_and_others_do_not() {
    let keys = Keys::new();
    let (old, new, other) = (keys.make("old").await, keys.make("new").await, keys.make("other").await);
    let files = format!("{},{}", keys.path("old"), keys.path("new"));
    let scene = Scene::start(&[("SEALING_KEY_FILES", &files)]).await;
    for (id, key) in [("job-old", &old), ("job-new", &new)] {
        let reply = scene.ask(&sealed(&placed(id), key).await).await;
        assert_eq!(reply["status"], "created", "{reply}");
    }
    let reply = scene.ask(&placed("job-clear")).await;
    assert_eq!(reply["status"], "created", "in the clear is as good, if nobody says otherwise: {reply}");

    let unknown = sealed(&placed("job-3"), &other).await;
    let mut moved = sealed(&placed("job-4"), &new).await;
    moved["jobId"] = json!("job-5");
    for (job, said) in [(unknown, "a key that this worker does not have"), (moved, "cannot be opened")] {
        let reply = scene.ask(&job).await;
        let (code, message) = error_of(&reply);
        assert!(code == "invalid_job" && message.contains(said), "{reply}");
    }
    assert_eq!(scene.count("job_credentials_total{form=\"unopenable\"}").await, 2);
    assert_eq!(scene.sim.report().await["created"], 3);
}

/// Whether a text stands in any file of a folder.
fn stands_in(text: &str, dir: &Path) -> bool {
    let holds = |path: PathBuf| {
        // The node removes files as it goes.
        fs::read(path).is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes()))
    };
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.into_iter().any(|path| if path.is_dir() { stands_in(text, &path) } else { holds(path) })
}

/// Takes out of a queue all that lies in it, and looks whether the text is there.
async fn lies_in(text: &str, corner: &Corner, queue: &str) -> bool {
    let messages = corner.vhost.drain(queue).await;
    messages.iter().any(|message| {
        String::from_utf8_lossy(&message.body).contains(text)
            || format!("{:?}", message.properties).contains(text)
    })
}

/// With `REQUIRE_SEALED` no credential stands in a queue, a file or a log of the broker: neither while the job waits, nor
/// when it is done or parked.
#[tokio::test]
async fn sealed_secrets_stay_out_of_the_broker() {
    const CANARY: &str = "cnrysealedvq7";
    let broker = Broker::start().await;
    let corner = Corner::on(&broker, Options::default()).await;
    let keys = Keys::new();
    let key = keys.make("worker.key").await;
    let files = keys.path("worker.key");
    let env = [
        ("SEALING_KEY_FILES", files.as_str()),
        ("REQUIRE_SEALED", "true"),
        ("RETRY_ATTEMPTS", "2"),
        ("RUST_LOG", "trace"),
    ];
    let worker = corner.worker(&[&env[..], &SOON].concat()).await;
    corner.sim.fault(json!({ "name": "parked", "fault": { "kind": "echo", "status": 429 } })).await;
    let mut ciphertexts = Vec::new();
    for name in ["done", "parked"] {
        let mut clear = placed(&format!("job-{name}"));
        clear["connection"]["name"] = json!(name);
        clear["connection"]["auth"]["params"]["clientSecret"] = json!(CANARY);
        let sealed = sealed(&clear, &key).await;
        ciphertexts.push(sealed["connection"]["auth"]["sealed"]["ciphertext"].as_str().unwrap().to_owned());
        let persistent = BasicProperties::default().with_delivery_mode(2);
        corner.submit_raw(persistent, sealed.to_string().as_bytes()).await;
        let reply = corner.reply().await;
        assert!(!String::from_utf8_lossy(&reply.body).contains(CANARY));
    }
    corner.settled().await;
    assert_eq!(corner.sim.report().await["created"], 1, "one is done, the other is parked");
    // The messages are in the files, or this would prove nothing.
    assert!(ciphertexts.iter().all(|text| stands_in(text, broker.dir())), "the sealed texts are found");
    assert!(!stands_in(CANARY, broker.dir()), "a credential stands in a file of the broker");
    assert!(!worker.logs().contains(CANARY), "a credential stands in the log of the worker");
    assert!(lies_in(&ciphertexts[1], &corner, &corner.dead_queue()).await, "it is parked as it came");

    // What is sent in the clear is refused, and found: by the same look.
    let mut clear = placed("job-clear");
    clear["connection"]["auth"]["params"]["clientSecret"] = json!(CANARY);
    corner.submit_raw(BasicProperties::default().with_delivery_mode(2), clear.to_string().as_bytes()).await;
    assert_eq!(corner.reply().await.json()["error"]["code"], "invalid_job");
    assert!(stands_in(CANARY, broker.dir()), "the look finds what is there");
}

#[tokio::test]
async fn a_key_is_its_owners_alone_and_is_not_overwritten() {
    let keys = Keys::new();
    keys.make("worker.key").await;
    let before = fs::read_to_string(keys.file("worker.key")).unwrap();
    let mode = fs::metadata(keys.file("worker.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for file in [keys.path("worker.key"), keys.path("nowhere/worker.key")] {
        let ran = run(&["keygen", &file], &[]).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(65), ""));
        assert!(ran.stderr.contains("cannot write a new file"), "{ran:?}");
    }
    assert_eq!(fs::read_to_string(keys.file("worker.key")).unwrap(), before);
}

#[tokio::test]
async fn what_cannot_be_sealed_is_told_and_nothing_is_printed() {
    let keys = Keys::new();
    let key = keys.make("worker.key").await;
    let once = sealed(&placed("job-1"), &key).await;
    for (job, said) in [
        (job("job-1"), "imsOrgId: missing; a job with sealed credentials names it itself"),
        (once, "sealed already"),
        (json!({ "jobId": "a", "imsOrgId": ORG, "sandboxName": SANDBOX }), "connection: missing"),
    ] {
        let ran = sealing(&job, &key).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(65), ""), "{ran:?}");
        assert!(ran.stderr.contains("job 1 cannot be sealed") && ran.stderr.contains(said), "{ran:?}");
        assert!(!ran.stderr.contains("hub-client-secret"), "{ran:?}");
    }
    let ran = sealing(&placed("job-1"), "no-key").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(64), ""), "{ran:?}");
}

#[tokio::test]
async fn keys_that_cannot_be_used_are_told_at_the_start_and_never_shown() {
    let keys = Keys::new();
    keys.make("good").await;
    fs::write(keys.file("bad"), r#"{"kty":"OKP","crv":"X25519","x":"AA","d":"s3cret-canary"}"#).unwrap();
    let files = [keys.path("good"), keys.path("bad")].join(",");
    let absent = [keys.path("good"), keys.path("absent-s3cret-canary")].join(",");
    for (env, said) in [
        (
            ("SEALING_KEY_FILES", files.as_str()),
            "SEALING_KEY_FILES (--sealing-key-files): file 2 of 2: no private key",
        ),
        (
            ("SEALING_KEY_FILES", &absent),
            "SEALING_KEY_FILES (--sealing-key-files): file 2 of 2: cannot read the file",
        ),
        (("REQUIRE_SEALED", "true"), "REQUIRE_SEALED (--require-sealed): true without SEALING_KEY_FILES"),
        (("REQUIRE_SEALED", "s3cret-canary"), "REQUIRE_SEALED (--require-sealed): expected true or false"),
    ] {
        let ran = run(&["run"], &[env]).await;
        assert_eq!(ran.code, Some(64), "{ran:?}");
        assert!(ran.stderr.contains(said), "no {said} in {ran:?}");
        assert!(!ran.stderr.contains("s3cret-canary"), "{ran:?}");
    }
}
