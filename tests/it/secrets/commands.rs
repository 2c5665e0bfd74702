//! What the commands print by themselves: help, complaints, results. And what a developer may print: `Debug`.

use clap::Parser;
use connection_worker::cli::{Cli, Command};
use connection_worker::config;
use serde_json::json;

use super::amqp_url;
use super::canary::{Canary, assert_absent};
use super::job::SecretJob;
use crate::support::command::{run, run_with_input};
use crate::support::corner::Corner;

/// A secret in every variable, most of them no good there.
fn everywhere() -> (Vec<Canary>, Vec<(String, String)>) {
    let all = config::command::<Cli>();
    let commands = all.get_subcommands().flat_map(config::describe);
    let mut variables: Vec<String> = commands.map(|setting| setting.variable).collect();
    variables.sort();
    variables.dedup();
    let canary = |variable: &String| Canary::new(&variable.to_lowercase().replace('_', ""));
    let canaries: Vec<Canary> = variables.iter().map(canary).collect();
    let env = variables.into_iter().zip(canaries.iter().map(|canary| canary.value.clone())).collect();
    (canaries, env)
}

fn borrowed(env: &[(String, String)]) -> Vec<(&str, &str)> {
    env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[tokio::test]
async fn help_shows_no_value() {
    let (canaries, env) = everywhere();
    let all = config::command::<Cli>();
    let commands: Vec<&str> = all.get_subcommands().map(clap::Command::get_name).collect();
    assert!(commands.len() > 3, "{commands:?}");
    for command in commands {
        for args in [&[command, "--help"][..], &[command, "-h"], &["help", command], &[command, "--unknown"]]
        {
            let ran = run(args, &borrowed(&env)).await;
            assert_absent(&canaries, &args.join(" "), &format!("{}{}", ran.stdout, ran.stderr));
        }
    }
}

#[tokio::test]
async fn complaints_show_no_value() {
    let (canaries, env) = everywhere();
    // All at once, and each in an otherwise right configuration.
    let mut cases = vec![borrowed(&env)];
    let right = [("AMQP_URL", "amqp://127.0.0.1:1/"), ("ACCESS_TOKEN", "token"), ("API_KEY", "key")];
    for (name, value) in &env {
        // The last stops the worker where the value is good enough.
        cases.push([&right[..], &[(name, value), ("TOPOLOGY", "none")]].concat());
    }
    for case in cases {
        for command in ["run", "submit"] {
            let ran = run(&[command], &case).await;
            if command == "run" {
                assert_eq!(ran.code, Some(64), "{case:?} {ran:?}");
            }
            assert_absent(&canaries, "a complaint", &format!("{}{}", ran.stdout, ran.stderr));
        }
    }
    let secret = Canary::new("flag");
    for flag in ["--acces-token", "--access-token-fiel", "--amqp-url"] {
        let ran = run(&["run", &format!("{flag}={}", secret.value)], &[]).await;
        assert_eq!(ran.code, Some(64), "{ran:?}");
        assert_absent(std::slice::from_ref(&secret), flag, &format!("{}{}", ran.stdout, ran.stderr));
    }
}

#[tokio::test]
async fn submit_shows_no_secret() {
    let corner = Corner::new().await;
    let job = SecretJob::new();
    let password = Canary::plain("submitpassword");
    let canaries = [job.canaries.clone(), vec![password.clone()]].concat();
    let url = amqp_url(&corner, "submitter", &password).await;
    let worker = corner.worker(&[]).await;
    corner.sim.fault(json!({ "name": "echo", "fault": { "kind": "echo" } })).await;
    let (jobs, replies) = (corner.jobs_queue(), corner.reply_queue());
    let env =
        [("AMQP_URL", url.as_str()), ("JOB_QUEUE", &jobs), ("REPLY_QUEUE", &replies), ("RUST_LOG", "trace")];
    let (good, bad) = (job.json("good", "good").to_string(), job.json("bad", "echo").to_string());
    let spoilt = job.json("spoilt", "spoilt").to_string();
    let cut = spoilt.strip_suffix("}}").unwrap();
    for (args, input, code) in [
        (&["--wait"][..], format!("{good}\n{bad}"), 1),
        (&[], good.clone(), 0),
        (&[], cut.to_owned(), 65),
        (&["--count", "2"], good.clone(), 65),
        (&[], job.canaries[0].value.clone(), 65),
    ] {
        let ran = run_with_input(&[&["submit"], args].concat(), &env, &input).await;
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert_absent(&canaries, "what submit prints", &format!("{}{}", ran.stdout, ran.stderr));
    }
    corner.end(worker).await;
}

#[test]
fn debug_of_the_configuration_shows_no_secret() {
    let names = ["amqpurl", "imssecret", "accesstoken", "apikey"];
    let [url, secret, token, key] = names.map(Canary::plain);
    let canaries = [url.clone(), secret.clone(), token.clone(), key.clone()];
    let amqp_url = format!("amqp://user:{}@127.0.0.1:1/", url.value);
    let ims = ["--ims-client-id", "id", "--ims-client-secret", &secret.value];
    let fixed = ["--access-token", &token.value, "--api-key", &key.value];
    for credentials in [&ims, &fixed] {
        let args = [&["connection-worker", "run", "--amqp-url", &amqp_url][..], credentials].concat();
        let Command::Run(options) = Cli::parse_from(args).command else { panic!("it is run") };
        assert_absent(&canaries, "Debug of RunOptions", &format!("{options:?} {options:#?}"));
        let config = options.validate().unwrap();
        assert_absent(&canaries, "Debug of RunConfig", &format!("{config:?} {config:#?}"));
    }
    let cli = Cli::parse_from(["connection-worker", "submit", "--amqp-url", &amqp_url]);
    assert_absent(&canaries, "Debug of Cli", &format!("{cli:?} {cli:#?}"));
    let Command::Submit(options) = cli.command else { panic!("it is submit") };
    let config = options.validate().unwrap();
    assert_absent(&canaries, "Debug of SubmitConfig", &format!("{config:?} {config:#?}"));
}
