//! A parked message as far as it can be told to anybody: which job, why, when, what of. Never a credential.
//!
//! Lenient: whatever is parked may be garbage, and garbage has no job id and no source.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::broker::delivery::Delivery;
use crate::broker::properties::Properties;
use crate::contract::history::{DEAD_AT, DEAD_REASON, DeadReason, History, LAST_ERROR};
use crate::contract::ids::JobId;
use crate::sources;

/// What is known about a parked message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letter {
    /// The id in the body, else the AMQP `message_id`; none if neither could be the id of a job.
    pub(super) job_id: Option<String>,
    /// Why it was parked.
    pub(super) reason: DeadReason,
    /// When it was parked.
    pub(super) parked_at: Option<Timestamp>,
    /// Attempts made.
    pub(super) attempts: Option<u32>,
    /// The source's name in our catalogue.
    pub(super) source: Option<&'static str>,
    /// What went wrong last.
    pub(super) last_error: Option<String>,
}

/// What is looked for in a body, wherever it may be and whatever it is: nothing else is taken apart.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Peek<'a> {
    #[serde(borrow)]
    job_id: Option<&'a RawValue>,
    source: Option<&'a RawValue>,
    connection: Option<&'a RawValue>,
    connection_spec: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
}

impl<'a> Peek<'a> {
    fn into(value: Option<&'a RawValue>) -> Self {
        value.and_then(|value| serde_json::from_str(value.get()).ok()).unwrap_or_default()
    }
}

fn text(value: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(value?.get()).ok()
}

impl Letter {
    /// Reads properties and body.
    pub(super) fn read(delivery: &Delivery) -> Self {
        Self::from_parts(&delivery.properties, &delivery.body)
    }

    fn from_parts(properties: &Properties, body: &[u8]) -> Self {
        let header = |name: &str| properties.header_text(name);
        let job = serde_json::from_slice(body).unwrap_or_default();
        Self {
            job_id: job_id(&job, properties),
            reason: DeadReason::read(
                header(DEAD_REASON).as_deref(),
                properties.deaths().first().map(|death| death.reason.as_str()),
            ),
            parked_at: parked_at(properties),
            attempts: History::read(header).attempts,
            source: source(&job),
            last_error: header(LAST_ERROR),
        }
    }

    /// How long it has been parked; nothing if that is not noted.
    pub(super) fn age(&self, now: Timestamp) -> Option<SignedDuration> {
        self.parked_at.map(|at| now.duration_since(at).max(SignedDuration::ZERO))
    }
}

/// Only what keeps the rules for ids: anything else could be a secret in the wrong place.
fn job_id(job: &Peek<'_>, properties: &Properties) -> Option<String> {
    let ids = [text(job.job_id), properties.message_id().map(str::to_owned)];
    ids.into_iter().flatten().find(|id| JobId::parse(id).is_ok())
}

/// By our own header, else by the broker's.
fn parked_at(properties: &Properties) -> Option<Timestamp> {
    let ours = properties.header_text(DEAD_AT).and_then(|text| text.trim().parse().ok());
    ours.or_else(|| {
        let at = properties.deaths().first()?.at?;
        Timestamp::from_second(i64::try_from(at).ok()?).ok()
    })
}

fn source(job: &Peek<'_>) -> Option<&'static str> {
    let named = text(job.source).and_then(|name| sources::by_name(&name));
    let spec = Peek::into(Peek::into(job.connection).connection_spec);
    named.or_else(|| sources::by_spec_id(&text(spec.id)?)).map(|source| source.name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::broker::properties::NewProperties;

    fn letter(message_id: &str, headers: &[(&'static str, &str)], body: &Value) -> Letter {
        let new = NewProperties {
            message_id: message_id.to_owned(),
            headers: headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
            ..NewProperties::default()
        };
        Letter::from_parts(&Properties::json(new).unwrap(), body.to_string().as_bytes())
    }

    #[test]
    fn a_letter_tells_what_its_headers_and_its_body_say() {
        let headers = [
            ("dead-reason", "exhausted"),
            ("dead-at", "2030-01-31T12:00:00Z"),
            ("job-attempts", "5"),
            ("job-last-error", "HTTP 503"),
        ];
        let spec = json!({ "id": "cc6a4487-9e91-433e-a3a3-9cf6626c1806" });
        let body = json!({ "jobId": "a", "connection": { "connectionSpec": spec } });
        let read = letter("m", &headers, &body);
        let expected = Letter {
            job_id: Some("a".to_owned()),
            reason: DeadReason::Exhausted,
            parked_at: Some("2030-01-31T12:00:00Z".parse().unwrap()),
            attempts: Some(5),
            source: Some("hubspot"),
            last_error: Some("HTTP 503".to_owned()),
        };
        assert_eq!(read, expected);
        let age = |now: &str| read.age(now.parse().unwrap());
        assert_eq!(age("2030-01-31T13:00:00Z"), Some(SignedDuration::from_hours(1)));
        assert_eq!(age("2030-01-31T11:59:59Z"), Some(SignedDuration::ZERO), "clocks differ");
    }

    #[test]
    fn garbage_is_read_as_far_as_it_goes() {
        let unknown = Letter {
            job_id: None,
            reason: DeadReason::Other,
            parked_at: None,
            attempts: None,
            source: None,
            last_error: None,
        };
        let bodies = [
            json!(null),
            json!([1]),
            json!({ "jobId": 7, "source": {}, "connection": "x" }),
            json!({ "jobId": "a secret / in the wrong place", "connection": { "connectionSpec": [] } }),
        ];
        for body in bodies {
            assert_eq!(letter("", &[], &body), unknown, "{body}");
        }
        assert_eq!(Letter::from_parts(&Properties::default(), b"\xff{"), unknown);
        assert_eq!(letter("m-1", &[], &json!({ "jobId": "a b" })).job_id.as_deref(), Some("m-1"));
        assert_eq!(letter("m", &[], &json!({ "source": "hubspot" })).source, Some("hubspot"));
    }
}
