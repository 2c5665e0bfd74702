//! `Retry-After`, whatever a server writes there, and whatever the time is.

#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use connection_worker::flow::fuzzing::retry_after;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u32, &str)| {
    let (seconds, value) = input;
    let now = UNIX_EPOCH + Duration::from_secs(seconds.into());
    let asked = retry_after(value, now);
    assert_eq!(retry_after(&format!(" {value}\t"), now), asked, "what stands around it makes no difference");
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        assert!(asked.is_some(), "a number is a number, however long");
    }
    if let Some(asked) = asked {
        let later = retry_after(value, now + Duration::from_secs(1)).expect("it can be read at any time");
        assert!(later <= asked, "the later it is, the less there is to wait");
    }
});
