//! What each failure leads to, and which answer of Flow Service is which failure.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::contract::reply::ErrorCode;
use crate::flow::FailureKind;
use crate::flow::failure::{Meaning, meanings};
use crate::retry::verdict::Verdict;

/// A kind of failure and what it leads to.
pub(super) struct Failure {
    kind: FailureKind,
    verdict: Verdict,
    code: ErrorCode,
}

/// Every kind.
pub(super) fn failures() -> Vec<Failure> {
    FailureKind::ALL.map(|kind| Failure { kind, verdict: kind.verdict(), code: kind.code() }).into()
}

/// Every answer that is not a success.
pub(super) fn answers() -> Vec<Meaning> {
    meanings()
}

fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Retry => "retry",
        Verdict::Reconcile => "reconcile",
        Verdict::Fail => "fail",
    }
}

fn words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Retry => "tried again",
        Verdict::Reconcile => "looked for, then tried again",
        Verdict::Fail => "answered at once",
    }
}

impl Failure {
    pub(super) fn as_json(&self) -> Value {
        json!({
            "kind": self.kind.as_str(),
            "meaning": self.kind.meaning(),
            "verdict": name(self.verdict),
            "code": self.code.as_str(),
            "retryable": self.code.is_retryable(),
        })
    }
}

pub(super) fn answer_as_json(answer: &Meaning) -> Value {
    json!({
        "from": answer.statuses.start(),
        "to": answer.statuses.end(),
        "code": answer.code,
        "freshTokenFirst": answer.fresh_token,
        "kind": answer.kind.as_str(),
    })
}

pub(super) fn write_failures(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{:<20} {:<29} {:<13} meaning", "failure", "the job is", "at last")?;
    for Failure { kind, verdict, code } in failures() {
        let (kind, meaning) = (kind.as_str(), kind.meaning());
        writeln!(out, "{kind:<20} {:<29} {:<13} {meaning}", words(verdict), code.as_str())?;
    }
    writeln!(
        out,
        "{:<20} {:<29} {:<13} also whenever an earlier call is still in doubt",
        "",
        "",
        ErrorCode::Ambiguous.as_str()
    )
}

pub(super) fn write_answers(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{:<8} {:<20} code, if it matters", "status", "failure")?;
    // Codes that mean the same stand on one line.
    let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
    for answer in answers() {
        let (from, to) = (answer.statuses.start(), answer.statuses.end());
        let statuses = if from == to { from.to_string() } else { format!("{from}-{to}") };
        let first = if answer.fresh_token { " (first once more, with a fresh token)" } else { "" };
        let line = format!("{statuses:<8} {:<20} {{}}{first}", answer.kind.as_str());
        let code = answer.code.unwrap_or_default();
        match lines
            .iter_mut()
            .find(|(known, codes)| *known == line && !code.is_empty() && !codes.contains(&""))
        {
            Some((_, codes)) => codes.push(code),
            None => lines.push((line, vec![code])),
        }
    }
    for (line, codes) in lines {
        writeln!(out, "{}", line.replace("{}", &codes.join(", ")).trim_end())?;
    }
    Ok(())
}
