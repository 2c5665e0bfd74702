//! What the fuzz targets need of this module's inside. Built for them alone.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::Failure;
use super::client::refused;
use super::http::{Answer, End};
use super::redact::Redactor;
use super::retry_after::parse;

/// What a value of `Retry-After` asks for.
pub fn retry_after(value: &str, now: SystemTime) -> Duration {
    parse(value, now)
}

/// What the sender of `request` would be told of an error answer with this status, these headers and this body.
pub fn told(request: &[u8], status: u16, headers: &[(&'static str, &[u8])], body: &[u8]) -> Failure {
    let headers: HeaderMap = headers
        .iter()
        .filter_map(|(name, value)| {
            Some((HeaderName::from_static(name), HeaderValue::from_bytes(value).ok()?))
        })
        .collect();
    let answer = Answer { status, body: body.to_vec(), end: End::Whole, headers };
    refused(&answer, &Redactor::for_request(request)).failure
}
