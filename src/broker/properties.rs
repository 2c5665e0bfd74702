//! The AMQP properties of a message, without lapin's types.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::Error;

/// Persistent: a durable queue keeps the message over a restart (AMQP 0-9-1 `delivery-mode`).
const PERSISTENT: u8 = 2;

/// Headers that the broker writes; a republished message must not carry the old ones, because the broker would
/// neither trust nor update them.
const BROKER_HEADERS: &str = "x-";

/// Properties of a message received or to be published.
#[derive(Clone, Default)]
pub struct Properties(pub(super) BasicProperties);

/// Shows which message it is, not its headers: a sender may put anything there.
impl std::fmt::Debug for Properties {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Properties").field("message_id", &self.message_id()).finish_non_exhaustive()
    }
}

/// What a new message says about itself.
#[derive(Debug, Clone, Default)]
pub struct NewProperties {
    /// `message-id`.
    pub message_id: String,
    /// `correlation-id`.
    pub correlation_id: Option<String>,
    /// `type`.
    pub kind: &'static str,
    /// `timestamp`: Unix time in seconds.
    pub timestamp: u64,
    /// `reply-to`.
    pub reply_to: Option<String>,
    /// Text headers.
    pub headers: Vec<(&'static str, String)>,
}

fn text(value: Option<&ShortString>) -> Option<&str> {
    value.map(ShortString::as_str).filter(|text| !text.is_empty())
}

fn short(what: &'static str, value: &str) -> Result<ShortString, Error> {
    ShortString::try_new(value).map_err(|_| Error::TooLong { what })
}

impl Properties {
    /// Properties of a persistent JSON message.
    pub fn json(new: NewProperties) -> Result<Self, Error> {
        let mut properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type("application/json".into())
            .with_app_id(env!("CARGO_PKG_NAME").into())
            .with_message_id(short("the message id", &new.message_id)?)
            .with_timestamp(new.timestamp);
        if !new.kind.is_empty() {
            properties = properties.with_type(new.kind.into());
        }
        if let Some(id) = &new.correlation_id {
            properties = properties.with_correlation_id(short("the correlation id", id)?);
        }
        if let Some(queue) = &new.reply_to {
            properties = properties.with_reply_to(short("the reply queue", queue)?);
        }
        Ok(Self(properties).with_headers(new.headers))
    }

    /// The same with further text headers, persistent, and without what the broker noted on its way here.
    #[must_use]
    pub fn with_headers(self, headers: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let mut table = FieldTable::default();
        if let Some(old) = self.0.headers() {
            for (key, value) in old.inner() {
                if !key.as_str().starts_with(BROKER_HEADERS) {
                    table.insert(key.clone(), value.clone());
                }
            }
        }
        for (key, value) in headers {
            table.insert(key.into(), AMQPValue::LongString(value.into()));
        }
        Self(self.0.with_headers(table).with_delivery_mode(PERSISTENT))
    }

    /// `message-id`, if there is one.
    pub fn message_id(&self) -> Option<&str> {
        text(self.0.message_id().as_ref())
    }

    /// `correlation-id`, if there is one.
    pub fn correlation_id(&self) -> Option<&str> {
        text(self.0.correlation_id().as_ref())
    }

    /// `reply-to`, if there is one.
    pub fn reply_to(&self) -> Option<&str> {
        text(self.0.reply_to().as_ref())
    }

    /// `type`, if there is one.
    pub fn kind(&self) -> Option<&str> {
        text(self.0.kind().as_ref())
    }

    /// `timestamp`: Unix time in seconds, as AMQP 0-9-1 counts.
    pub fn timestamp(&self) -> Option<u64> {
        *self.0.timestamp()
    }

    /// A header, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        match self.0.headers().as_ref()?.inner().get(name)? {
            AMQPValue::LongString(value) => std::str::from_utf8(value.as_bytes()).ok(),
            AMQPValue::ShortString(value) => Some(value.as_str()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_the_broker_do_not_travel_on() {
        let mut table = FieldTable::default();
        table.insert("x-death".into(), AMQPValue::LongString("old".into()));
        table.insert("traceparent".into(), AMQPValue::LongString("00-1".into()));
        let received = Properties(BasicProperties::default().with_headers(table).with_expiration("5".into()));
        let parked = received.with_headers([("dead-reason", "malformed".to_owned())]);
        assert_eq!(parked.header("x-death"), None);
        assert_eq!(parked.header("traceparent"), Some("00-1"));
        assert_eq!(parked.header("dead-reason"), Some("malformed"));
    }

    #[test]
    fn a_name_that_amqp_cannot_carry_is_an_error_and_no_panic() {
        let new = NewProperties { correlation_id: Some("x".repeat(256)), ..NewProperties::default() };
        assert!(matches!(Properties::json(new), Err(Error::TooLong { .. })));
    }
}
