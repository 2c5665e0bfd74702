//! The tables of the README, and the one of the scaling guide, say what the code says. `BLESS=1` (`make readme`) writes them anew.

use std::fmt::Write as _;
use std::fs;

use connection_worker::cli::{Cli, Exit};
use connection_worker::config;
use connection_worker::metrics::Metrics;
use connection_worker::sources::{self, Auth, Basis};

use crate::bench::figures::{Metric, RATIO};
use crate::bench::results::{FULL_RUN, Results};
use crate::support::env;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

const SCALING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/scaling.md");

/// Several tests rewrite one file.
static WRITING: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Fit for a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{}`", cell(text)) }
}

fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        writeln!(table, "| {} |", row.join(" | ")).expect("a string takes it");
    }
    table
}

/// Every setting of `run`; the flag is the variable in lower case with dashes.
fn settings() -> String {
    let all = config::command::<Cli>();
    let run = all.find_subcommand("run").expect("the worker can run");
    let rows = config::describe(run);
    let rows = rows.iter().map(|row| vec![code(&row.variable), code(&row.default), cell(&row.help)]);
    table(&["variable", "default", "meaning"], rows)
}

fn metrics() -> String {
    let rows = Metrics::new().unwrap().describe();
    let rows = rows.iter().map(|row| {
        let labels: Vec<String> = row.labels.iter().map(|label| code(label)).collect();
        vec![code(&row.name), row.kind.clone(), labels.join(", "), cell(&row.help)]
    });
    table(&["metric", "type", "labels", "meaning"], rows)
}

fn exits() -> String {
    let rows = Exit::ALL.map(|exit| vec![exit.code().to_string(), cell(exit.meaning())]);
    table(&["code", "meaning"], rows)
}

/// Every source, with what each kind of its authentication asks for.
fn sources() -> String {
    let names = |names: &[&str]| names.iter().map(|name| code(name)).collect::<Vec<_>>().join(", ");
    let kind = |auth: &Auth| {
        let optional = match auth.optional {
            [] => String::new(),
            optional => format!(" ({})", names(optional)),
        };
        let certain = if auth.basis == Basis::AuthSpec { "; certain" } else { "" };
        format!("{}: {}{optional}{certain}", cell(auth.spec_name), names(auth.required))
    };
    let rows = sources::ALL.iter().map(|source| {
        let kinds: Vec<String> = source.auth.iter().map(kind).collect();
        vec![code(source.name), cell(source.title), code(source.spec_id), kinds.join("<br>")]
    });
    table(&["name", "source", "connection spec", "authentication: required params (optional)"], rows)
}

/// What stands between two markers: where it begins and ends.
fn between(readme: &str, name: &str) -> (usize, usize) {
    let (start, end) = (format!("<!-- {name}:start -->\n"), format!("<!-- {name}:end -->"));
    let from = readme.find(&start).unwrap_or_else(|| panic!("it lacks {start}")) + start.len();
    let to = readme.find(&end).unwrap_or_else(|| panic!("it lacks {end}"));
    assert!(from <= to, "{name}: the markers stand the wrong way round");
    (from, to)
}

fn assert_in_readme(name: &str, expected: &str) {
    assert_in(README, name, expected);
}

fn assert_in(path: &str, name: &str, expected: &str) {
    let _one = WRITING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let (from, to) = between(&text, name);
    let expected = format!("\n{expected}\n");
    if env("BLESS").is_some() {
        text.replace_range(from..to, &expected);
        fs::write(path, text).unwrap();
        return;
    }
    let said = text.get(from..to).expect("the markers are ASCII");
    let lines = said.lines().zip(expected.lines()).find(|(said, expected)| said != expected);
    assert!(said == expected, "{path}, {name}: run `make readme`; the first difference: {lines:#?}");
}

#[test]
fn the_readme_names_every_setting() {
    assert_in_readme("config", &settings());
}

#[test]
fn the_readme_names_every_source() {
    assert_in_readme("sources", &sources());
}

#[test]
fn the_readme_names_every_metric() {
    assert_in_readme("metrics", &metrics());
}

#[test]
fn the_readme_names_every_exit_code() {
    assert_in_readme("exits", &exits());
}

/// The examples of the README are the files that `make examples` tries.
fn example(language: &str, path: &str) -> String {
    let source =
        fs::read_to_string(format!("{}/deploy/examples/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    format!("```{language}\n{source}```\n")
}

#[test]
fn the_readme_shows_the_examples_that_are_tried() {
    assert_in_readme("python", &example("python", "python/send_job.py"));
    assert_in_readme("node", &example("js", "node/send-job.mjs"));
}

/// The last run that was published.
fn published() -> Results {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/results/results.json");
    serde_json::from_str(&fs::read_to_string(path).expect("a published run")).unwrap()
}

/// What the last published run showed: the machine, the targets, and the worker beside the bare loop.
fn bench() -> String {
    let results = published();
    let machine = &results.machine;
    let ran = format!(
        "`{}` on {}: {}, {} cores, {} GiB, Linux {}, RabbitMQ {}, {}, connection-worker {}.\n",
        results.command,
        results.date,
        machine.cpu,
        machine.cores,
        machine.memory_gib,
        machine.kernel,
        machine.rabbitmq,
        machine.rustc,
        machine.version
    );
    let is_whole = results.command == FULL_RUN;
    let caution = if is_whole {
        ""
    } else {
        "\nThis was no full run: its figures show the form, and decide nothing.\n"
    };
    let targets = results.targets.iter().map(|target| {
        let verdict = target.verdict().to_owned();
        vec![cell(&target.name), target.wanted.to_string(), target.reached_text(), verdict]
    });
    let targets = table(&["target", "wanted", "reached", ""], targets);
    format!("{ran}{caution}\n{targets}\n{}", throughput(&results))
}

/// The backlog by concurrency.
fn throughput(results: &Results) -> String {
    let metrics = [
        Metric::JobsPerSecond,
        Metric::CpuMicrosecondsPerJob,
        Metric::BrokerCpuMicrosecondsPerJob,
        Metric::PeakRssMib,
    ];
    let head = ["jobs at a time", "program"].into_iter().chain(metrics.map(Metric::title));
    let section = results.scenarios.iter().find(|section| section.name == "backlog").expect("it was run");
    let rows = section.rows.iter().map(|row| {
        let program = if row.program == RATIO { "*ratio*" } else { &row.program };
        let figures = metrics.iter().map(|metric| row.text(*metric));
        [row.case.clone(), program.to_owned()].into_iter().chain(figures).collect()
    });
    table(&head.collect::<Vec<_>>(), rows)
}

#[test]
fn the_readme_shows_the_published_benchmark() {
    assert_in_readme("bench", &bench());
}

/// The worker by the number of its processes.
fn scaling() -> String {
    let results = published();
    let section = results.scenarios.iter().find(|section| section.name == "scaling").expect("it was run");
    let metrics = [Metric::JobsPerSecond, Metric::SpeedUp];
    let rows = section.rows.iter().filter(|row| row.program == "worker").map(|row| {
        let figures = metrics.iter().map(|metric| row.text(*metric));
        [row.case.clone()].into_iter().chain(figures).collect()
    });
    table(&["processes", "jobs/s", "times one"], rows)
}

#[test]
fn the_scaling_guide_shows_the_published_benchmark() {
    assert_in(SCALING, "scaling", &scaling());
}

#[test]
fn a_cell_cannot_break_its_table() {
    assert_eq!(cell("a | b\nc"), "a \\| b c");
    assert_eq!(table(&["x"], [vec![code("")], vec![code("1|2")]]), "| x |\n|---|\n|  |\n| `1\\|2` |\n");
}
