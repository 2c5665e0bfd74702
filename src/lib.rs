//! A worker that creates Adobe Experience Platform connections from RabbitMQ jobs.

pub mod contract;
pub mod metrics;
pub mod retry;
pub mod sources;
