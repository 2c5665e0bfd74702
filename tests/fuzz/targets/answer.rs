//! An error answer of Flow Service, or of whoever stands in between, that repeats a credential of the job.
//!
//! The input is a credential and what the server makes of it, as lines: the credential, a request id, a `Retry-After`, and
//! the body. In the last three, the bytes 1 to 5 stand for the credential in one form or another.

#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use connection_worker::flow::fuzzing::told;
use libfuzzer_sys::{Corpus, fuzz_target};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

/// What is shown of a text, in characters, and what stands around it.
const LONGEST: usize = 1000 + 200;

fuzz_target!(|input: (u16, &str)| -> Corpus {
    let (status, text) = input;
    let mut lines = text.splitn(4, '\n');
    let (Some(secret), Some(request_id), Some(retry_after)) = (lines.next(), lines.next(), lines.next())
    else {
        return Corpus::Reject;
    };
    // No part of it stands in a text of ours.
    let secret = format!("S3\u{e7}ret{secret}~");
    let forms = forms(&secret);
    let spoilt = |text: &str| {
        (1u8..).zip(&forms).fold(text.to_owned(), |text, (mark, form)| text.replace(char::from(mark), form))
    };
    let [request_id, retry_after, body] = [request_id, retry_after, lines.next().unwrap_or("")].map(spoilt);
    let request = json!({ "auth": { "params": { "password": secret, "others": ["x", 1] } } }).to_string();
    let headers = [
        ("x-request-id", request_id.as_bytes()),
        ("retry-after", retry_after.as_bytes()),
        ("content-type", request_id.as_bytes()),
    ];
    let failure = told(request.as_bytes(), 300 + status % 300, &headers, body.as_bytes());
    let said = [Some(&failure.message), failure.flow_code.as_ref(), failure.request_id.as_ref()];
    for said in said.into_iter().flatten() {
        assert!(said.chars().count() <= LONGEST, "{} characters", said.chars().count());
        assert!(!said.chars().any(char::is_control), "{said:?}");
        for form in &forms {
            assert!(!said.contains(&plain(form)), "{form:?} in {said:?}");
        }
    }
    Corpus::Keep
});

/// As it is, in JSON, in JSON that is kept in a text of JSON, in an address, and in base64.
fn forms(secret: &str) -> [String; 5] {
    let quoted = |text: &str| {
        let text = Value::from(text).to_string();
        text[1..text.len() - 1].to_owned()
    };
    [
        secret.to_owned(),
        quoted(secret),
        quoted(&quoted(secret)),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        STANDARD.encode(secret),
    ]
}

/// What control characters become before anything is shown.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
