//! What is held back now, as the status page shows it: for whom, why, since when, and when it is tried next.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::admission::{BreakerScope, HeldBack};
use crate::contract::ids::{ImsOrgId, SandboxName};

/// Rows that are shown; the rest is a number.
const ROWS: usize = 20;

/// The longest name of a connection spec that is shown: a sender can choose it freely.
const SPEC_CHARS: usize = 64;

/// How serious it is that these calls are held back, and a few words for it; `None` if none are.
pub(super) fn level(held: &[HeldBack], configured: &[ImsOrgId]) -> Option<(&'static str, &'static str)> {
    let is_refused = |id: &ImsOrgId| {
        let is_of = |held: &HeldBack| held.ims_org_id.as_ref() == Some(id);
        let refused = [BreakerScope::Token, BreakerScope::Credentials];
        held.iter().any(|held| is_of(held) && refused.contains(&held.scope))
    };
    if held.is_empty() {
        None
    } else if held.iter().any(|held| held.scope == BreakerScope::Host) {
        Some(("bad", "Flow Service cannot be reached"))
    } else if !configured.is_empty() && configured.iter().all(is_refused) {
        Some(("bad", "held back for every organisation"))
    } else {
        Some(("doubtful", "some calls are held back"))
    }
}

/// A sentence and the rows below it. `waiting` are the jobs that wait in the overflow and in the held queue, if that is
/// known.
pub(super) fn of(held: &[HeldBack], waiting: Option<(f64, f64)>) -> Value {
    let left_out = held.len().saturating_sub(ROWS);
    json!({
        "sentence": sentence(held, waiting),
        "rows": held.iter().take(ROWS).map(row).collect::<Value>(),
        "more": if left_out > 0 { format!("and {left_out} more") } else { String::new() },
    })
}

/// Organisations for which calls are held back; one if it is everybody.
pub(super) fn organisations(held: &[HeldBack]) -> usize {
    let mut organisations: Vec<_> = held.iter().map(|held| &held.ims_org_id).collect();
    organisations.sort();
    organisations.dedup();
    organisations.len()
}

fn sentence(held: &[HeldBack], waiting: Option<(f64, f64)>) -> String {
    let is_host = |held: &HeldBack| held.scope == BreakerScope::Host;
    let what = if held.is_empty() {
        "No calls are held back.".to_owned()
    } else if held.iter().any(is_host) {
        "Flow Service cannot be reached: jobs wait in the held queue, and one call at a time tries again."
            .to_owned()
    } else {
        format!(
            "Calls are held back at {} for {}: their jobs wait in the held queue, other jobs go on.",
            counted(held.len(), "circuit breaker"),
            counted(organisations(held), "organisation")
        )
    };
    match waiting {
        Some((overflow, held)) if overflow + held > 0.0 => {
            format!(
                "{what} Waiting for a slot (overflow): {overflow}. Waiting for their calls (held): {held}."
            )
        }
        _ => what,
    }
}

fn counted(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

fn row(held: &HeldBack) -> Value {
    let (calls, why) = words(held.scope);
    let whose = |id: Option<&str>| id.unwrap_or("all").to_owned();
    let spec = held.connection_spec_id.as_deref().unwrap_or("all").chars();
    json!({
        "calls": calls,
        "organisation": whose(held.ims_org_id.as_ref().map(ImsOrgId::as_str)),
        "sandbox": whose(held.sandbox_name.as_ref().map(SandboxName::as_str)),
        "connectionSpec": spec.take(SPEC_CHARS).collect::<String>(),
        "why": held.why.unwrap_or(why),
        "since": format!("{} ago", rounded(held.lasts)),
        "next": next(held.next_in),
    })
}

/// The calls that are held back, and why, if nothing more is known.
fn words(scope: BreakerScope) -> (&'static str, &'static str) {
    match scope {
        BreakerScope::Host => ("all calls", "nothing comes back from Flow Service"),
        BreakerScope::Token => ("calls that need a new token", "IMS issues no access token"),
        BreakerScope::Credentials => ("all calls", "the credentials are refused"),
        BreakerScope::Create => ("creates", "creates fail"),
        BreakerScope::LookUp => ("look-ups", "look-ups fail"),
        BreakerScope::Check => ("optional checks", "checks fail"),
    }
}

fn next(wait: Duration) -> String {
    if wait.is_zero() { "with the next job".to_owned() } else { format!("in {}", rounded(wait)) }
}

/// To the second, and at least one.
fn rounded(duration: Duration) -> String {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    format!("{:#}", SignedDuration::from_secs(seconds.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(scope: BreakerScope, organisation: Option<&str>) -> HeldBack {
        HeldBack {
            scope,
            ims_org_id: organisation.map(|id| ImsOrgId::parse(id).unwrap()),
            sandbox_name: None,
            connection_spec_id: None,
            why: None,
            lasts: Duration::from_secs(200),
            next_in: Duration::from_millis(2_900),
        }
    }

    #[test]
    fn nothing_is_green_while_something_is_held_back() {
        let organisations = ["1234@AdobeOrg", "5678@AdobeOrg"].map(|id| ImsOrgId::parse(id).unwrap());
        assert_eq!(level(&[], &organisations), None);
        for scope in BreakerScope::ALL {
            let one = held(scope, Some("1234@AdobeOrg"));
            let expected = if scope == BreakerScope::Host { "bad" } else { "doubtful" };
            assert_eq!(level(&[one], &organisations).unwrap().0, expected, "{scope:?}");
        }
        let all = ["1234@AdobeOrg", "5678@AdobeOrg"].map(|id| held(BreakerScope::Credentials, Some(id)));
        assert_eq!(level(&all, &organisations).unwrap().0, "bad");
    }

    #[test]
    fn a_row_says_for_whom_why_since_when_and_what_comes_next() {
        let create = HeldBack {
            sandbox_name: Some(SandboxName::parse("dev").unwrap()),
            connection_spec_id: Some("x".repeat(1_000)),
            why: Some("no answer came in time"),
            ..held(BreakerScope::Create, Some("1234@AdobeOrg"))
        };
        let expected = json!({
            "calls": "creates", "organisation": "1234@AdobeOrg", "sandbox": "dev", "connectionSpec": "x".repeat(64),
            "why": "no answer came in time", "since": "3m 20s ago", "next": "in 2s",
        });
        assert_eq!(row(&create), expected);
        let host = HeldBack { next_in: Duration::ZERO, ..held(BreakerScope::Host, None) };
        assert_eq!(row(&host)["organisation"], "all");
        assert_eq!(row(&host)["next"], "with the next job");
    }

    #[test]
    fn there_are_at_most_twenty_rows_and_a_number() {
        let many = vec![held(BreakerScope::Create, Some("1234@AdobeOrg")); 25];
        let shown = of(&many, Some((3.0, 40.0)));
        assert_eq!(shown["rows"].as_array().unwrap().len(), 20);
        assert_eq!(shown["more"], "and 5 more");
        assert_eq!(
            shown["sentence"],
            "Calls are held back at 25 circuit breakers for 1 organisation: their jobs wait in the held queue, other \
             jobs go on. Waiting for a slot (overflow): 3. Waiting for their calls (held): 40."
        );
        let none = of(&[], None);
        assert_eq!(none, json!({ "sentence": "No calls are held back.", "rows": [], "more": "" }));
    }
}
