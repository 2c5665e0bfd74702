//! A worker that creates Adobe Experience Platform connections from RabbitMQ jobs.

pub mod broker;
pub mod contract;
pub mod flow;
pub mod handler;
pub mod metrics;
pub mod retry;
pub mod secret;
pub mod sources;
