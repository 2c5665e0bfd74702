//! What the tests stand on: one module for each peer of the worker, with one verb for each thing that it can do.

#![allow(dead_code, reason = "a peer can do more than the tests of one moment ask of it")]

use std::time::Duration;

pub(crate) mod broker;
pub(crate) mod cluster;
pub(crate) mod collector;
pub(crate) mod command;
pub(crate) mod corner;
pub(crate) mod counters;
pub(crate) mod eventually;
pub(crate) mod hostile;
pub(crate) mod http;
pub(crate) mod load;
pub(crate) mod prometheus;
pub(crate) mod proxy;
pub(crate) mod rig;
pub(crate) mod scene;
mod script;
pub(crate) mod simulator;
pub(crate) mod tls;
pub(crate) mod worker;

/// For anything that has to happen, on a loaded machine. No more than heartbeats and the watchdog take to find out by
/// themselves, so that what is noticed only by them is not taken for noticed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A variable of the test run's own environment; empty counts as unset.
#[expect(clippy::disallowed_methods, reason = "the tests' own switches are no configuration of the worker")]
pub(crate) fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Tells the person who runs the tests.
#[expect(clippy::print_stderr, reason = "the test runner shows it with the test that fails")]
pub(crate) fn tell(text: &str) {
    eprintln!("{text}");
}
