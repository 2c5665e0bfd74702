//! Decides what kind of failure an answer is, by its HTTP status first and its code second. Pure.
//!
//! The codes are those of Adobe's gateway (`validatorsHandlerErrorDecorator.lua` in
//! adobe-apiplatform/api-gateway-request-validation) and of Flow Service (Experience Platform documentation,
//! "Flow Service error messages" and "Sources error messages"). The two pages of Flow Service use the same four digits for
//! different things, and the three digits after them are only *usually* the status: neither is ever looked at alone.

use std::ops::RangeInclusive;

use super::FailureKind;

/// 503 codes of the gateway, raised before the call reaches Flow Service: nothing was done.
const GATEWAY_NOT_READY: [&str; 4] = ["503000", "503010", "503030", "503071"];

/// The gateway could not read the user's profile: transient, in spite of its status 403.
const PROFILE_NOT_READ: &str = "503020";

/// "Oauth token is missing or invalid" as the gateway says it with a 403.
const PROFILE_TOKEN_INVALID: &str = "403020";

/// 401s that a fresh token cannot help: wrong context, scope mismatch, organisation header empty or missing.
const TOKEN_IS_NOT_THE_FAULT: [&str; 4] = ["401014", "401015", "2001-401", "2002-401"];

/// The gateway knows neither the token nor the API key, or not this machine: true for every call of the organisation, and
/// not for the job's doing. Beside these, any 401 without a code of theirs says so.
const CREDENTIALS_REFUSED: [&str; 9] =
    ["401013", "401014", "401015", "403000", "403003", "403010", "403012", "403013", "403020"];

/// The sandbox was named in a way that is not allowed.
const SANDBOX_NOT_ALLOWED: &str = "2111-403";

/// A code that nobody sends, in the form of Flow Service's.
const NO_CODE: &str = "0000-000";

/// Refusals of a request's form. Some of Flow Service's have an explanation and no code.
const OF_FORM: [u16; 3] = [400, 415, 422];

/// Whose word an answer is, as far as its body shows. Its code may show more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Anybody's: HTML, nothing, or JSON that explains nothing.
    Unknown,
    /// JSON with an explanation, as many services and proxies send it.
    Explained,
    /// JSON with fields of Flow Service.
    FlowService,
}

/// The kind of an answer that is not a 2xx.
///
/// A 3xx or 4xx is a verdict on a job only if it is recognisably Flow Service's or its gateway's. Otherwise a proxy, a firewall
/// or another server has answered: whose fault that is, no job can say.
pub(super) fn classify(status: u16, code: Option<&str>, origin: Origin) -> FailureKind {
    let code = code.unwrap_or_default();
    let is_theirs = origin == Origin::FlowService || is_adobes(code);
    match status {
        429 => FailureKind::Throttled,
        403 if code == PROFILE_NOT_READ => FailureKind::Unavailable,
        503 if GATEWAY_NOT_READY.contains(&code) => FailureKind::Unavailable,
        401 | 403 if CREDENTIALS_REFUSED.contains(&code) => FailureKind::CredentialsRefused,
        401 if code.is_empty() || !is_theirs => FailureKind::CredentialsRefused,
        401 | 403 if is_theirs && !is_fault_of_the_job(code) => FailureKind::Unauthorized,
        400 if is_empty_or_invalid_token(code) => FailureKind::CredentialsRefused,
        // Neither is documented for a create; both can come after the work was done.
        408 | 409 => FailureKind::ServerError,
        300..=499 if is_theirs => FailureKind::Refused,
        _ if OF_FORM.contains(&status) && origin == Origin::Explained => FailureKind::Refused,
        300..=499 => FailureKind::ForeignAnswer,
        _ => FailureKind::ServerError,
    }
}

/// Whether a code has the form of the gateway's (`403025`) or of Flow Service's (`1100-400`, `UPQL-2120-403`).
fn is_adobes(code: &str) -> bool {
    let digits =
        |text: &str, number: usize| text.len() == number && text.bytes().all(|it| it.is_ascii_digit());
    let mut parts = code.rsplit('-');
    match (parts.next(), parts.next()) {
        (Some(code), None) => digits(code, 6),
        (Some(status), Some(number)) => digits(status, 3) && digits(number, 4),
        (None, _) => false,
    }
}

/// Whether the same call may succeed with a token that was issued just now.
pub(super) fn asks_for_fresh_token(status: u16, code: Option<&str>) -> bool {
    let code = code.unwrap_or_default();
    match status {
        401 => !TOKEN_IS_NOT_THE_FAULT.contains(&code) && !is_fault_of_the_job(code),
        403 => code == PROFILE_TOKEN_INVALID,
        400 => is_empty_or_invalid_token(code),
        _ => false,
    }
}

/// Flow Service says this with a 400.
fn is_empty_or_invalid_token(code: &str) -> bool {
    code.starts_with("2114-") || code.starts_with("2115-")
}

/// The third party refused the credentials *in the job* (`1001-401`, `1002-403`, `1008-401`; Flow Service's own codes about
/// the caller begin with 2), or the sandbox was named in a way that is not allowed (`2111-403`).
fn is_fault_of_the_job(code: &str) -> bool {
    let of_provider = code.starts_with('1') && (code.ends_with("-401") || code.ends_with("-403"));
    (of_provider && code.len() == 8) || code == SANDBOX_NOT_ALLOWED
}

/// What some answers mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// The HTTP statuses,
    pub statuses: RangeInclusive<u16>,
    /// and the code, if it makes a difference; `…` stands for any.
    pub code: Option<&'static str>,
    /// What kind of failure they are.
    pub kind: FailureKind,
    /// Whether the call is first made once more, with a fresh token.
    pub fresh_token: bool,
}

/// In place of a code: any other of Adobe's,
const ANY_OTHER: &str = "any other of Adobe's";

/// and none.
const EXPLAINED: &str = "none, but JSON that explains";

/// Codes that stand for several, and one of these.
const SEVERAL: [(&str, &str); 4] =
    [("2114-…", "2114-400"), ("2115-…", "2115-400"), ("1…-401", "1001-401"), ("1…-403", "1002-403")];

/// The kind of an answer of unknown origin with this code, and whether a fresh token is tried first.
fn meaning(status: u16, code: Option<&str>) -> (FailureKind, bool) {
    (classify(status, code, Origin::Unknown), asks_for_fresh_token(status, code))
}

/// One row for all neighbouring statuses of which something is the same.
fn rows(code: Option<&'static str>, meaning: impl Fn(u16) -> Option<(FailureKind, bool)>) -> Vec<Meaning> {
    let mut rows: Vec<Meaning> = Vec::new();
    for status in 300..=599 {
        let Some((kind, fresh_token)) = meaning(status) else { continue };
        match rows.last_mut() {
            // A redirect is worth a row of its own.
            Some(row)
                if (row.kind, row.fresh_token) == (kind, fresh_token)
                    && *row.statuses.end() + 1 == status
                    && status != 400 =>
            {
                row.statuses = *row.statuses.start()..=status;
            }
            _ => rows.push(Meaning { statuses: status..=status, code, kind, fresh_token }),
        }
    }
    rows
}

/// What every answer means that is not a 2xx: by status alone, and by codes that say otherwise. For people: it asks
/// the code that classifies about each.
pub fn meanings() -> Vec<Meaning> {
    let mut all = rows(None, |status| Some(meaning(status, None)));
    let single = GATEWAY_NOT_READY.iter().chain(&[PROFILE_NOT_READ, PROFILE_TOKEN_INVALID]);
    let single =
        single.chain(&CREDENTIALS_REFUSED).chain(&TOKEN_IS_NOT_THE_FAULT).chain(&[SANDBOX_NOT_ALLOWED]);
    let mut codes: Vec<(&str, &str)> = single.map(|code| (*code, *code)).chain(SEVERAL).collect();
    codes.sort_unstable();
    codes.dedup();
    for status in [400, 401, 403, 503] {
        for (shown, code) in &codes {
            let (kind, fresh_token) = meaning(status, Some(code));
            // A code without meaning at this status is as good as any other: it says nothing of its own.
            if (kind, fresh_token) != meaning(status, Some(NO_CODE)) {
                all.push(Meaning { statuses: status..=status, code: Some(shown), kind, fresh_token });
            }
        }
    }
    all.extend(rows(Some(ANY_OTHER), |status| {
        Some(meaning(status, Some(NO_CODE))).filter(|other| *other != meaning(status, None))
    }));
    all.extend(rows(Some(EXPLAINED), |status| {
        OF_FORM.contains(&status).then(|| (classify(status, None, Origin::Explained), false))
    }));
    all
}

#[cfg(test)]
mod tests {
    use FailureKind::{
        CredentialsRefused, ForeignAnswer, Refused, ServerError, Throttled, Unauthorized, Unavailable,
    };

    use super::*;

    /// Status, code, kind, and whether a fresh token may help.
    const TABLE: &[(u16, &str, FailureKind, bool)] = &[
        // The gateway's codes.
        (400, "400003", Refused, false),
        (401, "401013", CredentialsRefused, true),
        (401, "401014", CredentialsRefused, false),
        (401, "401015", CredentialsRefused, false),
        (403, "403000", CredentialsRefused, false),
        (403, "403003", CredentialsRefused, false),
        (403, "403010", CredentialsRefused, false),
        (403, "403011", Unauthorized, false),
        (403, "403012", CredentialsRefused, false),
        (403, "403013", CredentialsRefused, false),
        (403, "403020", CredentialsRefused, true),
        (403, "403023", Unauthorized, false),
        (403, "403024", Unauthorized, false),
        (403, "403025", Unauthorized, false),
        (403, "403027", Unauthorized, false),
        (403, "503020", Unavailable, false),
        (429, "429050", Throttled, false),
        (429, "429001", Throttled, false),
        (429, "429002", Throttled, false),
        (429, "", Throttled, false),
        (503, "503000", Unavailable, false),
        (503, "503010", Unavailable, false),
        (503, "503030", Unavailable, false),
        (503, "503071", Unavailable, false),
        // Flow Service's codes.
        (400, "1100-400", Refused, false),
        (404, "1101-404", Refused, false),
        (500, "1102-500", ServerError, false),
        (500, "1400-500", ServerError, false),
        (500, "2116-500", ServerError, false),
        (500, "2117-500", ServerError, false),
        (503, "1103-503", ServerError, false),
        (504, "1104-504", ServerError, false),
        (400, "1405-400", Refused, false),
        (400, "1413-400", Refused, false),
        (400, "1415-400", Refused, false),
        (400, "1455-400", Refused, false),
        (401, "2000-401", Unauthorized, true),
        (401, "2001-401", Unauthorized, false),
        (401, "2002-401", Unauthorized, false),
        (404, "2100-404", Refused, false),
        (404, "2101-404", Refused, false),
        (404, "2103-404", Refused, false),
        (404, "2106-404", Refused, false),
        (500, "2102-500", ServerError, false),
        (500, "2104-500", ServerError, false),
        (500, "2107-500", ServerError, false),
        (500, "2108-500", ServerError, false),
        (400, "2105-400", Refused, false),
        (400, "2110-400", Refused, false),
        (403, "2111-403", Refused, false),
        (400, "2112-400", Refused, false),
        (400, "2113-400", Refused, false),
        (400, "2114-400", CredentialsRefused, true),
        (400, "2115-400", CredentialsRefused, true),
        (403, "2118-403", Unauthorized, false),
        (403, "2120-403", Unauthorized, false),
        (403, "2121-403", Unauthorized, false),
        (500, "2200-500", ServerError, false),
        (500, "2250-500", ServerError, false),
        // The codes of the connectors.
        (400, "1000-400", Refused, false),
        (401, "1001-401", Refused, false),
        (403, "1002-403", Refused, false),
        (415, "1004-415", Refused, false),
        (408, "1006-408", ServerError, false),
        (401, "1008-401", Refused, false),
        (503, "1011-503", ServerError, false),
        (504, "1012-504", ServerError, false),
        (400, "1302-400", Refused, false),
        (400, "1304-400", Refused, false),
        (400, "1308-400", Refused, false),
        (400, "1318-400", Refused, false),
        (400, "1600-400", Refused, false),
        // By status alone.
        (302, "", ForeignAnswer, false),
        (304, "", ForeignAnswer, false),
        (400, "", ForeignAnswer, false),
        (401, "", CredentialsRefused, true),
        (403, "", ForeignAnswer, false),
        (404, "", ForeignAnswer, false),
        (405, "", ForeignAnswer, false),
        (407, "", ForeignAnswer, false),
        (413, "", ForeignAnswer, false),
        (421, "", ForeignAnswer, false),
        (423, "", ForeignAnswer, false),
        (425, "", ForeignAnswer, false),
        (431, "", ForeignAnswer, false),
        (451, "", ForeignAnswer, false),
        (408, "", ServerError, false),
        (409, "", ServerError, false),
        (412, "1404-412", Refused, false),
        (415, "", ForeignAnswer, false),
        (422, "", ForeignAnswer, false),
        (500, "", ServerError, false),
        (502, "", ServerError, false),
        (503, "", ServerError, false),
        (504, "", ServerError, false),
        (599, "", ServerError, false),
        (999, "", ServerError, false),
        // The status is believed before the code is.
        (404, "1439-400", Refused, false),
        (500, "401013", ServerError, false),
        (500, "429050", ServerError, false),
        (500, "503000", ServerError, false),
        (400, "503020", Refused, false),
        (400, "401013", Refused, false),
    ];

    #[test]
    fn every_row_of_the_table() {
        for (status, code, kind, fresh_token) in TABLE {
            let code = (!code.is_empty()).then_some(*code);
            assert_eq!(classify(*status, code, Origin::Unknown), *kind, "{status} {code:?}");
            assert_eq!(asks_for_fresh_token(*status, code), *fresh_token, "{status} {code:?}");
        }
    }

    #[test]
    fn only_the_word_of_flow_service_or_its_gateway_is_a_verdict() {
        for status in (300..=499).filter(|status| ![401, 408, 409, 429].contains(status)) {
            for code in [None, Some("E-7"), Some("NotFound"), Some("no-route"), Some("12345"), Some("x-404")]
            {
                assert_eq!(classify(status, code, Origin::Unknown), ForeignAnswer, "{status} {code:?}");
                let explained = if OF_FORM.contains(&status) { Refused } else { ForeignAnswer };
                assert_eq!(classify(status, code, Origin::Explained), explained, "{status} {code:?}");
                let theirs = if status == 403 { Unauthorized } else { Refused };
                assert_eq!(classify(status, code, Origin::FlowService), theirs, "{status} {code:?}");
            }
            for code in ["404001", "1101-404", "UPQL-1101-404"] {
                let kind = classify(status, Some(code), Origin::Unknown);
                assert_ne!(kind, ForeignAnswer, "{status} {code}");
            }
        }
    }

    /// The row of the table for people that is about an answer.
    fn row(status: u16, code: &str) -> Meaning {
        let is_meant = |row: &Meaning| match row.code {
            None => code.is_empty(),
            Some(ANY_OTHER | EXPLAINED) => false,
            Some(shown) => match shown.split_once('…') {
                Some((start, end)) => code.starts_with(start) && code.ends_with(end) && code.len() == 8,
                None => shown == code,
            },
        };
        let about: Vec<Meaning> =
            meanings().into_iter().filter(|row| row.statuses.contains(&status)).collect();
        let named = about.iter().find(|row| is_meant(row));
        let other = about.iter().find(|row| row.code == Some(ANY_OTHER) && !code.is_empty());
        let plain = about.iter().find(|row| row.code.is_none());
        named.or(other).or(plain).unwrap().clone()
    }

    #[test]
    fn the_table_for_people_says_the_same() {
        for (status, code, kind, fresh_token) in TABLE.iter().filter(|row| row.0 < 600) {
            let row = row(*status, code);
            assert_eq!((row.kind, row.fresh_token), (*kind, *fresh_token), "{status} {code:?}: {row:?}");
        }
    }

    #[test]
    fn a_fresh_token_is_asked_for_only_where_nothing_was_done() {
        for status in 100..1000 {
            for code in [None, Some("401013"), Some("403020"), Some("2114-400"), Some("1100-400")] {
                if asks_for_fresh_token(status, code) {
                    let kind = classify(status, code, Origin::FlowService);
                    assert!(matches!(kind, Unauthorized | CredentialsRefused), "{status} {code:?}");
                }
            }
        }
    }
}
