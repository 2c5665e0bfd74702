//! The figures on the terminal.

use std::fmt::Write as _;

use crate::figures::{Metric, Rounds, Row, Section};
use crate::program::Program;

/// Prints the table of a scenario.
#[expect(clippy::print_stdout, reason = "this is what the program is for")]
pub(crate) fn print(section: &Section) {
    println!("{}", table(section));
}

fn table(section: &Section) -> String {
    let mut metrics: Vec<Metric> = section.rows.iter().flat_map(|row| row.rounds.keys().copied()).collect();
    metrics.sort();
    metrics.dedup();
    let mut text = format!("\n{}: {}\n", section.name, section.title);
    write!(text, "{:<24} {:<12}", "", "").unwrap();
    for metric in &metrics {
        write!(text, " {:>28}", metric.title()).unwrap();
    }
    text.push('\n');
    for row in &section.rows {
        line(&mut text, &row.case, row.program.as_str(), &metrics, |metric| {
            row.rounds.get(&metric).map(|rounds| cell(rounds, metric.digits()))
        });
        let is_last = row.case != section.rows.iter().rfind(|other| other.case == row.case).unwrap().case;
        drop(is_last);
    }
    for row in section.rows.iter().filter(|row| row.program == Program::Worker) {
        ratios(&mut text, section, row, &metrics);
    }
    text
}

fn ratios(text: &mut String, section: &Section, row: &Row, metrics: &[Metric]) {
    line(text, &row.case, "ratio", metrics, |metric| {
        section.ratio(&row.case, metric).map(|rounds| cell(&rounds, 2))
    });
}

fn line(
    text: &mut String,
    case: &str,
    program: &str,
    metrics: &[Metric],
    cell: impl Fn(Metric) -> Option<String>,
) {
    write!(text, "{case:<24} {program:<12}").unwrap();
    for metric in metrics {
        write!(text, " {:>28}", cell(*metric).unwrap_or_default()).unwrap();
    }
    text.push('\n');
}

fn cell(rounds: &Rounds, digits: usize) -> String {
    let (median, min, max) = (rounds.median(), rounds.min(), rounds.max());
    format!("{median:.digits$} ({min:.digits$}–{max:.digits$})")
}
