//! The page for people at `/`: what this replica is doing, at a glance, and `/status.json`, from which it draws itself.
//!
//! It shows what the metrics know and what admission holds back, and of a job nothing but its id. The page needs nothing from elsewhere and, without
//! JavaScript, shows the moment at which it was asked for.

mod held_back;
mod page;
mod state;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use uuid::Uuid;

use super::Served;

/// For what is true for a moment, and is what its type says.
const FRESH: [(HeaderName, &str); 2] = [(CACHE_CONTROL, "no-store"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];

/// The page and its data.
pub(super) fn routes() -> Router<Served> {
    Router::new().route("/", get(show)).route("/status.json", get(tell))
}

async fn show(State(served): State<Served>) -> Response {
    // Its own script and style are let in by a number that nobody knows beforehand; nothing else is.
    let nonce = Uuid::new_v4().simple().to_string();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let page = page::render(&state::of(&served), &nonce);
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, policy.as_str()),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (headers, FRESH, page).into_response()
}

async fn tell(State(served): State<Served>) -> Response {
    let headers = [(CONTENT_TYPE, "application/json")];
    (headers, FRESH, state::of(&served).to_string()).into_response()
}
