//! The wire contract, version 1: what a job and a reply look like. No IO and no clock in here.

pub mod reply;
