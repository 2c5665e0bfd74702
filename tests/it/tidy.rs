//! Conventions that no lint can hold: who may name what, and how long a file may be.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A file should fit into a head.
const MAX_LINES: usize = 300;

/// Data only: as long as there are facts.
const CATALOGUE: &str = "src/sources/catalogue.rs";

/// A source file.
struct Source {
    /// From the root of the project.
    path: String,
    text: String,
}

impl Source {
    /// Lines of code with their numbers; neither comments nor what stands behind `//` in a line.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().filter_map(|(index, line)| {
            let code = line.split_once("// ").map_or(line, |(code, _)| code).trim();
            (!code.is_empty() && !code.starts_with("//")).then_some((index + 1, code))
        })
    }

    /// Whether it stands under one of these folders or is one of these files.
    fn is_under(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }

    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs")
            || self.path.contains("/tests/")
            || self.path == "src/flow/scripted.rs"
    }
}

/// All files under a folder whose names end so, in order.
pub(crate) fn files(dir: &Path, end: &str, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, end, found);
        } else if path.extension().is_some_and(|extension| extension == end) {
            found.push(path);
        }
    }
}

fn sources(dir: &str) -> Vec<Source> {
    let mut found = Vec::new();
    files(&Path::new(ROOT).join(dir), "rs", &mut found);
    assert!(found.len() > 5, "{dir}: {found:?}");
    let read = |path: PathBuf| Source {
        path: path.strip_prefix(ROOT).unwrap().to_str().unwrap().to_owned(),
        text: fs::read_to_string(path).unwrap(),
    };
    found.into_iter().map(read).collect()
}

/// Lines of code in `src/` outside of `places` in which `is_bad` sees something.
fn offenders(places: &[&str], is_bad: impl Fn(&str) -> bool) -> Vec<String> {
    let mut offenders = Vec::new();
    for source in sources("src").iter().filter(|source| !source.is_under(places)) {
        for (number, line) in source.code().filter(|(_, line)| is_bad(line)) {
            offenders.push(format!("{}:{number}: {line}", source.path));
        }
    }
    offenders
}

/// Whether a path that begins with this crate stands in a line.
fn names_crate(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line.get(at + name.len()..).unwrap_or_default();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') && after.starts_with("::")
            || line == format!("use {name};")
    })
}

fn assert_none(rule: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{rule}:\n  {}", offenders.join("\n  "));
}

#[test]
fn lapin_is_named_only_under_broker() {
    assert_none("lapin belongs to broker/", &offenders(&["src/broker"], |line| names_crate(line, "lapin")));
}

#[test]
fn reqwest_is_named_only_under_flow_and_where_traces_are_sent() {
    let places = ["src/flow", "src/traces/otlp.rs"];
    assert_none("reqwest belongs to flow/", &offenders(&places, |line| names_crate(line, "reqwest")));
}

#[test]
fn the_environment_is_read_only_in_config() {
    let reads = |line: &str| line.contains("std::env::") || line.contains("use std::env");
    assert_none("config is the only reader of the environment", &offenders(&["src/config"], reads));
}

#[test]
fn clap_settings_with_a_variable_are_only_in_config() {
    assert_none("settings belong to config/", &offenders(&["src/config"], |line| line.contains("env = \"")));
}

#[test]
fn tasks_are_spawned_only_where_they_are_waited_for() {
    let places = ["src/app.rs", "src/simulator", "src/flow/scripted.rs"];
    assert_none(
        "a task needs somebody who waits for it",
        &offenders(&places, |line| line.contains("tokio::spawn")),
    );
}

#[test]
fn nothing_ends_the_process_but_main() {
    let ends = |line: &str| line.contains("process::exit") || line.contains("process::abort");
    assert_none("main returns the exit code", &offenders(&[], ends));
}

#[test]
fn no_state_is_shared_by_the_whole_process() {
    let shared = |line: &str| {
        let item = line
            .trim_start_matches("pub ")
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub(super) ");
        let constant = |rest: &str| {
            rest.split_once(": ").is_some_and(|(_, kind)| {
                kind.starts_with('&') || kind.starts_with("[u8;") || kind.starts_with("HeaderName ")
            })
        };
        item.strip_prefix("static ").is_some_and(|rest| !constant(rest))
            || line.contains("thread_local!")
            || line.contains("lazy_static!")
    };
    // The allocator is the process's, and main.rs is no part of the library. A simulation ties the time of day of its thread.
    assert_none(
        "two workers must fit into one process",
        &offenders(&["src/main.rs", "src/clock.rs"], shared),
    );
}

#[test]
fn no_test_is_ignored_and_nothing_is_left_to_do() {
    let macros = ["todo", "unimplemented", "dbg"].map(|name| format!("{name}!("));
    let bad: Vec<String> = macros.into_iter().chain([format!("#[{}", "ignore")]).collect();
    let here = "tests/it/tidy.rs";
    for source in sources("src").iter().chain(&sources("tests")).filter(|source| source.path != here) {
        for (number, line) in source.code() {
            let found = bad.iter().find(|text| line.contains(text.as_str()));
            assert!(found.is_none(), "{}:{number}: {line}", source.path);
        }
    }
}

#[test]
fn every_source_file_says_what_it_is_for() {
    for source in sources("src").iter().chain(&sources("tests")) {
        assert!(source.text.starts_with("//! "), "{} begins without //!", source.path);
    }
}

#[test]
fn source_files_fit_into_a_head() {
    for source in sources("src").iter().filter(|source| source.path != CATALOGUE && !source.is_test()) {
        let code = source.text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        assert!(code <= MAX_LINES, "{}: {code} lines, {MAX_LINES} allowed", source.path);
    }
}

#[test]
fn no_file_names_a_place_on_one_machine() {
    let places = ["/root/", "/home/"];
    let mut all = Vec::new();
    for dir in ["src", "tests", "deploy"] {
        for end in ["rs", "sh", "md", "yml", "yaml", "json", "toml"] {
            files(&Path::new(ROOT).join(dir), end, &mut all);
        }
    }
    all.extend(["Cargo.toml", "Makefile", "README.md"].map(|name| Path::new(ROOT).join(name)));
    for path in all.iter().filter(|path| !path.ends_with("tests/it/tidy.rs")) {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for place in places {
            assert!(!text.contains(place), "{} names {place}", path.display());
        }
    }
}

/// The cells of a Markdown table's row.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

/// Names, test files and states of the promises in the README: number, name with a link, text, and whether it is kept.
fn promises(readme: &str) -> Vec<(&str, &str, &str)> {
    let row = |line| {
        let cells = cells(line)?;
        let (number, name, state) = (cells.first()?, cells.get(1)?, cells.last()?);
        number.parse::<u32>().ok()?;
        let (name, file) = name.strip_prefix("[`")?.strip_suffix(')')?.split_once("`](")?;
        Some((name, file, *state))
    };
    readme.lines().filter_map(row).collect()
}

#[test]
fn every_kept_promise_has_a_test_of_its_name() {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let promises = promises(&readme);
    assert!(!promises.is_empty(), "the README has no table of promises");
    for (name, file, state) in promises {
        assert!(["yes", "in part"].contains(&state), "{name}: is it kept or not? \"{state}\"");
        let tests = fs::read_to_string(Path::new(ROOT).join(file)).unwrap_or_default();
        let function = format!("fn {name}(");
        assert!(tests.contains(&function), "the README promises {name}, and no test in {file} is called so");
    }
}

#[test]
fn the_rules_see_what_they_are_to_see() {
    assert!(names_crate("use lapin::Channel;", "lapin") && names_crate("use reqwest;", "reqwest"));
    assert!(names_crate("fn a(b: lapin::Error) {}", "lapin"));
    assert!(!names_crate("let lapin = Error::lapin(step, error);", "lapin"));
    assert!(!names_crate("use crate::my_lapin::x;", "lapin"));
    let table = "| # | promise |\n|---|---|\n| 1 | [`a_b`](tests/it/a.rs) | text | in part |";
    assert_eq!(promises(table), [("a_b", "tests/it/a.rs", "in part")]);
    assert!(!sources("src").is_empty());
}
