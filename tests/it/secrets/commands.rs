//! What the commands print by themselves: help, complaints, results. And what a developer may print: `Debug`.

use clap::Parser;
use connection_worker::cli::{Cli, Command};
use connection_worker::config;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::json;

use super::amqp_url;
use super::canary::{Canary, assert_absent};
use super::job::SecretJob;
use crate::support::command::{Ran, on_terminal, run, run_with_input};
use crate::support::corner::Corner;

/// A secret in every variable, most of them no good there.
fn everywhere() -> (Vec<Canary>, Vec<(String, String)>) {
    let all = config::command::<Cli>();
    let commands = all.get_subcommands().flat_map(|command| command.get_subcommands().chain([command]));
    let settings = commands.flat_map(config::describe);
    let mut variables: Vec<String> = settings.map(|setting| setting.variable).collect();
    variables.sort();
    variables.dedup();
    let canary = |variable: &String| Canary::new(&variable.to_lowercase().replace('_', ""));
    let canaries: Vec<Canary> = variables.iter().map(canary).collect();
    let env = variables.into_iter().zip(canaries.iter().map(|canary| canary.value.clone())).collect();
    (canaries, env)
}

/// A command and what can stand behind it.
fn with_actions(command: &clap::Command) -> Vec<Vec<&str>> {
    let name = command.get_name();
    let actions = command.get_subcommands().map(|action| vec![name, action.get_name()]);
    actions.chain([vec![name]]).collect()
}

fn borrowed(env: &[(String, String)]) -> Vec<(&str, &str)> {
    env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[tokio::test]
async fn help_shows_no_value() {
    let (canaries, env) = everywhere();
    let all = config::command::<Cli>();
    let commands: Vec<Vec<&str>> = all.get_subcommands().flat_map(with_actions).collect();
    assert!(commands.len() > 7, "{commands:?}");
    for command in commands {
        let after = |flag| [&command[..], &[flag]].concat();
        for args in [after("--help"), after("-h"), after("--unknown"), [&["help"], &command[..]].concat()] {
            let ran = run(&args, &borrowed(&env)).await;
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
        for command in [&["run"][..], &["doctor"], &["submit"], &["dead-letters", "list"]] {
            let ran = run(command, &case).await;
            if [["run"], ["doctor"]].iter().any(|strict| strict == command) {
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

#[tokio::test]
async fn dead_letters_show_no_secret() {
    let corner = Corner::new().await;
    let job = SecretJob::new();
    let (password, header) = (Canary::plain("operatorpassword"), Canary::new("header"));
    let canaries = [job.canaries.clone(), vec![password.clone(), header.clone()]].concat();
    let url = amqp_url(&corner, "operator", &password).await;
    let (jobs, dead) = (corner.jobs_queue(), corner.dead_queue());
    corner.vhost.declare_quorum(&jobs).await;
    corner.vhost.declare_quorum(&dead).await;
    let mut headers = FieldTable::default();
    headers.insert("authorization".into(), AMQPValue::LongString(header.value.as_str().into()));
    headers.insert("dead-reason".into(), AMQPValue::LongString("malformed".into()));
    let properties = BasicProperties::default().with_headers(headers).with_message_id("spoilt".into());
    let good = job.json("good", "good").to_string().into_bytes();
    let letters = [vec![good, job.canaries[0].value.clone().into_bytes()], job.spoilt()].concat();
    let n = letters.len();
    corner.vhost.publish_all(&dead, letters.into_iter().map(|body| (properties.clone(), body))).await;
    let env = [("AMQP_URL", url.as_str()), ("JOB_QUEUE", &jobs), ("RUST_LOG", "trace")];
    let look = |args: &[&str], ran: &Ran, code: i32| {
        assert_eq!(ran.code, Some(code), "{args:?} {}", ran.stderr);
        assert_absent(&canaries, &args.join(" "), &format!("{}{}", ran.stdout, ran.stderr));
    };
    for args in [&["list"][..], &["show", "good"], &["show", "--reason", "malformed"]] {
        let args = [&["dead-letters"], args].concat();
        look(&args, &run(&args, &env).await, 0);
        look(&args, &on_terminal(&args, &env, "").await, 0);
    }
    let asked = ["dead-letters", "drop", "good"];
    look(&asked, &on_terminal(&asked, &env, "n\n").await, 1);
    for args in [&["dead-letters", "drop", "--yes", "good"][..], &["dead-letters", "replay", "spoilt"]] {
        look(args, &run(args, &env).await, 0);
    }
    assert_eq!(corner.vhost.depth(&jobs).await as usize, n - 1, "all of it was there");
    for queue in [jobs, dead] {
        corner.vhost.delete_queue(&queue).await;
    }
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
    let cli = Cli::parse_from(["connection-worker", "dead-letters", "list", "--amqp-url", &amqp_url]);
    assert_absent(&canaries, "Debug of Cli", &format!("{cli:?} {cli:#?}"));
    let Command::DeadLetters(options) = cli.command else { panic!("it is dead-letters") };
    let config = options.validate().unwrap();
    assert_absent(&canaries, "Debug of DeadLettersConfig", &format!("{config:?} {config:#?}"));
}
