//! The configuration from the operator's side: everything that is wrong is told at once, by name, before anything starts.

use std::collections::BTreeSet;
use std::io::Write;

use connection_worker::cli::Cli;
use connection_worker::config;
use tempfile::NamedTempFile;

use crate::support::command::{Ran, run, run_with_input};

/// A configuration that is right. Nobody listens at these addresses, and nobody is asked to.
const RIGHT: [(&str, &str); 3] =
    [("AMQP_URL", "amqp://127.0.0.1:1/"), ("ACCESS_TOKEN", "token"), ("API_KEY", "key")];

/// Ends every start before it begins, so that what is right can be told by the absence of any other complaint.
const STOP: (&str, &str) = ("TOPOLOGY", "none");

const USAGE: Option<i32> = Some(64);

/// What the worker says is wrong, by variable; fails the test if it starts.
async fn problems(env: &[(&str, &str)]) -> Vec<(String, String)> {
    problems_of(&["run"], env).await
}

async fn problems_of(args: &[&str], env: &[(&str, &str)]) -> Vec<(String, String)> {
    let ran = run(args, env).await;
    assert_eq!(ran.code, USAGE, "{ran:?}");
    assert_eq!(ran.stdout, "");
    let listed: Vec<(String, String)> = ran
        .stderr
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .map(|line| {
            let (name, rest) = line.split_once(" (--").unwrap_or_else(|| panic!("{line}"));
            let (flag, what) = rest.split_once("): ").unwrap_or_else(|| panic!("{line}"));
            assert_eq!(flag, name.to_lowercase().replace('_', "-"));
            (name.to_owned(), what.to_owned())
        })
        .collect();
    assert!(!listed.is_empty(), "refused without a reason: {ran:?}");
    listed
}

/// The names alone, for [`RIGHT`] with changes and [`STOP`].
async fn complaints(changes: &[(&str, &str)]) -> Vec<String> {
    let problems = problems(&[&RIGHT, changes, &[STOP]].concat()).await;
    problems.into_iter().map(|(name, _)| name).filter(|name| name != STOP.0).collect()
}

fn file_with(content: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file
}

fn path(file: &NamedTempFile) -> &str {
    file.path().to_str().unwrap()
}

#[tokio::test]
async fn all_problems_are_told_at_once_by_name() {
    let problems = problems(&[
        ("CONCURRENCY", "many"),
        ("RETRY_BASE", "5"),
        ("FLOW_URL", "flow.example.com"),
        ("IMS_ORG_ID", "an org"),
        ("LOG_FORMAT", "xml"),
        ("RUST_LOG", "a=b=c"),
        ("AMQP_CERT_FILE", "/nowhere/cert.pem"),
    ])
    .await;
    let names: BTreeSet<&str> = problems.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "AMQP_CERT_FILE",
        "AMQP_KEY_FILE",
        "AMQP_URL",
        "CONCURRENCY",
        "FLOW_URL",
        "IMS_CLIENT_ID",
        "IMS_ORG_ID",
        "LOG_FORMAT",
        "RETRY_BASE",
        "RUST_LOG",
    ];
    assert_eq!(names, BTreeSet::from(expected), "{problems:#?}");
    assert_eq!(problems.len(), names.len(), "each is told once: {problems:#?}");
}

#[tokio::test]
async fn what_is_right_raises_no_complaint() {
    assert_eq!(complaints(&[]).await, [""; 0]);
}

#[tokio::test]
async fn an_empty_variable_counts_as_unset() {
    let variables = variables("run");
    let empty: Vec<(&str, &str)> = variables.iter().map(|name| (name.as_str(), "")).collect();
    assert_eq!(problems(&empty).await, problems(&[]).await);
}

#[tokio::test]
async fn a_flag_beats_its_variable() {
    let env = [&RIGHT[..], &[("CONCURRENCY", "many"), STOP]].concat();
    let problems = problems_of(&["run", "--concurrency", "7"], &env).await;
    assert_eq!(problems.iter().map(|(name, _)| name).collect::<Vec<_>>(), [STOP.0]);
}

#[tokio::test]
async fn secrets_may_be_in_files() {
    let (url, token, key) = (file_with("amqp://127.0.0.1:1/\n"), file_with("token\n"), file_with("key\r\n"));
    let files =
        [("AMQP_URL_FILE", path(&url)), ("ACCESS_TOKEN_FILE", path(&token)), ("API_KEY_FILE", path(&key))];
    let names: Vec<String> =
        problems(&[&files[..], &[STOP]].concat()).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [STOP.0]);

    let secret = file_with("client-secret");
    let ims = [RIGHT[0], ("IMS_CLIENT_ID", "id"), ("IMS_CLIENT_SECRET_FILE", path(&secret)), STOP];
    let names: Vec<String> = problems(&ims).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [STOP.0]);
}

#[tokio::test]
async fn a_secret_given_twice_is_one_problem() {
    let file = file_with("amqp://127.0.0.1:1/");
    for (name, file_name) in
        [("AMQP_URL", "AMQP_URL_FILE"), ("ACCESS_TOKEN", "ACCESS_TOKEN_FILE"), ("API_KEY", "API_KEY_FILE")]
    {
        assert_eq!(complaints(&[(file_name, path(&file))]).await, [name]);
    }
    let ims = [
        RIGHT[0],
        ("IMS_CLIENT_ID", "id"),
        ("IMS_CLIENT_SECRET", "s"),
        ("IMS_CLIENT_SECRET_FILE", path(&file)),
    ];
    let problems = problems(&ims).await;
    let given_twice = "given twice: as IMS_CLIENT_SECRET and as IMS_CLIENT_SECRET_FILE".to_owned();
    assert_eq!(problems, [("IMS_CLIENT_SECRET".to_owned(), given_twice)]);
}

#[tokio::test]
async fn a_secret_that_cannot_be_had_is_told_by_the_variable_that_names_it() {
    let empty = file_with("\n");
    for (name, variable) in
        [("AMQP_URL", "AMQP_URL_FILE"), ("ACCESS_TOKEN", "ACCESS_TOKEN_FILE"), ("API_KEY", "API_KEY_FILE")]
    {
        for file in ["/nowhere/secret", path(&empty)] {
            assert_eq!(complaints(&[(name, ""), (variable, file)]).await, [variable], "{file}");
        }
    }
    let ims = [RIGHT[0], ("IMS_CLIENT_ID", "id"), ("IMS_CLIENT_SECRET_FILE", "/nowhere/secret")];
    let problems = problems(&ims).await;
    assert_eq!(problems[0].0, "IMS_CLIENT_SECRET_FILE");
    assert!(problems[0].1.contains("No such file"), "{problems:?}");
    assert_eq!(problems.len(), 1, "{problems:?}");
}

#[tokio::test]
async fn an_empty_secret_is_told_by_its_name() {
    // Only a flag can be empty: an empty variable counts as unset.
    for (flag, name) in
        [("--amqp-url", "AMQP_URL"), ("--access-token", "ACCESS_TOKEN"), ("--api-key", "API_KEY")]
    {
        let problems = problems_of(&["run", flag, ""], &[&RIGHT[..], &[STOP]].concat()).await;
        let names: Vec<&str> =
            problems.iter().map(|(name, _)| name.as_str()).filter(|name| *name != STOP.0).collect();
        assert_eq!(names, [name]);
    }
}

#[tokio::test]
async fn one_way_to_log_in_is_needed_and_not_two() {
    assert_eq!(complaints(&[("IMS_CLIENT_ID", "id")]).await, ["ACCESS_TOKEN"]);
    assert_eq!(complaints(&[("API_KEY", "")]).await, ["API_KEY"]);
    assert_eq!(complaints(&[("ACCESS_TOKEN", ""), ("API_KEY", "")]).await, ["IMS_CLIENT_ID"]);
    let ims = [("ACCESS_TOKEN", ""), ("API_KEY", ""), ("IMS_CLIENT_ID", "id")];
    assert_eq!(complaints(&ims).await, ["IMS_CLIENT_SECRET"]);
}

/// Variable, too little, the least, the most, too much.
const BOUNDS: [(&str, &str, &str, &str, &str); 21] = [
    ("VERIFY_TIMEOUT", "99ms", "100ms", "45s", "46s"),
    ("CONCURRENCY", "0", "1", "2000", "2001"),
    ("PUBLISH_CHANNELS", "0", "1", "1000", "1001"),
    ("MAX_JOB_SIZE", "1023", "1KiB", "128MiB", "134217729"),
    ("DRAIN_GRACE", "-1s", "0s", "20m", "1201s"),
    ("BROKER_GIVE_UP", "999ms", "1s", "24h", "86401s"),
    ("AMQP_HEARTBEAT", "999ms", "1s", "5m", "301s"),
    ("AMQP_TIMEOUT", "99ms", "100ms", "5m", "301s"),
    ("FLOW_TIMEOUT", "9ms", "10ms", "3m", "181s"),
    ("FLOW_CONNECT_TIMEOUT", "9ms", "10ms", "1m", "61s"),
    ("RETRY_ATTEMPTS", "0", "1", "100", "101"),
    ("RETRY_BASE", "999us", "1ms", "1m", "61s"),
    ("RETRY_MAX", "999us", "1ms", "1h", "3601s"),
    ("RETRY_AFTER_MAX", "-1s", "0s", "1h", "3601s"),
    ("RETRY_HOLD", "-1s", "0s", "5m", "301s"),
    ("RETRY_DEADLINE", "-1s", "0s", "168h", "604801s"),
    ("LOOKUPS", "0", "1", "10", "11"),
    ("LOOKUP_PAUSE", "-1s", "0s", "1m", "61s"),
    ("LOOKUP_SETTLE", "-1s", "0s", "1h", "3601s"),
    ("JOB_QUEUE", "amq.jobs", "j", "jobs", ""),
    ("REPLY_QUEUE", "amq.replies", "r", "replies", ""),
];

/// What a job's time in hand depends on: each can be at its most, but only while the others are not.
const TIME_IN_HAND: [&str; 4] = ["FLOW_TIMEOUT", "RETRY_HOLD", "LOOKUPS", "LOOKUP_PAUSE"];

#[tokio::test]
async fn bounds_hold_and_belong_to_the_allowed() {
    let pick = |column: usize| -> Vec<(&str, &str)> {
        BOUNDS
            .iter()
            .map(|(name, below, least, most, above)| (*name, [*below, *least, *most, *above][column]))
            .filter(|(_, value)| !value.is_empty())
            .collect()
    };
    let (least, most) = (pick(1), pick(2));
    assert_eq!(complaints(&least).await, [""; 0]);
    for longest in TIME_IN_HAND {
        let shorter = |name: &str| TIME_IN_HAND.contains(&name) && name != longest;
        let shorter: Vec<_> = least.iter().copied().filter(|(name, _)| shorter(name)).collect();
        assert_eq!(complaints(&[&most[..], &shorter].concat()).await, [""; 0], "{longest}");
    }
    assert_eq!(complaints(&most).await, ["FLOW_TIMEOUT"]);
    for refused in [0, 3] {
        let given = pick(refused);
        let names: BTreeSet<&str> = given.iter().map(|(name, _)| *name).collect();
        let told = complaints(&given).await;
        assert_eq!(told.iter().map(String::as_str).collect::<BTreeSet<_>>(), names);
    }
}

/// RabbitMQ would take the job back, and everything in hand with it.
#[tokio::test]
async fn settings_by_which_a_job_could_be_in_hand_for_too_long_are_refused() {
    let slow = ("FLOW_TIMEOUT", "2m");
    let problems = problems(&[&RIGHT[..], &[slow]].concat()).await;
    let [(name, what)] = &problems[..] else { panic!("{problems:?}") };
    assert_eq!(name, "FLOW_TIMEOUT");
    for other in ["LOOKUPS", "LOOKUP_PAUSE", "RETRY_HOLD"] {
        assert!(what.contains(other), "{what}");
    }
    assert_eq!(complaints(&[slow, ("LOOKUPS", "2")]).await, [""; 0]);
    let less_slow = ("FLOW_TIMEOUT", "90s");
    assert_eq!(complaints(&[less_slow]).await, [""; 0]);
    for too_much in [("LOOKUPS", "4"), ("LOOKUP_PAUSE", "10s"), ("RETRY_HOLD", "1m")] {
        assert_eq!(complaints(&[less_slow, too_much]).await, ["FLOW_TIMEOUT"], "{too_much:?}");
    }
}

#[tokio::test]
async fn a_value_out_of_bounds_is_answered_with_the_bounds() {
    let problems = problems(&[&RIGHT[..], &[("CONCURRENCY", "2001"), ("RETRY_MAX", "2h")]].concat()).await;
    assert_eq!(problems[0].1, "out of range, expected 1ms to 3600s");
    assert_eq!(problems[1].1, "out of range, expected 1 to 2000");
}

#[tokio::test]
async fn every_choice_names_what_can_be_chosen() {
    for (name, expected) in [
        ("AMQP_AUTH", "expected plain or external"),
        ("TOPOLOGY", "expected create or verify"),
        ("JOB_MARKER", "expected on or off"),
        ("LOG_FORMAT", "expected text or json"),
        ("ADMIN_ADDR", "not an address, expected IP:PORT such as 127.0.0.1:9464 or [::]:9464"),
    ] {
        let problems = problems(&[&RIGHT[..], &[(name, "9464")]].concat()).await;
        assert_eq!(problems, [(name.to_owned(), expected.to_owned())]);
    }
}

#[tokio::test]
async fn urls_are_checked_before_they_are_used() {
    for name in ["FLOW_URL", "IMS_URL"] {
        // Both without a fixed token: then IMS is called.
        let ims =
            [("ACCESS_TOKEN", ""), ("API_KEY", ""), ("IMS_CLIENT_ID", "id"), ("IMS_CLIENT_SECRET", "s")];
        for bad in [
            "platform.adobe.io",
            "ftp://host",
            "https://u:p@host",
            "https://host?a=b",
            "https://host#f",
            "https://",
        ] {
            assert_eq!(complaints(&[&ims[..], &[(name, bad)]].concat()).await, [name], "{bad}");
        }
        for good in ["http://127.0.0.1:8080/", "https://host/a/path"] {
            assert_eq!(complaints(&[&ims[..], &[(name, good)]].concat()).await, [""; 0], "{good}");
        }
    }
    for bad in
        ["rabbit", "http://rabbit", "amqp://", "amqp://u:p@[::1]/", "amqp://h/a/b", "amqp://h/?heartbeat=x"]
    {
        assert_eq!(complaints(&[("AMQP_URL", bad)]).await, ["AMQP_URL"], "{bad}");
    }
    assert_eq!(complaints(&[("AMQP_URL", "amqps://user:p%40ss@rabbit.example.com/vhost")]).await, [""; 0]);
}

#[tokio::test]
async fn certificates_come_with_their_key_and_can_be_read() {
    let pem = file_with("pem");
    let (cert, key) = (("AMQP_CERT_FILE", path(&pem)), ("AMQP_KEY_FILE", path(&pem)));
    assert_eq!(complaints(&[cert, key, ("AMQP_AUTH", "external")]).await, [""; 0]);
    assert_eq!(complaints(&[cert]).await, ["AMQP_KEY_FILE"]);
    assert_eq!(complaints(&[key]).await, ["AMQP_CERT_FILE"]);
    assert_eq!(complaints(&[("AMQP_AUTH", "external")]).await, ["AMQP_AUTH"]);
    let absent = ("AMQP_CA_FILE", "/nowhere/ca.pem");
    assert_eq!(complaints(&[absent]).await, ["AMQP_CA_FILE"]);
}

#[tokio::test]
async fn replies_may_not_go_where_jobs_come_from() {
    for replies in ["q", "q.dead", "q.retry.10s"] {
        assert_eq!(
            complaints(&[("JOB_QUEUE", "q"), ("REPLY_QUEUE", replies)]).await,
            ["REPLY_QUEUE"],
            "{replies}"
        );
    }
    let longest = "q".repeat(200);
    assert_eq!(complaints(&[("JOB_QUEUE", &longest)]).await, [""; 0]);
    assert_eq!(complaints(&[("JOB_QUEUE", &format!("{longest}q"))]).await, ["JOB_QUEUE"]);
}

#[tokio::test]
async fn a_wrong_command_line_is_a_usage_error() {
    for args in [
        &["run", "--colour", "red"][..],
        &["run", "now"],
        &["fly"],
        &[],
        &["schema"],
        &["submit", "--count", "x"],
    ] {
        let Ran { code, stdout, stderr } = run(args, &[]).await;
        assert_eq!(code, USAGE, "{args:?}: {stderr}");
        assert_eq!(stdout, "", "{args:?}");
        assert!(stderr.contains("--help"), "{args:?}: {stderr}");
    }
}

#[tokio::test]
async fn help_and_version_are_answers() {
    for command in [&[][..], &["run"], &["probe"], &["submit"], &["schema"], &["simulate"]] {
        let help = run(&[command, &["--help"]].concat(), &[]).await;
        assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""), "{command:?}");
        assert!(help.stdout.contains("Usage: connection-worker"), "{command:?}: {}", help.stdout);
        let version = run(&[command, &["--version"]].concat(), &[]).await;
        assert_eq!((version.code, version.stderr.as_str()), (Some(0), ""), "{command:?}");
        assert!(
            version.stdout.trim_end().ends_with(env!("CARGO_PKG_VERSION")),
            "{command:?}: {}",
            version.stdout
        );
    }
}

/// The environment variables of a command.
fn variables(command: &str) -> Vec<String> {
    let all = config::command::<Cli>();
    let command = all.find_subcommand(command).unwrap();
    config::describe(command).into_iter().map(|setting| setting.variable).collect()
}

#[tokio::test]
async fn every_variable_is_in_the_help_with_a_flag_of_the_same_name() {
    for command in ["run", "submit"] {
        let help = run(&[command, "--help"], &[]).await.stdout;
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let variables = variables(command);
        assert!(variables.len() > 10, "{variables:?}");
        for variable in variables {
            let flag = format!("--{} <", variable.to_lowercase().replace('_', "-"));
            assert!(help.contains(&flag), "{command}: no {flag} in\n{help}");
            assert!(help.contains(&format!("[env: {variable}")), "{command}: no {variable} in\n{help}");
        }
    }
}

#[tokio::test]
async fn every_setting_says_what_it_means() {
    let all = config::command::<Cli>();
    for setting in config::describe(all.find_subcommand("run").unwrap()) {
        assert!(setting.help.len() > 10, "{setting:?}");
    }
}

#[tokio::test]
async fn credentials_go_to_no_other_machine_in_the_clear() {
    let ims = [("ACCESS_TOKEN", ""), ("API_KEY", ""), ("IMS_CLIENT_ID", "id"), ("IMS_CLIENT_SECRET", "s")];
    for name in ["FLOW_URL", "IMS_URL"] {
        for exposed in
            ["http://10.0.0.1:8080/", "http://service", "http://127.0.0.1.example.com", "http://0.0.0.0/"]
        {
            let changes = [&ims[..], &[(name, exposed)]].concat();
            let problems = problems(&[&RIGHT[..], &changes].concat()).await;
            let [(refused, what)] = &problems[..] else { panic!("{problems:?}") };
            assert_eq!(refused, name, "{exposed}");
            assert!(what.contains("https://") && what.contains("ALLOW_PLAIN_HTTP=on"), "{what}");
            let allowed = [&changes[..], &[("ALLOW_PLAIN_HTTP", "on")]].concat();
            assert_eq!(complaints(&allowed).await, [""; 0], "{exposed}");
        }
        for safe in ["http://localhost:8080", "http://127.1.2.3", "http://[::1]:8080", "https://service"] {
            assert_eq!(complaints(&[&ims[..], &[(name, safe)]].concat()).await, [""; 0], "{safe}");
        }
    }
    assert_eq!(complaints(&[("ALLOW_PLAIN_HTTP", "yes")]).await, ["ALLOW_PLAIN_HTTP"]);
}

/// In TEST-NET-1 (RFC 5737), where nobody is.
const ELSEWHERE: &str = "192.0.2.1:5672";

#[tokio::test]
async fn a_plain_connection_to_a_broker_elsewhere_is_warned_of_once() {
    let admin = ("ADMIN_ADDR", "127.0.0.1:0");
    let soon = [("AMQP_TIMEOUT", "200ms"), ("BROKER_GIVE_UP", "1s"), admin];
    let warning = "over plain amqp://";
    for args in [&["run"][..], &["submit"], &["dead-letters", "list"]] {
        for (scheme, host, times) in [
            ("amqp", ELSEWHERE, 1),
            ("amqps", ELSEWHERE, 0),
            ("amqp", "127.0.0.1:1", 0),
            ("amqp", "localhost:1", 0),
        ] {
            let url = format!("{scheme}://user:pa55-canary@{host}/");
            let env = [&RIGHT[..], &[("AMQP_URL", &*url)], &soon].concat();
            let ran = run_with_input(args, &env, r#"{"jobId":"x"}"#).await;
            assert_eq!(ran.code, Some(69), "{args:?} {url}: {ran:?}");
            assert_eq!(ran.stderr.matches(warning).count(), times, "{args:?} {url}: {}", ran.stderr);
            assert!(!ran.stderr.contains("canary"), "{}", ran.stderr);
        }
    }
}
