//! Log lines as JSON objects, one each.
//!
//! tracing-subscriber's own JSON reads a span's fields out of their text and writes them anew, for each line and for each
//! field that is added. Here they are kept as the text that goes into the line.

use std::fmt::{Debug, Result};
use std::io;

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes fields as members of a JSON object, with a comma before each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Members;

/// Writes an event as one line: its time, its level, its fields, and those of the innermost span.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines;

impl<'w> FormatFields<'w> for Members {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> Result {
        let mut visitor = Visitor { writer, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }

    // The default writes a space between the old ones and the new.
    fn add_fields(&self, current: &'w mut FormattedFields<Self>, fields: &Record<'_>) -> Result {
        self.format_fields(current.as_writer(), fields)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> FormatEvent<S, Members> for Lines {
    fn format_event(
        &self,
        context: &FmtContext<'_, S, Members>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> Result {
        line.write_str(r#"{"timestamp":""#)?;
        SystemTime.format_time(&mut line)?;
        write!(line, r#"","level":"{}""#, event.metadata().level())?;
        context.format_fields(line.by_ref(), event)?;
        if let Some(span) = context.lookup_current() {
            write!(line, r#","span":{{"name":"{}""#, span.name())?;
            if let Some(fields) = span.extensions().get::<FormattedFields<Members>>() {
                line.write_str(&fields.fields)?;
            }
            line.write_char('}')?;
        }
        line.write_str("}\n")
    }
}

/// Takes JSON as `serde_json` writes it: in pieces, of which each is text.
struct Pieces<'w>(Writer<'w>);

impl io::Write for Pieces<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(piece).map_err(io::Error::other)?;
        self.0.write_str(text).map_err(io::Error::other)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Visitor<'w> {
    writer: Writer<'w>,
    result: Result,
}

impl Visitor<'_> {
    fn member(&mut self, field: &Field, value: impl Serialize) {
        self.result = self.result.and_then(|()| {
            write!(self.writer, r#","{}":"#, field.name())?;
            // Neither a text nor a number can fail to be JSON.
            serde_json::to_writer(Pieces(self.writer.by_ref()), &value).map_err(|_| std::fmt::Error)
        });
    }
}

impl Visit for Visitor<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.member(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.member(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.member(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing::field::Empty;
    use tracing::{error, error_span, info};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged, without the time; every line is JSON.
    fn logged(log: impl FnOnce()) -> Vec<Value> {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .fmt_fields(Members)
            .event_format(Lines)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let without_time = |line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            let time = line.as_object_mut().unwrap().remove("timestamp").unwrap();
            time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
            line
        };
        text.lines().map(without_time).collect()
    }

    #[test]
    fn every_kind_of_field_is_a_member_of_its_kind() {
        let lines = logged(|| {
            info!(count = 1_u64, less = -1_i64, share = 0.5, no_number = f64::NAN, yes = true, "said");
            error!(text = "a \"quoted\"\nline", debug = ?Some("x"), shown = %7, nothing = None::<u64>, "{}", 1);
        });
        let first = json!({ "level": "INFO", "message": "said", "count": 1, "less": -1, "share": 0.5, "no_number": null, "yes": true });
        let second = json!({ "level": "ERROR", "message": "1", "text": "a \"quoted\"\nline", "debug": "Some(\"x\")", "shown": "7" });
        assert_eq!(lines, [first, second]);
    }

    #[test]
    fn a_line_has_the_innermost_spans_fields_also_those_that_came_later() {
        let lines = logged(|| {
            let span = error_span!("job", job_id = Empty, message_id = "m-1", redelivered = false);
            let _entered = span.enter();
            info!("before");
            span.record("job_id", "a\"b");
            info!("after");
        });
        let before = json!({ "name": "job", "message_id": "m-1", "redelivered": false });
        let after = json!({ "name": "job", "message_id": "m-1", "redelivered": false, "job_id": "a\"b" });
        assert_eq!((&lines[0]["span"], &lines[1]["span"]), (&before, &after));
    }
}
