//! Reads what an error answer says about itself: code, message, request id.
//!
//! Flow Service, its gateway, the platform in front of both and IMS each have their own shape of error body, and
//! proxies send HTML or nothing. All are tried, and none may make this fail. The text in a [`Problem`] is as it was sent:
//! whoever shows it redacts it first.

use serde_json::{Map, Value};

use super::failure::Origin;

/// Adobe's longest known codes have 14 characters (`FLOW-1439-404`, `invalid_client`).
const MAX_CODE: usize = 64;

/// Request ids are UUIDs or 32 letters and digits.
const MAX_REQUEST_ID: usize = 128;

/// What an error answer says about itself. Not fit to be shown yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Problem {
    /// `1100-400` of Flow Service, `429050` of the gateway, `invalid_scope` of IMS.
    pub(super) code: Option<String>,
    /// The explanation that says most.
    pub(super) message: Option<String>,
    /// Adobe's id of the call.
    pub(super) request_id: Option<String>,
    /// Whether it has fields that only Flow Service sends.
    pub(super) is_flow_services: bool,
}

impl Problem {
    /// Whose word the answer is, as far as this shows.
    pub(super) fn origin(&self) -> Origin {
        match (self.is_flow_services, &self.message) {
            (true, _) => Origin::FlowService,
            (false, Some(_)) => Origin::Explained,
            (false, None) => Origin::Unknown,
        }
    }

    /// Reads a body, whatever it is; `header` is the answer's `X-Request-Id`.
    pub(super) fn read(body: &[u8], header: Option<&str>) -> Self {
        let fields = match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) | Err(_) => Map::new(),
        };
        let report = fields.get("report").and_then(Value::as_object);
        Self {
            code: code(&fields),
            message: message(&fields, report),
            is_flow_services: fields.contains_key("errorMessage") || report.is_some(),
            request_id: ["request-id", "requestId"]
                .iter()
                .filter_map(|key| report?.get(*key)?.as_str())
                .chain(header)
                .find(|id| is_plain(id, MAX_REQUEST_ID))
                .map(str::to_owned),
        }
    }
}

/// Flow Service puts its code into the `type` address, the gateway into `error_code` (a string on the wire, a number in
/// Adobe's `OpenAPI` file), IMS into `error`.
fn code(fields: &Map<String, Value>) -> Option<String> {
    let of_type = fields.get("type").and_then(Value::as_str).and_then(code_in_type);
    of_type.or_else(|| {
        ["error_code", "error", "errorCode", "code"].iter().find_map(|key| {
            let code = match fields.get(*key)? {
                Value::String(code) => code.trim().to_owned(),
                Value::Number(code) => code.to_string(),
                _ => return None,
            };
            is_plain(&code, MAX_CODE).then_some(code)
        })
    })
}

/// `1439-404` from `https://ns.adobe.com/aep/errors/FLOW-1439-404`. Another prefix than Flow Service's own stays.
fn code_in_type(address: &str) -> Option<String> {
    let last = address.rsplit('/').next()?;
    let mut parts = last.rsplit('-');
    let (status, number) = (parts.next()?, parts.next()?);
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let prefixed = parts.next();
    let prefix_fits = prefixed.is_none_or(|prefix| {
        !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_uppercase()) && prefix.len() <= 32
    });
    let fits = digits(status, 3) && digits(number, 4) && prefix_fits && parts.next().is_none();
    fits.then(|| last.strip_prefix("FLOW-").unwrap_or(last).to_owned())
}

fn message(fields: &Map<String, Value>, report: Option<&Map<String, Value>>) -> Option<String> {
    let detailed = report.and_then(|report| report.get("detailed-message"));
    let others = ["errorMessage", "detail", "message", "error_description", "title"];
    detailed
        .into_iter()
        .chain(others.iter().filter_map(|key| fields.get(*key)))
        .filter_map(Value::as_str)
        .find(|text| !text.trim().is_empty())
        .map(str::to_owned)
}

/// Codes and ids go into headers, logs and replies: nothing but the letters that they are made of.
fn is_plain(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn problem(code: &str, message: &str, request_id: &str) -> Problem {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let (code, message, request_id) = (some(code), some(message), some(request_id));
        Problem { code, message, request_id, is_flow_services: false }
    }

    #[test]
    fn every_known_shape_is_read() {
        for (body, expected) in [
            (
                r#"{"type":"https://ns.adobe.com/aep/errors/FLOW-1439-404","title":"Resource not found","status":404,
                    "report":{"detailed-message":"No flow with that id","request-id":"r-1","id":"x","type":"flows"},
                    "errorMessage":"shorter","errorDetails":"more"}"#,
                Problem { is_flow_services: true, ..problem("1439-404", "No flow with that id", "r-1") },
            ),
            (
                r#"{"errorMessage":"not found","errorDetails":"x"}"#,
                Problem { is_flow_services: true, ..problem("", "not found", "") },
            ),
            (
                r#"{"message":"Please provide a valid spec id"}"#,
                problem("", "Please provide a valid spec id", ""),
            ),
            (r#"{"error_code":"401013","message":"Oauth"}"#, problem("401013", "Oauth", "")),
            (r#"{"error_code":401013,"message":"Oauth"}"#, problem("401013", "Oauth", "")),
            (
                r#"{"type":"/placeholder/type/uri","status":400,"title":"BadRequestError","detail":"A valid one"}"#,
                problem("", "A valid one", ""),
            ),
            (r#"{"error":"invalid_scope","error_description":"why"}"#, problem("invalid_scope", "why", "")),
            (r#"{"title":"Only a title"}"#, problem("", "Only a title", "")),
            ("", problem("", "", "")),
            ("<html>502 Bad Gateway</html>", problem("", "", "")),
            ("[1,2]", problem("", "", "")),
            ("null", problem("", "", "")),
            (r#"{"type":1,"report":[],"message":{"a":1},"error_code":[]}"#, problem("", "", "")),
        ] {
            assert_eq!(Problem::read(body.as_bytes(), None), expected, "{body}");
        }
    }

    #[test]
    fn the_header_is_the_last_source_of_the_request_id() {
        let in_body = br#"{"report":{"requestId":"from-body"}}"#;
        assert_eq!(Problem::read(in_body, Some("from-header")).request_id.as_deref(), Some("from-body"));
        let unfit = br#"{"report":{"request-id":"from body\n"}}"#;
        assert_eq!(Problem::read(unfit, Some("from-header")).request_id.as_deref(), Some("from-header"));
        assert_eq!(Problem::read(b"", Some("<b>")).request_id, None);
        assert_eq!(Problem::read(b"", Some(&"x".repeat(129))).request_id, None);
    }

    #[test]
    fn an_unfit_code_gives_way_to_the_next() {
        let spring = br#"{"error":"Bad Request","code":"E-7"}"#;
        assert_eq!(Problem::read(spring, None).code.as_deref(), Some("E-7"));
        let long = format!(r#"{{"error_code":"{}"}}"#, "9".repeat(65));
        assert_eq!(Problem::read(long.as_bytes(), None).code, None);
    }

    #[test]
    fn only_a_type_that_ends_in_a_code_gives_one() {
        for (address, expected) in [
            ("https://ns.adobe.com/aep/errors/FLOW-2120-403", Some("2120-403")),
            ("https://ns.adobe.com/aep/errors/UPQL-2120-403", Some("UPQL-2120-403")),
            ("1100-400", Some("1100-400")),
            ("flow-1100-400", None),
            ("FLOW-1100-4000", None),
            ("FLOW-X-1100-400", None),
            ("-1100-400", None),
            ("about:blank", None),
        ] {
            assert_eq!(code_in_type(address).as_deref(), expected, "{address}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(body in any::<Vec<u8>>(), header in ".*") {
            Problem::read(&body, Some(&header));
        }

        #[test]
        fn never_panics_on_a_code_of_any_text(code in ".*", id in ".*") {
            let body = serde_json::json!({ "type": code, "error_code": code, "report": { "request-id": id } });
            let problem = Problem::read(body.to_string().as_bytes(), None);
            prop_assert!(problem.code.is_none_or(|code| is_plain(&code, MAX_CODE)));
            prop_assert!(problem.request_id.is_none_or(|id| is_plain(&id, MAX_REQUEST_ID)));
        }
    }
}
