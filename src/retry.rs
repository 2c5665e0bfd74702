//! Decisions about trying again: pure, without a clock, a socket or a broker.

pub mod policy;
pub mod verdict;
