//! The mark by which a job finds its connection again. Flow Service takes no id from the caller and no idempotency key;
//! a connection's `description` is what can be written freely and searched for.

use super::ids::JobId;

/// The mark itself: ` [job <id>]`, without the blank. A job id has neither brackets nor blanks, so one mark is never a
/// part of another.
fn mark(id: &JobId) -> String {
    format!("[job {id}]")
}

/// A description that ends with the job's mark.
pub(super) fn marked(description: Option<&str>, id: &JobId) -> String {
    match description {
        Some(text) if !text.is_empty() => format!("{text} {}", mark(id)),
        _ => mark(id),
    }
}

/// Whether a description carries the mark of this job: at its end, where only the worker writes. Anything before that
/// may be a sender's, who could name another job there.
pub fn is_marked(description: &str, id: &JobId) -> bool {
    description.strip_suffix(&mark(id)).is_some_and(|rest| rest.is_empty() || rest.ends_with(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> JobId {
        JobId::parse(text).unwrap()
    }

    #[test]
    fn a_description_keeps_its_text_and_gets_the_mark() {
        assert_eq!(marked(Some("for HubSpot"), &id("a-1")), "for HubSpot [job a-1]");
        assert_eq!(marked(Some(""), &id("a-1")), "[job a-1]");
        assert_eq!(marked(None, &id("a-1")), "[job a-1]");
    }

    #[test]
    fn a_mark_is_recognised_whole_and_at_the_end_only() {
        for description in ["for HubSpot [job a-1]", "[job a-1]", "[job b] [job a-1]"] {
            assert!(is_marked(description, &id("a-1")), "{description}");
        }
        for description in
            ["", "job a-1", "[job a-1] [job b]", "[job a-12]", "[job xa-1]", "x[job a-1]", "[job a-1] "]
        {
            assert!(!is_marked(description, &id("a-1")), "{description}");
        }
    }
}
