//! A message from the job queue. The input is its `message_id`, a line end, and its body.
//!
//! Whatever it is, it is read without a panic; a refusal is short and repeats no value; what is taken for a job reads the
//! same when it is read again.

#![no_main]

use connection_worker::contract::{Defaults, Envelope, Limits, Rejected, parse};
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::{Value, json};

/// Stands in place of every text of a message.
const CANARY: &str = "C4naryText";

/// Twenty faults are told, each with at most 256 characters of its path.
const LONGEST_REFUSAL: usize = 32 * 1024;

const LIMITS: Limits = Limits { max_bytes: 64 * 1024 };

fuzz_target!(|input: &[u8]| -> Corpus {
    if input.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()) {
        return Corpus::Reject;
    }
    let line_end = input.iter().position(|byte| *byte == b'\n');
    let (id, body) = line_end.map_or((&[][..], input), |at| (&input[..at], &input[at + 1..]));
    let envelope = Envelope { message_id: std::str::from_utf8(id).ok().map(str::to_owned) };
    match parse(body, &envelope, &defaults(true), LIMITS) {
        Err(rejected) => check_refusal(&rejected),
        Ok(job) => assert!(job.marked_description.is_some_and(|text| text.ends_with(']'))),
    }
    if let Ok(job) = parse(body, &envelope, &defaults(false), LIMITS) {
        let connection: Value = serde_json::from_slice(&job.body).expect("what is sent is JSON");
        let again = json!({
            "jobId": job.id.as_str(),
            "imsOrgId": job.ims_org_id.as_str(),
            "sandboxName": job.sandbox_name.as_str(),
            "expiresAt": job.expires_at.map(|at| at.to_string()),
        });
        let again = again.to_string();
        let connection_text = std::str::from_utf8(&job.body).expect("JSON is text");
        let again = format!("{},\"connection\":{connection_text}}}", &again[..again.len() - 1]);
        let limits = Limits { max_bytes: again.len() };
        let read = parse(again.as_bytes(), &Envelope::default(), &defaults(false), limits);
        assert_eq!(read.as_ref(), Ok(&job), "{connection}");
        for name in [job.id.as_str(), job.ims_org_id.as_str(), job.sandbox_name.as_str()] {
            assert!(name.bytes().all(|byte| byte.is_ascii_graphic()), "fit for a header: {name:?}");
        }
    }
    check_canaries(body);
    Corpus::Keep
});

fn defaults(mark: bool) -> Defaults {
    Defaults { mark, ..Defaults::default() }
}

fn check_refusal(rejected: &Rejected) {
    let told = rejected.to_string();
    assert!(!told.is_empty() && told.len() < LONGEST_REFUSAL, "{} bytes", told.len());
    assert!(!told.chars().any(char::is_control), "{told:?}");
}

/// The same message with other texts in it, whole and cut, must not be repeated either.
fn check_canaries(body: &[u8]) {
    let Ok(mut message) = serde_json::from_slice::<Value>(body) else { return };
    replace(&mut message);
    let message = message.to_string();
    let half = message.floor_char_boundary(message.len() / 2);
    for text in [&message, &message[..half]] {
        if let Err(rejected) = parse(text.as_bytes(), &Envelope::default(), &defaults(true), LIMITS) {
            let told = rejected.to_string();
            assert!(!told.contains(CANARY), "{told}");
            check_refusal(&rejected);
        }
    }
}

fn replace(value: &mut Value) {
    match value {
        Value::String(text) => CANARY.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(replace),
        Value::Object(fields) => fields.values_mut().for_each(replace),
        _ => {}
    }
}
