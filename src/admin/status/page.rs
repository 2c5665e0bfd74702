//! The page: a template in which elements name the value that they show, so that the script finds them too.
//!
//! `data-value="/jobs/created"` shows one value; `data-rows="/breakers" data-columns="breaker open"` shows a table's rows.

use std::fmt::Write as _;

use serde_json::Value;

const TEMPLATE: &str = include_str!("status.html");
const STYLE: &str = include_str!("status.css");
const SCRIPT: &str = include_str!("status.js");

/// The page as it is at this moment.
pub(super) fn render(state: &Value, nonce: &str) -> String {
    let level = state.pointer("/health/level").map(shown).unwrap_or_default();
    let template = TEMPLATE.replace("{{nonce}}", nonce).replace("{{level}}", &level);
    let filled = fill(&fill(&template, "data-value", state, &shown_at), "data-columns", state, &rows);
    filled.replace("{{style}}", STYLE).replace("{{script}}", SCRIPT)
}

/// Puts `content` behind every tag whose last attribute is this one.
fn fill(
    html: &str,
    attribute: &str,
    state: &Value,
    content: &dyn Fn(&str, &str, &Value) -> String,
) -> String {
    let mark = format!("{attribute}=\"");
    let mut parts = html.split(mark.as_str());
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (value, rest) = part.split_once("\">").unwrap_or((part, ""));
        let content = content(&filled, value, state);
        for piece in [mark.as_str(), value, "\">", content.as_str(), rest] {
            filled.push_str(piece);
        }
    }
    filled
}

/// One value, escaped.
fn shown_at(_before: &str, pointer: &str, state: &Value) -> String {
    state.pointer(pointer).map_or_else(String::new, shown)
}

/// The rows of the table that was named just before.
fn rows(before: &str, columns: &str, state: &Value) -> String {
    let pointer = before.rsplit_once("data-rows=\"").and_then(|(_, rest)| rest.split_once('"'));
    let list = pointer.and_then(|(pointer, _)| state.pointer(pointer)).and_then(Value::as_array);
    let mut rows = String::new();
    for item in list.into_iter().flatten() {
        rows.push_str("<tr>");
        for column in columns.split(' ') {
            let cell = item.get(column).map(shown).unwrap_or_default();
            write!(rows, "<td>{cell}</td>").unwrap_or_default();
        }
        rows.push_str("</tr>");
    }
    rows
}

/// A value for a person, escaped. The script writes values in the same way.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or_default();
            let text = format!("{number:.2}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        Value::String(text) => escaped(text),
        other => escaped(&other.to_string()),
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_filled_in_and_cannot_break_out() {
        let state = json!({ "a": { "b": "<script>\"'&" }, "n": 12.5, "whole": 3, "none": null,
                            "list": [{ "x": "<b>", "y": 1 }, { "x": "z" }] });
        let filled =
            |html: &str| fill(&fill(html, "data-value", &state, &shown_at), "data-columns", &state, &rows);
        assert_eq!(
            filled("<i data-value=\"/a/b\"></i>"),
            "<i data-value=\"/a/b\">&lt;script&gt;&quot;&#39;&amp;</i>"
        );
        for (pointer, text) in [("/n", "12.5"), ("/whole", "3"), ("/none", "–"), ("/absent", "")] {
            let html = format!("<i data-value=\"{pointer}\"></i>");
            assert_eq!(filled(&html), html.replace("></i>", &format!(">{text}</i>")));
        }
        assert_eq!(
            filled("<tbody data-rows=\"/list\" data-columns=\"x y\"></tbody>"),
            "<tbody data-rows=\"/list\" data-columns=\"x y\"><tr><td>&lt;b&gt;</td><td>1</td></tr>\
             <tr><td>z</td><td></td></tr></tbody>"
        );
    }

    #[test]
    fn the_script_and_the_style_stand_in_the_page_as_they_are() {
        let page = render(&json!({ "health": { "level": "good" } }), "n0nce");
        assert!(page.contains(SCRIPT) && page.contains(STYLE) && page.contains("data-level=\"good\""));
        assert!(!page.contains("{{"), "something was not filled in");
        // A page that is let in by nonce must not depend on anything that is not.
        for outside in ["http://", "https://", " onclick", " onload", " style=", "javascript:"] {
            assert!(!TEMPLATE.contains(outside), "{outside}");
        }
    }
}
