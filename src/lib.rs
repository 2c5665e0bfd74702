//! A worker that creates Adobe Experience Platform connections from RabbitMQ jobs.

pub mod contract;
pub mod flow;
pub mod metrics;
pub mod retry;
#[cfg(feature = "simulator")]
pub mod simulator;
