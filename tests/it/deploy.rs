//! The files that operators start from say nothing that the worker does not know, and what belongs together fits together.
//!
//! `make ops-check` holds the same files to the schemas of Kubernetes and the rest; here they are held to the worker. They
//! are read as lines of text: whoever writes them otherwise than line by line makes these tests fail, not pass.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use connection_worker::cli::Cli;
use connection_worker::config;
use connection_worker::metrics::Metrics;

use crate::memory::largest_memory;
use crate::support::command::run;
use crate::support::http;
use crate::support::worker::WorkerProcess;
use crate::tidy::files;

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

/// Variables of other programs' images.
const FOREIGN: [&str; 3] = ["RABBITMQ_", "GF_", "CARGO_"];

/// What closing the connections may take after the drain (`src/worker.rs`).
const CLOSE: Duration = Duration::from_secs(5);

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn deployed(file: &str) -> String {
    read(Path::new(DEPLOY).join(file))
}

/// Paths and texts of the files under a folder of `deploy`, by the end of their names.
fn texts(folder: &str, ends: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for end in ends {
        files(&Path::new(DEPLOY).join(folder), end, &mut found);
    }
    assert!(!found.is_empty(), "{folder} has none of {ends:?}");
    found.into_iter().map(|path| (path.clone(), read(path))).collect()
}

/// Lines without comments, trimmed.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The values of a key, wherever it stands alone in its line.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let value = |line: &'a str| line.trim_start_matches("- ").strip_prefix(key)?.strip_prefix(": ");
    lines(text).filter_map(value).map(|value| value.trim_matches('"')).collect()
}

fn value<'a>(text: &'a str, key: &str) -> &'a str {
    let all = values(text, key);
    let [value] = all[..] else { panic!("{key} is there {} times", all.len()) };
    value
}

/// The variables of a file of settings.
fn settings(file: &str) -> BTreeMap<String, String> {
    let text = deployed(file);
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    lines(&text).map(|line| pair(line).unwrap_or_else(|| panic!("{file}: {line}"))).collect()
}

fn known_variables() -> BTreeMap<String, String> {
    let all = config::command::<Cli>();
    let run = all.find_subcommand("run").unwrap();
    config::describe(run).into_iter().map(|setting| (setting.variable, setting.default)).collect()
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// Every name that is set as a variable in a line of YAML or of a Dockerfile.
fn variables_in(text: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for line in lines(text) {
        let item = line.trim_start_matches("- ");
        if let Some(assignments) = line.strip_prefix("ENV ") {
            found
                .extend(assignments.split(' ').filter_map(|pair| pair.split_once('=')).map(|(name, _)| name));
        } else if let Some(name) = item.strip_prefix("name: ") {
            found.insert(name);
        } else if let Some((name, _)) = item.split_once([':', '=']) {
            found.insert(name);
        }
    }
    found.retain(|name| is_variable(name));
    found
}

#[test]
fn every_variable_that_is_deployed_is_a_setting() {
    let known = known_variables();
    let mut seen = BTreeSet::new();
    let mut all = texts("kubernetes", &["yaml", "env"]);
    for file in ["Dockerfile", "compose.yaml"] {
        all.push((file.into(), deployed(file)));
    }
    for (path, text) in &all {
        for name in variables_in(text) {
            let is_foreign = FOREIGN.iter().any(|prefix| name.starts_with(prefix));
            assert!(
                is_foreign || known.contains_key(name),
                "{}: {name} is no setting of `run`",
                path.display()
            );
            seen.insert(name);
        }
    }
    for name in
        ["ADMIN_ADDR", "AMQP_URL_FILE", "AMQP_URL", "CONCURRENCY", "FLOW_URL", "RABBITMQ_DEFAULT_USER"]
    {
        assert!(seen.contains(name), "{name} was not seen among {seen:?}");
    }
}

/// Fails unless these settings are right as they are: all that is left to complain of is what stops the start here.
async fn assert_right(place: &str, env: &BTreeMap<String, String>) {
    let mut env: Vec<(&str, &str)> =
        env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    env.push(("TOPOLOGY", "none"));
    let ran = run(&["run"], &env).await;
    assert_eq!(ran.code, Some(64), "{place}: {ran:?}");
    let complaints: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("  ")).collect();
    assert_eq!(complaints, ["  TOPOLOGY (--topology): expected create or verify"], "{place}");
}

#[tokio::test]
async fn the_settings_that_are_deployed_are_right() {
    let known = known_variables();
    let secrets =
        [("AMQP_URL", "amqp://127.0.0.1:1/"), ("IMS_CLIENT_ID", "id"), ("IMS_CLIENT_SECRET", "secret")];
    for overlay in ["dev", "prod"] {
        let mut env = settings("kubernetes/base/settings.env");
        env.extend(settings(&format!("kubernetes/overlays/{overlay}/settings.env")));
        for name in env.keys() {
            assert!(known.contains_key(name), "{overlay}: {name}");
        }
        env.extend(secrets.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_right(overlay, &env).await;
    }
    let compose = deployed("compose.yaml");
    let pairs = lines(&compose).filter_map(|line| line.split_once(": "));
    let env = pairs.filter(|(name, _)| known.contains_key(*name));
    let env = env.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect();
    assert_right("compose", &env).await;
}

/// A worker without a broker serves its admin port all the same.
#[tokio::test]
async fn every_path_that_is_probed_is_served() {
    let env = [("AMQP_URL", "amqp://127.0.0.1:1/"), ("ACCESS_TOKEN", "token"), ("API_KEY", "key")];
    let mut worker = WorkerProcess::start(&env);
    let addr = worker.admin_addr().await;
    let mut paths = BTreeSet::new();
    let all = texts("kubernetes", &["yaml"]);
    for (_, text) in &all {
        paths.extend(
            values(text, "path")
                .into_iter()
                .filter(|path| path.starts_with('/') && !path.starts_with("/spec")),
        );
        let inline = lines(text).filter_map(|line| line.split_once("httpGet: { path: ")?.1.split(',').next());
        paths.extend(inline);
    }
    assert_eq!(paths, BTreeSet::from(["/livez", "/metrics", "/readyz"]));
    for path in paths {
        let answer = http::get(addr, path).await.unwrap();
        assert!([200, 503].contains(&answer.status), "{path}: {answer:?}");
    }
}

/// The port that is probed, scraped and allowed is the port that is served.
#[test]
fn the_admin_port_is_the_same_everywhere() {
    let deployment = deployed("kubernetes/base/deployment.yaml");
    let port = value(&deployment, "containerPort");
    assert!(deployment.contains(&format!("value: 0.0.0.0:{port}\n")));
    let dockerfile = deployed("Dockerfile");
    assert!(dockerfile.contains(&format!("ENV ADMIN_ADDR=0.0.0.0:{port}\n")));
    assert!(dockerfile.contains(&format!("EXPOSE {port}\n")));
    assert!(known_variables()["ADMIN_ADDR"].ends_with(&format!(":{port}")));
}

fn duration(text: &str) -> Duration {
    text.parse::<jiff::SignedDuration>().unwrap().try_into().unwrap()
}

/// A pod is given the time that its drain can take, and the drain the time that a call can take.
#[test]
fn nothing_is_killed_that_could_finish() {
    let known = known_variables();
    let settings = settings("kubernetes/base/settings.env");
    let drain = duration(&settings["DRAIN_GRACE"]);
    let call = duration(&known["FLOW_TIMEOUT"]) + duration(&known["AMQP_TIMEOUT"]);
    assert!(drain >= call, "a call and its reply take {call:?}, the drain is {drain:?}");
    let grace =
        value(&deployed("kubernetes/base/deployment.yaml"), "terminationGracePeriodSeconds").to_owned();
    let grace = Duration::from_secs(grace.parse().unwrap());
    assert!(grace >= drain + CLOSE + Duration::from_secs(5), "{grace:?} for a drain of {drain:?}");
    let compose = deployed("compose.yaml");
    let grace = duration(value(&compose, "stop_grace_period"));
    assert!(grace >= duration(&known["DRAIN_GRACE"]) + CLOSE, "compose: {grace:?}");
}

/// Beside `ORGS_FILE` the worker refuses what the base says of a single credential.
#[test]
fn a_file_of_organisations_takes_the_place_of_the_credential() {
    let base = deployed("kubernetes/base/deployment.yaml");
    let component = deployed("kubernetes/components/organisations/kustomization.yaml");
    let of_one: Vec<&str> =
        variables_in(&base).into_iter().filter(|name| name.starts_with("IMS_CLIENT_")).collect();
    assert_eq!(of_one, ["IMS_CLIENT_ID", "IMS_CLIENT_SECRET_FILE"]);
    for name in of_one {
        assert!(component.contains(&format!("{{ name: {name}, $patch: delete }}")), "{name} stays");
    }
    assert!(variables_in(&component).contains("ORGS_FILE"));
}

/// Every job in flight may be as large as the limits allow, and the alert comes before the end.
#[test]
fn a_pod_has_the_memory_that_its_jobs_can_need() {
    let known = known_variables();
    let concurrency: u64 = settings("kubernetes/base/settings.env")["CONCURRENCY"].parse().unwrap();
    assert_eq!(known["MAX_JOB_SIZE"], "1MiB");
    let deployment = deployed("kubernetes/base/deployment.yaml");
    let mebibytes = |text: &str| text.strip_suffix("Mi").expect(text).parse::<u64>().unwrap();
    let limit = mebibytes(values(&deployment, "memory").last().unwrap());
    assert!(limit << 20 >= largest_memory(concurrency, 1 << 20), "{limit} MiB");
    let alert = format!("process_resident_memory_bytes > {} * 1024 * 1024", limit * 4 / 5);
    assert!(deployed("prometheus/rules.yaml").contains(&alert), "no {alert}");
}

#[test]
fn the_autoscalers_look_at_the_jobs_and_aim_below_the_concurrency() {
    let known = known_variables();
    let concurrency: u32 = settings("kubernetes/base/settings.env")["CONCURRENCY"].parse().unwrap();
    let aim = (concurrency * 3 / 4).to_string();
    let keda = deployed("kubernetes/components/keda/scaled-object.yaml");
    assert_eq!(value(&keda, "value"), aim);
    // What is held back waits for Flow Service, not for a worker.
    let sources = format!(r"'^{}(\.overflow)?$'", known["JOB_QUEUE"].replace('.', r"\."));
    assert_eq!(value(&keda, "queueName"), sources);
    assert_eq!((value(&keda, "useRegex"), value(&keda, "operation")), ("true", "sum"));
    // Only so are unacknowledged messages counted.
    assert_eq!((value(&keda, "protocol"), value(&keda, "excludeUnacknowledged")), ("http", "false"));
    // A fixed number of pods while RabbitMQ's API is away would be fewer than are at work.
    assert!(!keda.contains("\n  fallback:"));
    let hpa = deployed("kubernetes/components/hpa/horizontal-pod-autoscaler.yaml");
    assert_eq!(value(&hpa, "averageValue"), aim);
    assert!(hpa.contains("name: connection_worker_organisation_jobs_in_flight"), "jobs without a slot count");
    for (what, text) in [("keda", keda), ("hpa", hpa)] {
        let windows = values(&text, "stabilizationWindowSeconds");
        assert_eq!(windows, ["0", "600"], "{what}: up at once, down slowly");
    }
}

/// Every name in a text that begins as our metrics do.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let rest_of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.match_indices("connection_worker_")
        .filter_map(|(at, _)| text.get(at..)?.split(|c| !rest_of_name(c)).next())
        .collect()
}

#[test]
fn every_metric_that_is_named_exists() {
    let known: BTreeSet<String> =
        Metrics::new().unwrap().describe().into_iter().map(|metric| metric.name).collect();
    let mut all = texts("kubernetes", &["yaml", "md"]);
    for file in ["compose.yaml", "scaling.md"] {
        all.push((file.into(), deployed(file)));
    }
    let mut count = 0;
    for (path, text) in &all {
        for name in metrics_in(text) {
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let is_known = known.contains(name) || family.is_some_and(|family| known.contains(family));
            assert!(is_known, "{}: there is no metric {name}", path.display());
            count += 1;
        }
    }
    assert!(count >= 2, "only {count} were found");
}

#[test]
fn no_manifest_holds_a_secret() {
    for (path, text) in texts("kubernetes", &["yaml", "env"]) {
        for line in lines(&text) {
            let holds =
                ["kind: Secret", "stringData:", "secretGenerator:"].iter().any(|key| line.starts_with(key));
            assert!(!holds, "{}: {line}", path.display());
        }
        for name in known_variables().keys().filter(|name| name.ends_with("_FILE")) {
            let inline = name.trim_end_matches("_FILE");
            assert!(
                !variables_in(&text).contains(inline),
                "{}: {inline} belongs into a secret",
                path.display()
            );
        }
    }
}

#[test]
fn what_is_deployed_has_the_version_of_the_project() {
    let version = env!("CARGO_PKG_VERSION");
    for overlay in ["dev", "prod"] {
        let text = deployed(&format!("kubernetes/overlays/{overlay}/kustomization.yaml"));
        let tags = values(&text, "newTag");
        assert!(!tags.is_empty() && tags.iter().all(|tag| *tag == version), "{overlay}: {tags:?}");
    }
    let texts = [deployed("compose.yaml"), deployed("kubernetes/README.md")];
    let images = texts.iter().flat_map(|text| text.split_whitespace());
    let tags: Vec<&str> = images
        .filter(|word| word.starts_with("connection-worker"))
        .filter_map(|word| word.split_once(':').map(|(_, tag)| tag))
        .collect();
    assert!(tags.len() >= 4 && tags.iter().all(|tag| *tag == version), "{tags:?}");
}

/// The words of a command in a Dockerfile or a compose file, from the program's name on.
fn commands(text: &str) -> Vec<Vec<String>> {
    let words = |line: &str| {
        let array = line.get(line.find('[')?..=line.rfind(']')?)?;
        let words: Vec<String> = serde_json::from_str(array).ok()?;
        let at = words.iter().position(|word| word.ends_with("connection-worker"))?;
        Some(words[at..].to_vec())
    };
    lines(text).filter_map(words).collect()
}

#[test]
fn every_command_that_is_deployed_is_understood() {
    let mut count = 0;
    for file in ["Dockerfile", "compose.yaml"] {
        for mut words in commands(&deployed(file)) {
            if words.len() == 1 {
                // What the image runs unless told otherwise.
                words.push("--help".to_owned());
            }
            match config::command::<Cli>().try_get_matches_from(&words) {
                Ok(_) => {}
                Err(error) => assert!(!error.use_stderr(), "{file}: {words:?}: {error}"),
            }
            count += 1;
        }
    }
    assert!(count >= 3, "only {count} were found");
}

#[test]
fn the_rules_see_what_they_are_to_see() {
    let yaml =
        "# NO_COMMENT: 1\nenv:\n  - name: AMQP_URL\n  LOG_FORMAT: json\n  - name: not\nENV A_B=1 C=2\nX_Y=z";
    assert_eq!(variables_in(yaml), BTreeSet::from(["A_B", "AMQP_URL", "C", "LOG_FORMAT", "X_Y"]));
    assert_eq!(values("a: 1\n  - a: \"2\"\n  # a: 3\n  ba: 4", "a"), ["1", "2"]);
    assert_eq!(
        metrics_in("sum(connection_worker_x_total{a=\"b\"}) connection_worker_y"),
        BTreeSet::from(["connection_worker_x_total", "connection_worker_y"])
    );
    assert_eq!(commands("CMD [\"/bin/connection-worker\", \"run\"]"), [["/bin/connection-worker", "run"]]);
}
