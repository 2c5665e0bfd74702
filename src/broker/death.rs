//! What the broker itself notes on a message that it dead-letters: RabbitMQ's header `x-death`.

use lapin::types::{AMQPValue, FieldTable};

use super::properties::Properties;

/// How often a message was dead-lettered from one queue for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// Why, in RabbitMQ's words: `expired`, `delivery_limit`, `rejected`, `maxlen`.
    pub reason: String,
    /// The queue that it was in.
    pub queue: String,
    /// How often.
    pub count: i64,
    /// When first, in Unix time (seconds).
    pub at: Option<u64>,
}

impl Death {
    fn read(table: &FieldTable) -> Self {
        let text = |name| match table.inner().get(name) {
            Some(AMQPValue::LongString(text)) => text.to_string(),
            Some(AMQPValue::ShortString(text)) => text.to_string(),
            _ => String::new(),
        };
        Self {
            reason: text("reason"),
            queue: text("queue"),
            count: match table.inner().get("count") {
                Some(AMQPValue::LongLongInt(count)) => *count,
                _ => 1,
            },
            at: match table.inner().get("time") {
                Some(AMQPValue::Timestamp(at)) => Some(*at),
                _ => None,
            },
        }
    }
}

impl Properties {
    /// What the broker has noted, the latest first; what it did not write is left out.
    pub fn deaths(&self) -> Vec<Death> {
        let headers = self.0.headers().as_ref().map(FieldTable::inner);
        let Some(AMQPValue::FieldArray(deaths)) = headers.and_then(|headers| headers.get("x-death")) else {
            return Vec::new();
        };
        let tables = deaths.as_slice().iter().filter_map(|death| match death {
            AMQPValue::FieldTable(table) => Some(table),
            _ => None,
        });
        tables.map(Death::read).collect()
    }
}

#[cfg(test)]
mod tests {
    use lapin::BasicProperties;
    use lapin::types::FieldArray;

    use super::*;

    #[test]
    fn deaths_are_read_and_nonsense_is_none() {
        let mut death = FieldTable::default();
        death.insert("reason".into(), AMQPValue::LongString("expired".into()));
        death.insert("queue".into(), AMQPValue::LongString("jobs".into()));
        death.insert("count".into(), AMQPValue::LongLongInt(2));
        death.insert("time".into(), AMQPValue::Timestamp(1_900_000_000));
        let in_header = |value: AMQPValue| {
            let mut headers = FieldTable::default();
            headers.insert("x-death".into(), value);
            Properties(BasicProperties::default().with_headers(headers)).deaths()
        };
        let read = in_header(AMQPValue::FieldArray(FieldArray::from(vec![
            AMQPValue::FieldTable(death),
            AMQPValue::Boolean(true),
        ])));
        let expected = Death {
            reason: "expired".to_owned(),
            queue: "jobs".to_owned(),
            count: 2,
            at: Some(1_900_000_000),
        };
        assert_eq!(read, [expected]);
        assert_eq!(in_header(AMQPValue::LongString("x".into())), []);
        assert_eq!(Properties::default().deaths(), []);
    }
}
