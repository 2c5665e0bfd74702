//! The wire contract, version 1: what a job and a reply look like. No IO and no clock in here.
//!
//! A job is read strictly, because it carries credentials and decides where they go: what is unknown, doubled or
//! of the wrong kind is refused by name, and no value of a job is ever repeated in an error.

pub mod asyncapi;
pub mod history;
pub mod ids;
pub mod job;
pub mod marker;
pub mod problem;
pub mod reply;
pub mod schema;

mod auth;
pub(crate) mod object;
mod params;
mod parse;
mod sealed;

pub use params::Remarks;
pub use parse::{Defaults, Envelope, Limits, Rejected, parse};
pub use sealed::{Form, Sealing, seal};

#[cfg(test)]
mod tests;
