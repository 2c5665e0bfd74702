//! One setting: a value, or what is wrong with it.
//!
//! clap stops at the first value that it cannot read. An operator who has three variables wrong wants to hear of
//! all three, so a setting never fails to parse: it carries its fault to where all of them are collected.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use url::Url;

use crate::contract::ids::{ImsOrgId, SandboxName};

/// A value as it was given, already read. The fault never repeats the value.
#[derive(Debug, Clone)]
pub struct Setting<T>(Result<T, String>);

/// What a setting can hold.
pub trait Value: Sized {
    /// Reads the text of a flag or variable; the error says what is expected.
    fn read(text: &str) -> Result<Self, String>;
}

impl<T: Value> FromStr for Setting<T> {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(T::read(text.trim())))
    }
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The environment variable.
    pub name: &'static str,
    /// What is wrong with it; never its value.
    pub what: String,
}

impl Problem {
    /// The flag of the same meaning.
    pub fn flag(&self) -> String {
        format!("--{}", self.name.to_lowercase().replace('_', "-"))
    }
}

/// Every setting that cannot be used: reported all at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invalid(pub Vec<Problem>);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is invalid:")?;
        for problem in &self.0 {
            write!(f, "\n  {} ({}): {}", problem.name, problem.flag(), problem.what)?;
        }
        f.write_str("\nEach is an environment variable or a flag; --help tells what they mean.")
    }
}

impl std::error::Error for Invalid {}

impl Invalid {
    /// Notes a fault.
    pub fn add(&mut self, name: &'static str, what: impl Into<String>) {
        self.0.push(Problem { name, what: what.into() });
    }

    /// The value of a setting, or `None` with its fault noted.
    pub fn take<T>(&mut self, name: &'static str, setting: Setting<T>) -> Option<T> {
        setting.0.map_err(|what| self.add(name, what)).ok()
    }

    /// The value of a setting that may be absent.
    pub fn take_optional<T>(&mut self, name: &'static str, setting: Option<Setting<T>>) -> Option<T> {
        setting.and_then(|setting| self.take(name, setting))
    }

    /// The value of a duration that must lie within `range`.
    pub fn take_duration(
        &mut self,
        name: &'static str,
        setting: Setting<Duration>,
        range: std::ops::RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let value = self.take(name, setting)?;
        if !range.contains(&value) {
            self.add(name, format!("out of range, expected {:?} to {:?}", range.start(), range.end()));
            return None;
        }
        Some(value)
    }

    /// The value of a number that must lie within `range`.
    pub fn take_number<T: PartialOrd + fmt::Display>(
        &mut self,
        name: &'static str,
        setting: Setting<T>,
        range: std::ops::RangeInclusive<T>,
    ) -> Option<T> {
        let value = self.take(name, setting)?;
        if !range.contains(&value) {
            self.add(name, format!("out of range, expected {} to {}", range.start(), range.end()));
            return None;
        }
        Some(value)
    }
}

impl Value for Duration {
    fn read(text: &str) -> Result<Self, String> {
        let expected = || "not a duration, expected a number with a unit such as 500ms, 30s or 5m".to_owned();
        let duration: jiff::SignedDuration = text.parse().map_err(|_| expected())?;
        Self::try_from(duration).map_err(|_| expected())
    }
}

macro_rules! number {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn read(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| format!("not a whole number from {} to {}", <$type>::MIN, <$type>::MAX))
            }
        }
    )*};
}
number!(u16, u32, usize);

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub struct Bytes(pub usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}B", self.0)
    }
}

impl Value for Bytes {
    fn read(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let factor = match text.get(digits.len()..) {
            Some("" | "B") => Some(1),
            Some("KiB") => Some(1 << 10),
            Some("MiB") => Some(1 << 20),
            _ => None,
        };
        factor
            .zip(digits.trim_end().parse::<usize>().ok())
            .and_then(|(factor, number)| number.checked_mul(factor))
            .map(Self)
            .ok_or_else(|| "not a size, expected a whole number with B, KiB or MiB such as 1MiB".to_owned())
    }
}

impl Value for SocketAddr {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| "not an address, expected IP:PORT such as 127.0.0.1:9464 or [::]:9464".to_owned())
    }
}

impl Value for ImsOrgId {
    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl Value for SandboxName {
    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

/// On or off.
#[derive(Debug, Clone, Copy)]
pub(super) struct Switch(pub(super) bool);

impl Value for Switch {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "on" => Ok(Self(true)),
            "off" => Ok(Self(false)),
            _ => Err("expected on or off".to_owned()),
        }
    }
}

/// The base address of an HTTP API.
#[derive(Debug, Clone)]
pub struct HttpUrl(pub Url);

impl Value for HttpUrl {
    fn read(text: &str) -> Result<Self, String> {
        let url =
            Url::parse(text).map_err(|error| format!("not a URL ({error}), expected https://HOST/PATH"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("expected a URL that starts with https:// (or http://, on this machine)".to_owned());
        }
        if url.host().is_none() {
            return Err("the URL names no host".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("the URL carries credentials, which do not belong there".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("expected a URL without ? and #".to_owned());
        }
        Ok(Self(url))
    }
}

/// The name of a queue.
#[derive(Debug, Clone)]
pub struct QueueName(pub String);

impl Value for QueueName {
    fn read(text: &str) -> Result<Self, String> {
        // AMQP 0-9-1 allows 255 bytes; the names derived from this one are up to 16 longer.
        const LONGEST: usize = 200;
        if text.is_empty() || text.len() > LONGEST {
            return Err(format!("expected a queue name of 1 to {LONGEST} bytes"));
        }
        if text.starts_with("amq.") {
            return Err("queue names that start with amq. belong to RabbitMQ".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_with_their_units() {
        assert_eq!(Duration::read("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(Duration::read("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["30", "", "-3s", "soon"] {
            assert!(Duration::read(bad).unwrap_err().contains("such as 500ms, 30s or 5m"), "{bad}");
        }
        assert_eq!(Bytes::read("1MiB"), Ok(Bytes(1_048_576)));
        assert_eq!(Bytes::read("2 KiB"), Ok(Bytes(2048)));
        assert_eq!(Bytes::read("100"), Ok(Bytes(100)));
        for bad in ["1MB", "MiB", "99999999999999999999MiB", "-1"] {
            assert!(Bytes::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn urls_that_could_leak_or_mislead_are_refused() {
        assert!(HttpUrl::read("https://platform.adobe.io/data").is_ok());
        assert!(HttpUrl::read("http://[::1]:8080").is_ok());
        for bad in ["ftp://h", "h:80", "https://u:p@h", "https://h?x=1", "https://h#f", "https://", ""] {
            assert!(HttpUrl::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_fault_never_repeats_the_value() {
        let mut invalid = Invalid::default();
        let canary = "s3cr3t-canary";
        let setting: Setting<Duration> = canary.parse().unwrap();
        assert!(invalid.take("DRAIN_GRACE", setting).is_none());
        let setting: Setting<HttpUrl> = format!("https://u:{canary}@host").parse().unwrap();
        assert!(invalid.take("FLOW_URL", setting).is_none());
        let said = format!("{invalid} {invalid:?}");
        assert!(said.contains("DRAIN_GRACE (--drain-grace): not a duration"));
        assert!(said.contains("FLOW_URL"));
        assert!(!said.contains(canary), "{said}");
    }
}
