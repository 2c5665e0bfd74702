//! A whole run as it is kept in `results.json`, from which the README's tables are written.

use serde::{Deserialize, Serialize};

use super::figures::Section;
use super::targets::Target;

/// The command of a run of all scenarios, with as many rounds as each wants.
pub(crate) const FULL_RUN: &str = "make bench";

/// Everything about a run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    /// In UTC, to the second.
    pub(crate) date: String,
    pub(crate) command: String,
    pub(crate) machine: Machine,
    pub(crate) targets: Vec<Target>,
    pub(crate) scenarios: Vec<Section>,
}

/// What it ran on, and with which versions.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: f64,
    pub(crate) kernel: String,
    pub(crate) rabbitmq: String,
    pub(crate) rustc: String,
    /// Of connection-worker.
    pub(crate) version: String,
}
