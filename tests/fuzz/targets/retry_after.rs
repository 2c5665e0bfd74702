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
    assert!(now.checked_add(asked).is_some(), "it can be waited for");
    let later = retry_after(value, now + Duration::from_secs(1));
    assert!(later <= asked, "the later it is, the less there is to wait");
});
