//! `sources`: from its list to connections.

use std::collections::BTreeSet;

use connection_worker::sources;
use serde_json::{Value, json};

use crate::support::command::{on_terminal, piped, run, run_with_input};
use crate::support::corner::{Corner, ORG, SANDBOX};
use crate::support::scene::Scene;

/// What stands on standard output: JSON, one a line.
fn printed(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn the_examples_of_all_sources_are_created() {
    let scene = Scene::start(&[]).await;
    let examples = sources::ALL.iter().map(|source| source.auth.len()).sum::<usize>();
    let env = [("AMQP_URL", scene.amqp_url.as_str()), ("JOB_QUEUE", &scene.jobs_queue())];
    let ran = piped(&["sources --all-examples", "submit --wait"], &env).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let replies = printed(&ran.stdout);
    let ids: BTreeSet<String> = replies.iter().map(|reply| reply["jobId"].to_string()).collect();
    assert_eq!((replies.len(), ids.len()), (examples, examples));
    let specs: BTreeSet<&str> =
        replies.iter().map(|reply| reply["connection"]["connectionSpecId"].as_str().unwrap()).collect();
    assert_eq!(specs, sources::ALL.iter().map(|source| source.spec_id).collect());
    let report = scene.sim.report().await;
    assert_eq!((&report["created"], &report["distinct"]), (&json!(examples), &json!(examples)));
}

/// As the README has it in `From the demo to a worker that is watched`.
#[tokio::test]
async fn an_example_without_its_id_can_be_sent_many_times() {
    let scene = Scene::start(&[]).await;
    let example = run(&["sources", "hubspot"], &[]).await.stdout;
    let without_id: String = example.lines().filter(|line| !line.contains("jobId")).collect();
    let env = [("AMQP_URL", scene.amqp_url.as_str()), ("JOB_QUEUE", &scene.jobs_queue())];
    let ran = run_with_input(&["submit", "--count", "3", "--wait"], &env, &without_id).await;
    assert_eq!((ran.code, printed(&ran.stdout).len()), (Some(0), 3), "{}", ran.stderr);
}

#[tokio::test]
async fn a_source_has_a_job_to_fill_in() {
    let scene = Scene::start(&[]).await;
    for (args, spec_name, params, notes) in [
        (
            &["hubspot"][..],
            "Basic Authentication",
            &["clientId", "clientSecret", "accessToken", "refreshToken"][..],
            &["HubSpot, Basic Authentication."][..],
        ),
        (
            &["salesforce", "--auth", "oauth2 client credential"],
            "OAuth2 Client Credential",
            &["environmentUrl", "clientId", "clientSecret", "apiVersion"],
            &[
                "may not be complete",
                "Optional params: includeDeletedObjects.",
                "--auth 'Basic Authentication'",
            ],
        ),
        (
            &["sftp"],
            "Basic Authentication for sftp",
            &["host", "userName", "password"],
            &["Optional params: port,", "--auth 'SSH PublicKey Authentication for sftp'"],
        ),
    ] {
        let ran = run(&[&["sources"], args].concat(), &[]).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        for note in notes.iter().chain(&["the worker's own count"]) {
            assert!(ran.stderr.contains(note), "no {note} in {ran:?}");
        }
        let job: Value = serde_json::from_str(&ran.stdout).unwrap();
        let auth = &job["connection"]["auth"];
        assert_eq!((&job["source"], &auth["specName"]), (&json!(args[0]), &json!(spec_name)));
        assert_eq!(auth["params"].as_object().unwrap().keys().collect::<Vec<_>>(), params);
        let reply = scene.ask(&job).await;
        assert_eq!(reply["status"], "created", "{reply}");
        let again = run(&[&["sources"], args].concat(), &[]).await;
        assert_ne!(again.stdout, ran.stdout, "a job has an id of its own");
    }
}

#[tokio::test]
async fn what_is_misspelt_is_told_with_a_guess() {
    for (args, said) in [
        (&["hubspott"][..], "there is no source hubspott, did you mean hubspot?"),
        (&["HubSpot"], "there is no source HubSpot, did you mean hubspot?"),
        (&["marketo"], "there is no source marketo; `connection-worker sources` lists them"),
        (
            &["salesforce", "--auth", "Magic"],
            "salesforce has no authentication Magic, expected one of Basic Authentication, OAuth2 Client Credential",
        ),
        (&["--auth", "Magic"], "NAME"),
        (&["hubspot", "--json"], "--json"),
        (&["--all-examples", "--json"], "--json"),
    ] {
        let ran = run(&[&["sources"], args].concat(), &[]).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(64), ""), "{ran:?}");
        assert!(ran.stderr.contains(said), "no {said} in {ran:?}");
    }
}

#[tokio::test]
async fn the_list_is_a_table_for_people_and_lines_for_scripts() {
    let ran = run(&["sources"], &[]).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let names: Vec<&str> = ran.stdout.lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(names, sources::ALL.iter().map(|source| source.name).collect::<Vec<_>>());
    assert!(
        ran.stdout
            .contains("\nsalesforce\tSalesforce (CRM)\tBasic Authentication, OAuth2 Client Credential\n"),
        "{}",
        ran.stdout
    );

    let json = printed(&run(&["sources", "--json"], &[]).await.stdout);
    assert_eq!(json.len(), sources::ALL.len());
    assert_eq!(
        json[0],
        json!({
            "name": "hubspot",
            "title": "HubSpot",
            "connectionSpec": { "id": "cc6a4487-9e91-433e-a3a3-9cf6626c1806", "version": "1.0" },
            "auth": [{ "specName": "Basic Authentication",
                       "required": ["clientId", "clientSecret", "accessToken", "refreshToken"],
                       "optional": [], "certain": true }],
        })
    );

    let shown = on_terminal(&["sources"], &[], "").await;
    let lines: Vec<&str> = shown.stdout.lines().collect();
    assert!(lines[0].starts_with("NAME ") && lines[0].contains(" SOURCE "), "{shown:?}");
    assert_eq!(lines.len(), sources::ALL.len() + 1);
    let fits = |line: &&str| line.chars().count() <= 120 && !line.contains('\t');
    assert!(lines.iter().all(fits), "{shown:?}");
}

/// The worker that has no organisation and no sandbox of its own needs both in the job.
#[tokio::test]
async fn an_example_takes_an_organisation_and_a_sandbox() {
    let corner = Corner::new().await;
    let worker = corner.worker(&[("IMS_ORG_ID", ""), ("SANDBOX_NAME", "")]).await;
    let mut job: Value = serde_json::from_str(&run(&["sources", "mysql"], &[]).await.stdout).unwrap();
    let reply = corner.ask(&job).await;
    assert_eq!(reply["error"]["code"], "invalid_job", "{reply}");
    (job["imsOrgId"], job["sandboxName"]) = (json!(ORG), json!(SANDBOX));
    let reply = corner.ask(&job).await;
    assert_eq!(reply["status"], "created", "{reply}");
    corner.end(worker).await;
}
