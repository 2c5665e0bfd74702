//! What the integration tests stand on serves here too.

#![allow(dead_code, unused_imports, reason = "the benchmarks need a part of it")]

#[path = "../it/support/broker.rs"]
pub(crate) mod broker;
#[path = "../it/support/eventually.rs"]
pub(crate) mod eventually;
#[path = "../it/support/http.rs"]
pub(crate) mod http;
#[path = "../it/support/script.rs"]
mod script;
#[path = "../it/support/tls.rs"]
pub(crate) mod tls;

/// The node is always one of our own.
pub(crate) fn env(_name: &str) -> Option<String> {
    None
}
