//! Refusals in the shapes that Adobe sends. Knows no reason for any of them.

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::payload::Payload;

/// An answer with a JSON body.
pub(super) fn json_answer(status: StatusCode, body: impl Into<bytes::Bytes>) -> Response<Payload> {
    let mut answer = Response::new(Payload::whole(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn answer(status: u16, body: &Value) -> Response<Payload> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json_answer(status, body.to_string())
}

/// Flow Service's own refusals, as its error pages print them. `code` is like `1413-400`.
pub(super) fn flow(status: u16, code: &str, detail: &str, request_id: &str) -> Response<Payload> {
    answer(status, &flow_body(status, code, detail, request_id))
}

fn flow_body(status: u16, code: &str, detail: &str, request_id: &str) -> Value {
    json!({
        "type": format!("https://ns.adobe.com/aep/errors/FLOW-{code}"),
        "title": title(status),
        "status": status,
        "report": { "detailed-message": detail, "request-id": request_id },
        "errorMessage": detail,
        "errorDetails": detail,
    })
}

/// Flow Service knows no such connection or spec.
pub(super) fn not_found(id: &str, kind: &str, request_id: &str) -> Response<Payload> {
    let mut body = flow_body(404, "1439-404", &format!("Resource not found with id = [{id}]"), request_id);
    if let Some(report) = body.get_mut("report").and_then(Value::as_object_mut) {
        report.insert("id".to_owned(), id.into());
        report.insert("type".to_owned(), kind.into());
    }
    answer(404, &body)
}

/// The gateway in front of Flow Service.
pub(super) fn gateway(status: u16, code: &str, message: &str) -> Response<Payload> {
    answer(status, &json!({ "error_code": code, "message": message }))
}

/// The platform, where nobody in particular feels responsible.
pub(super) fn platform(status: u16, detail: &str) -> Response<Payload> {
    let title = format!("{}Error", reason(status).replace(' ', ""));
    answer(
        status,
        &json!({ "type": "/placeholder/type/uri", "status": status, "title": title, "detail": detail }),
    )
}

/// Flow Service's terse shape.
pub(super) fn message(status: u16, message: &str) -> Response<Payload> {
    answer(status, &json!({ "message": message }))
}

/// IMS, in the form of RFC 6749.
pub(super) fn ims(status: u16, error: &str, description: &str) -> Response<Payload> {
    answer(status, &json!({ "error": error, "error_description": description }))
}

fn title(status: u16) -> &'static str {
    if status == 404 { "Resource not found" } else { reason(status) }
}

fn reason(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Unknown")
}
