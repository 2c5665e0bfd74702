//! A worker that creates Adobe Experience Platform connections from RabbitMQ jobs.

pub mod admin;
pub mod app;
pub mod broker;
pub mod cli;
pub mod config;
pub mod contract;
pub mod flow;
pub mod handler;
pub mod metrics;
pub mod retry;
pub mod secret;
pub mod shutdown;
#[cfg(feature = "simulator")]
pub mod simulator;
pub mod sources;
pub mod telemetry;
pub mod worker;
