//! Reads `Retry-After` (RFC 9110, section 10.2.3): seconds or a date.

use std::time::{Duration, SystemTime};

/// Nobody waits for longer: what is asked for beyond is cut to this, so that it can be added to any time.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What is waited for when the header says something that cannot be read: it asks for a wait all the same.
const UNREADABLE: Duration = Duration::from_secs(5);

/// How long the sender of this header value asks us to wait, counted from `now`, which is best the answer's own date.
///
/// A fraction of a second counts as a whole one. A moment that has passed, or a negative number, is no wait at all.
pub(super) fn parse(value: &str, now: SystemTime) -> Duration {
    let value = value.trim();
    let wait = seconds(value).or_else(|| {
        let date = httpdate::parse_http_date(value).ok()?;
        Some(date.duration_since(now).unwrap_or(Duration::ZERO))
    });
    wait.unwrap_or(UNREADABLE).min(LONGEST)
}

/// A number of seconds, whole or with decimals.
fn seconds(value: &str) -> Option<Duration> {
    let number = value.strip_prefix('-').unwrap_or(value);
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) {
        return None;
    }
    if value.starts_with('-') {
        return Some(Duration::ZERO);
    }
    let begun = u64::from(decimals.bytes().any(|digit| digit != b'0'));
    Some(Duration::from_secs(whole.parse().unwrap_or(u64::MAX).saturating_add(begun)))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110's examples.
    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(784_111_777)
    }

    #[test]
    fn seconds_dates_and_nonsense() {
        let longest = LONGEST.as_secs();
        for (value, expected) in [
            ("0", 0),
            ("38", 38),
            (" 120 ", 120),
            ("-5", 0),
            ("6.5", 7),
            ("0.1", 1),
            ("6.0", 6),
            ("-0.5", 0),
            ("604800", longest),
            ("604801", longest),
            ("999999999999", longest),
            ("9223372036854775807", longest),
            ("18446744073709551615", longest),
            ("99999999999999999999999999999", longest),
            ("18446744073709551615.5", longest),
            ("Sun, 06 Nov 1994 08:50:07 GMT", 30),
            ("Sunday, 06-Nov-94 08:50:07 GMT", 30),
            ("Sun Nov  6 08:50:07 1994", 30),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Fri, 31 Dec 9999 23:59:59 GMT", longest),
            ("", 5),
            ("-", 5),
            ("+5", 5),
            (".5", 5),
            ("1.", 5),
            ("1.2.3", 5),
            ("300s", 5),
            ("soon", 5),
            ("NaN", 5),
            ("٣٨", 5),
        ] {
            assert_eq!(parse(value, now()).as_secs(), expected, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn it_can_be_added_to_any_time(value in ".*|[0-9]{1,30}([.][0-9]{1,9})?", seconds in 0..u64::from(u32::MAX)) {
            let now = UNIX_EPOCH + Duration::from_secs(seconds);
            prop_assert!(parse(&value, now) <= LONGEST);
        }
    }
}
