//! Which call a request is, by method and path.

use hyper::Method;
use serde::{Deserialize, Serialize};

/// Where Flow Service's paths begin.
const FLOW: &str = "/data/foundation/flowservice";

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Endpoint {
    /// `POST /ims/token/v3`
    Token,
    /// `POST /connections`
    Create,
    /// `GET /connections`
    Find,
    /// `GET /connections/{id}`
    Get,
    /// `GET /connections/{id}/test`
    Test,
    /// `DELETE /connections/{id}`
    Delete,
    /// `GET /connectionSpecs` and `GET /connectionSpecs/{id}`
    Specs,
    /// Anything else.
    Other,
    /// Every kind; in rules only.
    Any,
}

impl Endpoint {
    /// Every kind that a request can have.
    pub(super) const ALL: [Self; 8] = [
        Self::Token,
        Self::Create,
        Self::Find,
        Self::Get,
        Self::Test,
        Self::Delete,
        Self::Specs,
        Self::Other,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Create => "create",
            Self::Find => "find",
            Self::Get => "get",
            Self::Test => "test",
            Self::Delete => "delete",
            Self::Specs => "specs",
            Self::Other => "other",
            Self::Any => "any",
        }
    }

    /// The kind of call, and the id in its path.
    pub(super) fn of<'a>(method: &Method, path: &'a str) -> (Self, Option<&'a str>) {
        if path == "/ims/token/v3" && method == Method::POST {
            return (Self::Token, None);
        }
        // The documents write some paths with a slash at the end and some without.
        let rest = path.strip_prefix(FLOW).map(|rest| rest.trim_matches('/'));
        let Some(rest) = rest else { return (Self::Other, None) };
        let mut parts = rest.split('/');
        match (method.as_str(), parts.next(), parts.next(), parts.next(), parts.next()) {
            ("POST", Some("connections"), None, None, None) => (Self::Create, None),
            ("GET", Some("connections"), None, None, None) => (Self::Find, None),
            ("GET", Some("connections"), id, None, None) => (Self::Get, id),
            ("GET", Some("connections"), id, Some("test"), None) => (Self::Test, id),
            ("DELETE", Some("connections"), id, None, None) => (Self::Delete, id),
            ("GET", Some("connectionSpecs"), id, None, None) => (Self::Specs, id),
            _ => (Self::Other, None),
        }
    }
}
