//! The trace headers of a message, as anybody may have written them.
//!
//! W3C Trace Context, section 3: <https://www.w3.org/TR/trace-context/#trace-context-http-headers-format>.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// The header that names the trace and the sender's span.
pub const TRACEPARENT: &str = "traceparent";

/// The header in which systems of traces keep what only they understand.
pub const TRACESTATE: &str = "tracestate";

/// What version 00 has; later ones may have more, of which we take so much.
const TRACEPARENT_LENGTH: usize = 55;
const LONGEST_TRACEPARENT: usize = 256;

/// The W3C wants at least 512 characters passed on.
const LONGEST_TRACESTATE: usize = 1024;

/// Valid trace headers: safe in an HTTP header, and the parents of what we do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parent {
    traceparent: String,
    tracestate: Option<String>,
    context: SpanContext,
}

impl Parent {
    /// Reads a message's trace headers. What is not as it should be counts as absent; without a `traceparent` so does
    /// `tracestate`.
    pub(super) fn read<'h>(header: impl Fn(&str) -> Option<&'h str>) -> Option<Self> {
        let traceparent = header(TRACEPARENT)?;
        let (trace_id, span_id, flags) = parse(traceparent)?;
        let (tracestate, state) = header(TRACESTATE).and_then(read_state).unzip();
        let context = SpanContext::new(trace_id, span_id, flags, true, state.unwrap_or_default());
        let tracestate = tracestate.map(str::to_owned);
        Some(Self { traceparent: traceparent.to_owned(), tracestate, context })
    }

    pub(super) fn trace_id(&self) -> TraceId {
        self.context.trace_id()
    }

    pub(super) fn span_context(&self) -> SpanContext {
        self.context.clone()
    }

    /// Both headers as they came.
    pub(super) fn headers(&self) -> Vec<(&'static str, String)> {
        let state = self.tracestate.clone().map(|state| (TRACESTATE, state));
        [(TRACEPARENT, self.traceparent.clone())].into_iter().chain(state).collect()
    }
}

/// The headers that name a span of ours as the parent; none of a span that came too late to be one.
pub(super) fn headers_of(context: &SpanContext) -> Vec<(&'static str, String)> {
    if !context.is_valid() {
        return Vec::new();
    }
    let (trace_id, span_id) = (context.trace_id(), context.span_id());
    let flags = context.trace_flags() & TraceFlags::SAMPLED;
    let state = context.trace_state().header();
    let state = (!state.is_empty()).then_some((TRACESTATE, state));
    let traceparent = format!("00-{trace_id}-{span_id}-{flags:02x}");
    [(TRACEPARENT, traceparent)].into_iter().chain(state).collect()
}

fn parse(traceparent: &str) -> Option<(TraceId, SpanId, TraceFlags)> {
    let mut parts = traceparent.splitn(5, '-');
    let version = parts.next().filter(|part| is_hex(part, 2) && *part != "ff")?;
    let trace_id = parts.next().filter(|part| is_hex(part, 32))?;
    let span_id = parts.next().filter(|part| is_hex(part, 16))?;
    let flags = parts.next().filter(|part| is_hex(part, 2))?;
    let rest_is_fine = match (version, parts.next()) {
        (_, None) => traceparent.len() == TRACEPARENT_LENGTH,
        ("00", Some(_)) => false,
        (_, Some(rest)) => {
            traceparent.len() <= LONGEST_TRACEPARENT && rest.bytes().all(|byte| byte.is_ascii_graphic())
        }
    };
    let trace_id = TraceId::from_hex(trace_id).ok().filter(|id| *id != TraceId::INVALID)?;
    let span_id = SpanId::from_hex(span_id).ok().filter(|id| *id != SpanId::INVALID)?;
    let flags = u8::from_str_radix(flags, 16).ok()?;
    rest_is_fine.then_some((trace_id, span_id, TraceFlags::new(flags) & TraceFlags::SAMPLED))
}

fn is_hex(part: &str, length: usize) -> bool {
    part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn read_state(text: &str) -> Option<(&str, TraceState)> {
    let plain = text.len() <= LONGEST_TRACESTATE && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let state: TraceState = text.parse().ok().filter(|_| plain)?;
    (!state.header().is_empty()).then_some((text, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn read(traceparent: &str, tracestate: Option<&str>) -> Option<Parent> {
        Parent::read(|name| match name {
            TRACEPARENT => Some(traceparent),
            TRACESTATE => tracestate,
            _ => None,
        })
    }

    #[test]
    fn good_headers_are_passed_on_as_they_came() {
        let later = format!("cc-{TRACE}-00f067aa0ba902b7-03-what-ever");
        for (traceparent, sampled) in [
            (GOOD, true),
            (&GOOD.replace("-01", "-00"), false),
            (&GOOD.replace("-01", "-03"), true),
            (&later, true),
        ] {
            let parent = read(traceparent, Some("vendor=a b, other@system=1")).unwrap();
            assert_eq!(parent.trace_id().to_string(), TRACE);
            assert_eq!(parent.span_context().is_sampled(), sampled, "{traceparent}");
            let expected = [(TRACEPARENT, traceparent), (TRACESTATE, "vendor=a b, other@system=1")];
            assert_eq!(parent.headers(), expected.map(|(name, value)| (name, value.to_owned())));
        }
    }

    #[test]
    fn a_traceparent_that_is_none_counts_as_absent() {
        for bad in [
            "",
            "00-1",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nx-evil: 1",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-\r\nx-evil: 1",
            "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-001",
        ] {
            assert_eq!(read(bad, Some("vendor=1")), None, "{bad}");
        }
        assert_eq!(read(&format!("cc-{TRACE}-00f067aa0ba902b7-01-{}", "x".repeat(256)), None), None);
    }

    #[test]
    fn a_tracestate_that_is_none_is_left_out() {
        for bad in ["", "no pair", "UPPER=1", "a=1\r\nx-evil: 1", "a=\u{e9}", &"a=1,".repeat(300)] {
            let parent = read(GOOD, Some(bad)).unwrap();
            assert_eq!(parent.headers(), [(TRACEPARENT, GOOD.to_owned())], "{bad:?}");
        }
    }

    #[test]
    fn a_span_of_ours_is_named_with_the_senders_state() {
        let parent = read(GOOD, Some("vendor=1")).unwrap().span_context();
        let expected = [(TRACEPARENT, GOOD.to_owned()), (TRACESTATE, "vendor=1".to_owned())];
        assert_eq!(headers_of(&parent), expected);
    }
}
