//! The report: a line for each check, as soon as it is done.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::super::terminal::plain;
use crate::config;

/// Columns for the name of a check; they are all shorter.
const NAME: usize = 20;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    /// It works, and not as it could.
    Warning,
    Failed,
    Skipped,
}

/// What a check found.
#[derive(Debug, Serialize)]
struct Check<'a> {
    #[serde(rename = "check")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    subject: &'a str,
    status: Status,
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    remedy: &'a str,
}

/// How the report looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Json,
    Ascii,
    /// On a terminal that can show them.
    Symbols,
}

/// Prints the checks and counts them.
#[derive(Debug)]
pub(super) struct Report {
    style: Style,
    done: Vec<Status>,
}

impl Report {
    /// On standard output.
    pub(super) fn new(json: bool) -> Self {
        let style = match (json, io::stdout().is_terminal() && config::has_utf8_locale()) {
            (true, _) => Style::Json,
            (false, true) => Style::Symbols,
            (false, false) => Style::Ascii,
        };
        Self { style, done: Vec::new() }
    }

    /// All is well.
    pub(super) fn good(&mut self, check: &str, subject: &str, message: &str) -> io::Result<()> {
        self.add(&Check { name: check, subject, status: Status::Ok, message, remedy: "" })
    }

    /// It works, and should be looked at.
    pub(super) fn doubtful(
        &mut self,
        check: &str,
        subject: &str,
        message: &str,
        remedy: &str,
    ) -> io::Result<()> {
        self.add(&Check { name: check, subject, status: Status::Warning, message, remedy })
    }

    /// It does not work.
    pub(super) fn bad(&mut self, check: &str, subject: &str, message: &str, remedy: &str) -> io::Result<()> {
        self.add(&Check { name: check, subject, status: Status::Failed, message, remedy })
    }

    /// Nobody knows, and why not.
    pub(super) fn skipped(&mut self, check: &str, subject: &str, why: &str) -> io::Result<()> {
        self.add(&Check { name: check, subject, status: Status::Skipped, message: why, remedy: "" })
    }

    fn add(&mut self, check: &Check<'_>) -> io::Result<()> {
        self.done.push(check.status);
        let mut out = io::stdout().lock();
        if self.style == Style::Json {
            serde_json::to_writer(&mut out, check)?;
            writeln!(out)?;
        } else {
            writeln!(out, "{}", line(check, self.style))?;
        }
        out.flush()
    }

    /// The sum; whether no check failed.
    pub(super) fn finish(self) -> io::Result<bool> {
        let count = |status| self.done.iter().filter(|done| **done == status).count();
        let failed = count(Status::Failed);
        if self.style != Style::Json {
            let (ok, warnings, skipped) = (count(Status::Ok), count(Status::Warning), count(Status::Skipped));
            writeln!(io::stdout(), "{ok} ok, {warnings} warnings, {failed} failed, {skipped} skipped")?;
        }
        Ok(failed == 0)
    }
}

/// One line, whatever is in the texts that came from elsewhere.
fn line(check: &Check<'_>, style: Style) -> String {
    let mark = match (check.status, style) {
        (Status::Ok, Style::Symbols) => "✓",
        (Status::Warning, Style::Symbols) => "!",
        (Status::Failed, Style::Symbols) => "✗",
        (Status::Skipped, Style::Symbols) => "–",
        (Status::Ok, _) => "ok  ",
        (Status::Warning, _) => "warn",
        (Status::Failed, _) => "FAIL",
        (Status::Skipped, _) => "skip",
    };
    let subject = if check.subject.is_empty() { String::new() } else { format!("{}: ", check.subject) };
    let remedy = if check.remedy.is_empty() { String::new() } else { format!("; {}", check.remedy) };
    plain(&format!("{mark} {:<NAME$} {subject}{}{remedy}", check.name, check.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_one_line_of_text() {
        let check = Check {
            name: "login",
            subject: "rabbit",
            status: Status::Failed,
            message: "refused\nforged line",
            remedy: "mend it",
        };
        let expected = "login                rabbit: refused forged line; mend it";
        assert_eq!(line(&check, Style::Ascii), format!("FAIL {expected}"));
        assert_eq!(line(&check, Style::Symbols), format!("✗ {expected}"));
        let json = serde_json::to_string(&check).unwrap();
        assert!(
            json.starts_with(r#"{"check":"login","subject":"rabbit","status":"failed","message":"#),
            "{json}"
        );
    }
}
