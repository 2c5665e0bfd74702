//! Reads `Retry-After` (RFC 9110, section 10.2.3): seconds or a date.
//!
//! Says what was sent and caps nothing: how long the worker is willing to wait is decided elsewhere.

use std::time::{Duration, SystemTime};

/// How long the sender of this header value asks us to wait, counted from `now`.
///
/// A moment that has passed, or a negative number, is no wait at all. A number beyond 64 bits saturates. What is neither a
/// whole number nor an HTTP date is `None`.
pub(super) fn parse(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let digits = value.strip_prefix('-').unwrap_or(value);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        if value.starts_with('-') {
            return Some(Duration::ZERO);
        }
        return Some(Duration::from_secs(digits.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
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
        let seconds = |n| Some(Duration::from_secs(n));
        for (value, expected) in [
            ("0", seconds(0)),
            ("38", seconds(38)),
            (" 120 ", seconds(120)),
            ("-5", seconds(0)),
            ("999999999999", seconds(999_999_999_999)),
            ("18446744073709551615", seconds(u64::MAX)),
            ("99999999999999999999999999999", seconds(u64::MAX)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", seconds(30)),
            ("Sunday, 06-Nov-94 08:50:07 GMT", seconds(30)),
            ("Sun Nov  6 08:50:07 1994", seconds(30)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", seconds(0)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", seconds(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", seconds(253_402_300_799 - 784_111_777)),
            ("", None),
            ("-", None),
            ("+5", None),
            ("1.5", None),
            ("300s", None),
            ("soon", None),
            ("NaN", None),
            ("٣٨", None),
        ] {
            assert_eq!(parse(value, now()), expected, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(value in ".*", seconds in 0..u64::from(u32::MAX)) {
            parse(&value, UNIX_EPOCH + Duration::from_secs(seconds));
        }
    }
}
