//! RabbitMQ over lapin: everything that speaks AMQP 0-9-1, and the only place that names lapin.
//!
//! A [`session::Session`] is two connections: one takes jobs and settles them, one publishes. The broker blocks a
//! connection that publishes while it is short of memory or disk, and a blocked connection cannot even
//! acknowledge; so the two are apart. A session never heals itself: any error ends it, and [`crate::app`] opens
//! the next. (lapin can recover by itself, but silently, slowly, and with deliveries that no longer count.)

mod acks;
mod caution;
pub mod client;
pub mod connection;
pub mod death;
pub mod delivery;
pub mod depths;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod inspect;
pub mod intake;
pub mod link;
pub mod parked;
pub mod properties;
pub mod publisher;
pub mod rabbitmq;
pub mod session;
pub mod topology;
pub mod watchdog;
mod windows;

pub use error::Error;
