//! The figures on the terminal.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the program is for")]

use crate::figures::{Metric, Section};
use crate::targets::Target;

/// Says what one round has just shown.
pub(crate) fn progress(section: &Section, case: &str, program: &str) {
    let row = section.row(case, program).expect("something was measured");
    let figure = |metric: &Metric| format!("{} {}", metric.title(), row.last(*metric));
    let figures: Vec<_> = row.figures.keys().map(figure).collect();
    eprintln!("{}, {case}, {program}: {}", section.name, figures.join(", "));
}

/// Prints the table of a scenario: the rows of a case together, median (least–greatest).
pub(crate) fn print(section: &Section) {
    let metrics = section.metrics();
    let mut head = vec![String::new(), String::new()];
    head.extend(metrics.iter().map(|metric| metric.title().to_owned()));
    let mut lines = vec![head];
    let mut before = "";
    for row in &section.rows {
        let is_new = row.case != before;
        if is_new && !before.is_empty() {
            lines.push(Vec::new());
        }
        let case = if is_new { row.case.clone() } else { String::new() };
        let mut line = vec![case, row.program.clone()];
        line.extend(metrics.iter().map(|metric| row.text(*metric)));
        lines.push(line);
        before = &row.case;
    }
    println!("\n{}: {}\n{}", section.name, section.title, aligned(&lines, 2));
}

/// Prints what was to be reached.
pub(crate) fn print_targets(targets: &[Target]) {
    let mut lines = vec![["target", "wanted", "reached", ""].map(str::to_owned).to_vec()];
    for target in targets {
        let verdict = target.verdict().to_owned();
        lines.push(vec![target.name.clone(), target.wanted.to_string(), target.reached_text(), verdict]);
    }
    println!("\n{}", aligned(&lines, 1));
}

/// Prints one sentence.
pub(crate) fn say(sentence: &str) {
    println!("{sentence}");
}

/// Lines of cells in columns as wide as they need to be; the first ones begin at the left, the others end at the right.
fn aligned(lines: &[Vec<String>], left: usize) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let mut widths = vec![0; columns];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |cells: &Vec<String>| {
        let cells = cells.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column < left { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}
