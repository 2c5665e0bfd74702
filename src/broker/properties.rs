//! The AMQP properties of a message, without lapin's types.

use std::collections::BTreeMap;

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

/// Headers with which a sender asks the broker for copies in further queues. A republished message must not carry
/// them, or the copies would be made again: one that names the job queue would go round for ever.
const COPY_HEADERS: [&str; 2] = ["CC", "BCC"];

/// Where a republished message keeps what acts on the broker as a property: the broker takes a `user-id` only from
/// that user, and ends the message's life after its `expiration`.
const USER_ID: &str = "job-user-id";
const EXPIRATION: &str = "job-expiration";

/// Bytes of headers that a republished message may keep. All properties must fit into one frame, of 128 KiB by
/// default, or the broker closes the connection; and they may have come in a frame that was full.
const HEADER_BUDGET: usize = 64 * 1024;

/// How many headers were too large to be kept.
const OMITTED: &str = "job-headers-omitted";

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

/// A property can be set and not taken away: so every one is copied but `user-id`, `expiration` and the headers.
fn without_what_acts(old: &BasicProperties) -> BasicProperties {
    let mut new = BasicProperties::default();
    macro_rules! copy {
        ($($get:ident => $set:ident),+ $(,)?) => {
            $(if let Some(value) = old.$get() { new = new.$set(value.clone()); })+
        };
    }
    copy!(
        content_type => with_content_type,
        content_encoding => with_content_encoding,
        priority => with_priority,
        correlation_id => with_correlation_id,
        reply_to => with_reply_to,
        message_id => with_message_id,
        timestamp => with_timestamp,
        kind => with_type,
        app_id => with_app_id,
        cluster_id => with_cluster_id,
    );
    new
}

/// The headers that a message may keep: all, unless they leave no room for ours; then the smallest, and a note.
fn kept(old: &FieldTable) -> FieldTable {
    let goes = |key: &str| key.starts_with(BROKER_HEADERS) || COPY_HEADERS.contains(&key);
    let mut headers: Vec<_> = old
        .inner()
        .iter()
        .filter(|(key, _)| !goes(key.as_str()))
        .map(|(key, value)| (1 + key.as_str().len() + size(value), key, value))
        .collect();
    headers.sort_by_key(|(size, ..)| *size);
    let (mut table, mut left, mut omitted) = (FieldTable::default(), HEADER_BUDGET, 0);
    for (size, key, value) in headers {
        if size > left {
            omitted += 1;
            continue;
        }
        left -= size;
        table.insert(key.clone(), value.clone());
    }
    if omitted > 0 {
        table.insert(OMITTED.into(), AMQPValue::LongInt(omitted));
    }
    table
}

/// The bytes that a header's value takes in a frame, or a few more.
fn size(value: &AMQPValue) -> usize {
    const SIMPLE: usize = 9; // a tag and eight bytes
    match value {
        AMQPValue::LongString(text) => SIMPLE + text.as_bytes().len(),
        AMQPValue::ShortString(text) => SIMPLE + text.as_str().len(),
        AMQPValue::ByteArray(bytes) => SIMPLE + bytes.as_slice().len(),
        AMQPValue::FieldArray(values) => SIMPLE + values.as_slice().iter().map(size).sum::<usize>(),
        AMQPValue::FieldTable(table) => {
            SIMPLE
                + table.inner().iter().map(|(key, value)| 1 + key.as_str().len() + size(value)).sum::<usize>()
        }
        _ => SIMPLE,
    }
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
        if !new.headers.is_empty() {
            let mut table = FieldTable::default();
            for (name, value) in new.headers {
                table.insert(name.into(), AMQPValue::LongString(value.into()));
            }
            properties = properties.with_headers(table);
        }
        Ok(Self(properties))
    }

    /// The same with further text headers, persistent, and without what the broker noted on its way here or would act
    /// on once more.
    #[must_use]
    pub fn with_headers(self, headers: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let mut table = self.0.headers().as_ref().map(kept).unwrap_or_default();
        let acting = [(USER_ID, self.0.user_id()), (EXPIRATION, self.0.expiration())];
        let acting = acting.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?.to_string())));
        for (key, value) in acting.chain(headers) {
            table.insert(key.into(), AMQPValue::LongString(value.into()));
        }
        Self(without_what_acts(&self.0).with_headers(table).with_delivery_mode(PERSISTENT))
    }

    /// The same without some of its headers.
    #[must_use]
    pub fn without_headers(self, names: &[&str]) -> Self {
        let Some(old) = self.0.headers().as_ref() else { return self };
        let left = old.inner().iter().filter(|(name, _)| !names.contains(&name.as_str()));
        let left: BTreeMap<_, _> = left.map(|(name, value)| (name.clone(), value.clone())).collect();
        Self(self.0.with_headers(FieldTable::from(left)))
    }

    /// The names of its headers, in alphabetical order.
    pub fn header_names(&self) -> impl Iterator<Item = &str> {
        self.0.headers().iter().flat_map(|table| table.inner().keys().map(ShortString::as_str))
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

    /// A header as text, if it is there and is text or a whole number: clients differ in what they write.
    pub fn header_text(&self, name: &str) -> Option<String> {
        let number = match self.0.headers().as_ref()?.inner().get(name)? {
            AMQPValue::ShortShortInt(value) => i128::from(*value),
            AMQPValue::ShortShortUInt(value) => i128::from(*value),
            AMQPValue::ShortInt(value) => i128::from(*value),
            AMQPValue::ShortUInt(value) => i128::from(*value),
            AMQPValue::LongInt(value) => i128::from(*value),
            AMQPValue::LongUInt(value) => i128::from(*value),
            AMQPValue::LongLongInt(value) => i128::from(*value),
            _ => return self.header(name).map(str::to_owned),
        };
        Some(number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use lapin::types::FieldArray;

    use super::*;

    #[test]
    fn what_acts_on_the_broker_does_not_travel_on() {
        let mut table = FieldTable::default();
        table.insert("x-death".into(), AMQPValue::LongString("old".into()));
        table.insert("traceparent".into(), AMQPValue::LongString("00-1".into()));
        let copies = FieldArray::from(vec![AMQPValue::LongString("jobs".into())]);
        table.insert("CC".into(), AMQPValue::FieldArray(copies));
        let received = BasicProperties::default()
            .with_headers(table)
            .with_expiration("5".into())
            .with_user_id("sender".into())
            .with_app_id("crm".into());
        let parked = Properties(received).with_headers([("dead-reason", "malformed".to_owned())]);
        assert_eq!(parked.header("x-death"), None);
        assert!(!parked.0.headers().as_ref().unwrap().contains_key("CC"));
        assert_eq!((parked.0.expiration(), parked.0.user_id()), (&None, &None));
        assert_eq!(parked.header("job-expiration"), Some("5"));
        assert_eq!(parked.header("job-user-id"), Some("sender"));
        assert_eq!(parked.0.app_id().as_ref().map(ShortString::as_str), Some("crm"));
        assert_eq!(parked.header("traceparent"), Some("00-1"));
        assert_eq!(parked.header("dead-reason"), Some("malformed"));
    }

    #[test]
    fn headers_that_leave_no_room_for_ours_are_left_out_largest_first() {
        let mut table = FieldTable::default();
        for length in [1, 10, HEADER_BUDGET] {
            let value = AMQPValue::LongString("x".repeat(length).into());
            table.insert(format!("h{length}").into(), value);
        }
        let kept = Properties(BasicProperties::default().with_headers(table)).with_headers([]);
        let kept = kept.0.headers().as_ref().unwrap().inner();
        assert_eq!(kept.keys().map(ShortString::as_str).collect::<Vec<_>>(), ["h1", "h10", OMITTED]);
    }

    #[test]
    fn a_name_that_amqp_cannot_carry_is_an_error_and_no_panic() {
        let new = NewProperties { correlation_id: Some("x".repeat(256)), ..NewProperties::default() };
        assert!(matches!(Properties::json(new), Err(Error::TooLong { .. })));
    }
}
