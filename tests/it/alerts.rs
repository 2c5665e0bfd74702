//! The alerts: that they fire, what they name, and that whoever is called finds out what to do. `BLESS=1`
//! (`make alerts-write`) writes what follows from `deploy/prometheus/rules.yaml`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use connection_worker::metrics::Metrics;

use crate::support::env;
use crate::support::prometheus::tool;

const RULES: &str = "deploy/prometheus/rules.yaml";
const RULES_TEST: &str = "deploy/prometheus/rules_test.yaml";
const KUBERNETES: &str = "deploy/kubernetes/base/prometheus-rule.yaml";
const RUNBOOK: &str = "deploy/runbook.md";
const DASHBOARD: &str = "deploy/grafana/connection-worker.json";

/// What comes before the rules in a cluster that has the Prometheus Operator.
const KUBERNETES_HEAD: &str = "\
# Written from deploy/prometheus/rules.yaml by `make alerts-write`: change that one.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: connection-worker
spec:
";

fn path(name: &str) -> String {
    format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Where the runbook can be read, as the rules say at their top.
fn runbook_url(rules: &str) -> &str {
    rules
        .lines()
        .find_map(|line| line.strip_prefix("# runbook: "))
        .expect("rules.yaml says where the runbook is")
}

/// The alerts by name, each with all that is said of it.
fn alerts(rules: &str) -> Vec<(&str, &str)> {
    rules
        .split("- alert: ")
        .skip(1)
        .map(|alert| alert.split_once('\n').expect("it has an expression"))
        .collect()
}

/// Every metric of the worker that is named in a text, without what a histogram adds to it.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_name(c)).filter(|word| word.len() > "connection_worker_".len());
    let ours = words.filter(|word| word.starts_with("connection_worker_"));
    let shorten = |word| {
        let ends = ["_bucket", "_sum", "_count"];
        ends.into_iter().find_map(|end| str::strip_suffix(word, end)).unwrap_or(word)
    };
    ours.map(shorten).collect()
}

/// The rules with the runbook's address in every alert.
fn with_urls(rules: &str) -> String {
    let url = runbook_url(rules);
    let mut text = String::new();
    let mut alert = "";
    for line in rules.lines() {
        if let Some((_, name)) = line.split_once("- alert: ") {
            alert = name;
        }
        match line.split_once("runbook_url: ") {
            Some((indent, _)) => {
                writeln!(text, "{indent}runbook_url: {url}#{}", alert.to_lowercase())
                    .expect("a string takes it");
            }
            None => writeln!(text, "{line}").expect("a string takes it"),
        }
    }
    text
}

/// The same rules for the Prometheus Operator.
fn for_kubernetes(rules: &str) -> String {
    let groups = rules.get(rules.find("groups:\n").expect("there are rules")..).expect("that is ASCII");
    groups.lines().fold(KUBERNETES_HEAD.to_owned(), |mut text, line| {
        let indent = if line.is_empty() { "" } else { "  " };
        writeln!(text, "{indent}{line}").expect("a string takes it");
        text
    })
}

fn assert_is(name: &str, expected: &str) {
    if env("BLESS").is_some() {
        fs::write(path(name), expected).unwrap();
    }
    let said = fs::read_to_string(path(name)).unwrap_or_default();
    let lines = said.lines().zip(expected.lines()).find(|(said, expected)| said != expected);
    assert!(said == expected, "{name}: run `make alerts-write`; the first difference: {lines:#?}");
}

#[test]
fn what_follows_from_the_rules_is_as_they_say() {
    let rules = with_urls(&read(RULES));
    let url = runbook_url(&rules);
    let test = read(RULES_TEST);
    let dashboard = read(DASHBOARD);
    assert_is(RULES, &rules);
    assert_is(KUBERNETES, &for_kubernetes(&rules));
    assert_is(RULES_TEST, &at_runbook(&test, url));
    assert_is(DASHBOARD, &at_runbook(&dashboard, url));
}

/// A text with all addresses of the runbook changed to this one.
fn at_runbook(text: &str, url: &str) -> String {
    let mut parts = text.split("/deploy/runbook.md");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |before, after| {
        let start = before.rfind("https://").expect("an address comes before it");
        format!("{}{url}{after}", before.get(..start).expect("a character starts there"))
    })
}

#[test]
fn every_alert_says_all_that_a_person_needs() {
    let rules = read(RULES);
    let alerts = alerts(&rules);
    assert!(alerts.len() >= 20, "{}", alerts.len());
    for (name, text) in &alerts {
        assert!(name.starts_with("ConnectionWorker"), "{name}");
        let severity = text.split_once("severity: ").and_then(|(_, rest)| rest.lines().next());
        assert!(severity.is_some_and(|severity| ["page", "ticket", "none"].contains(&severity)), "{name}");
        for part in ["expr: ", "summary: ", "description: ", "runbook_url: "] {
            assert_eq!(text.matches(part).count(), 1, "{name}: {part}");
        }
    }
    let names: BTreeSet<&str> = alerts.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), alerts.len(), "two alerts have one name");
}

/// In the same order, because a person looks for the one beside the other.
#[test]
fn every_alert_has_a_section_in_the_runbook() {
    let (rules, runbook) = (read(RULES), read(RUNBOOK));
    let alerts: Vec<&str> = alerts(&rules).into_iter().map(|(name, _)| name).collect();
    let sections: Vec<&str> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .filter(|title| !title.contains(' '))
        .collect();
    assert_eq!(sections, alerts);
    for section in runbook.split("\n## ").skip(1).filter(|section| section.starts_with("ConnectionWorker")) {
        let name = section.lines().next().unwrap_or_default();
        for part in ["**Means** ", "**Look**", "**Do**", "**Over** "] {
            assert!(section.contains(part), "{name}: {part}");
        }
    }
    let places: Vec<String> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|title| title.to_lowercase().replace(' ', "-"))
        .collect();
    let dashboard = read(DASHBOARD);
    let here = runbook.split("](#").skip(1).filter_map(|rest| rest.split(')').next());
    let there = dashboard.split("/runbook.md#").skip(1).filter_map(|rest| rest.split('"').next());
    for anchor in here.chain(there) {
        assert!(places.iter().any(|place| place == anchor), "there is no section #{anchor}");
    }
}

#[test]
fn every_metric_that_is_named_exists() {
    let described = Metrics::new().unwrap().describe();
    let known: BTreeSet<&str> = described.iter().map(|metric| metric.name.as_str()).collect();
    let kubernetes = ["deploy/kubernetes", "deploy/prometheus", "deploy/grafana"];
    assert!(kubernetes.iter().all(|dir| fs::metadata(path(dir)).is_ok()));
    for file in [RULES, RULES_TEST, RUNBOOK, DASHBOARD] {
        let text = read(file);
        let named = metrics_in(&text);
        assert!(!named.is_empty(), "{file}");
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{file} names what is not there: {unknown:?}");
    }
}

/// What the runbook looks for in the log, the worker writes.
#[test]
fn every_line_that_the_runbook_looks_for_is_logged() {
    let sources = [
        "src/app.rs",
        "src/telemetry.rs",
        "src/admission.rs",
        "src/handler/lookup.rs",
        "src/reload.rs",
        "src/traces/otlp.rs",
        "src/worker/answer.rs",
    ];
    let code: String = sources.map(read).concat();
    let runbook = read(RUNBOOK);
    let looked_for = runbook.split("grep '").skip(1).filter_map(|rest| rest.split('\'').next());
    let mut number = 0;
    for text in looked_for {
        let message = text.trim_start_matches(r#""message":"#).trim_matches('"');
        assert!(code.contains(message), "nobody logs {message:?}");
        number += 1;
    }
    assert!(number >= 4, "{number}");
    // By label, kubectl shows the last ten lines of each pod, unless it is told.
    let by_label: Vec<&str> = runbook.lines().filter(|line| line.contains("logs -l ")).collect();
    assert!(!by_label.is_empty() && by_label.iter().all(|line| line.contains("--tail=-1")), "{by_label:?}");
}

/// The cases themselves are looked at by `promtool`, and each lists all that fires: so it is silent in all others.
#[test]
fn every_alert_has_a_case_in_which_it_fires() {
    let (rules, cases) = (read(RULES), read(RULES_TEST));
    for (name, _) in alerts(&rules) {
        let fires = format!("{{alertname=\"{name}\"}}', value: ");
        assert!(cases.contains(&fires), "{name} fires in no case");
    }
}

#[test]
fn promtool_finds_the_alerts_to_fire_as_they_should() {
    for (what, file) in [("check", RULES), ("test", RULES_TEST)] {
        let Some(mut promtool) = tool("promtool") else { return };
        let ran = promtool.args([what, "rules", &path(file)]).output().unwrap();
        let said = [ran.stdout, ran.stderr].concat();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn names_of_metrics_are_found_in_any_text() {
    let text =
        "rate(connection_worker_a_total{x=\"connection_worker\"}[5m]) / connection_worker_b_seconds_bucket";
    assert_eq!(
        metrics_in(text),
        BTreeSet::from(["connection_worker_a_total", "connection_worker_b_seconds"])
    );
    assert_eq!(at_runbook("a https://x/deploy/runbook.md#b", "https://y"), "a https://y#b");
}
