//! Integration tests: a real broker, real sockets and the real binary.
//!
//! The broker is a private RabbitMQ node, started once for the whole run and gone with it; with `AMQP_URL` set, the one
//! it names is used instead, and what needs a node of our own is left out. `TEST_LOG=1` shows what the processes under
//! test log; a failing test shows it by itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod ack_order;
mod admin;
mod alerts;
mod api_failures;
mod asyncapi;
mod bench;
mod broker_outage;
mod broker_trouble;
mod chaos;
mod checks;
mod cluster;
mod config;
mod crash_loops;
mod created_once;
mod dashboard;
mod dead_letters;
mod deploy;
mod doctor;
mod fairness;
mod fault_matrix;
mod flow_tls;
mod happy_path;
mod harness;
mod hostile_answers;
mod logs;
mod memory;
mod metrics;
mod organisations;
mod panics;
mod poison_messages;
mod probe;
mod protection;
mod publisher;
mod readme;
mod replies;
mod retries;
mod retry_plan;
mod schema;
mod sealed;
mod secrets;
mod shutdown;
mod sources;
mod start;
mod starvation;
mod status;
mod submit;
mod support;
mod tidy;
mod tls;
mod traces;
mod unreadable;
mod verify;
