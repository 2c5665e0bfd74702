//! Prometheus, as far as the machine has it: its rule checker, and a server of the test's own.

use std::path::Path;
use std::process::Command;

use super::{env, tell};

/// One of Prometheus' programs, by its name; nothing if it is not installed, which `make test` sees to.
pub(crate) fn tool(name: &str) -> Option<Command> {
    let path = env("PATH").unwrap_or_default();
    let found = path.split(':').map(|place| Path::new(place).join(name)).find(|file| file.is_file());
    if found.is_none() {
        tell(&format!("{name} is not installed: what needs it is left out"));
    }
    found.map(Command::new)
}
