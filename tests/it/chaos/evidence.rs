//! What there is to go by when a ledger is not clean: all that is known of the jobs that something is wrong with.

use std::fmt::Write as _;

use super::ledger::{Balance, Ledger};
use super::world::World;

/// Jobs of each kind of trouble that are shown in full.
const SHOWN: usize = 3;

/// Empty if there is nothing to show.
pub(super) fn of(
    world: &World,
    ledger: &Ledger,
    balance: &Balance,
    connections: &[(String, String)],
) -> String {
    let mut text = String::new();
    for job in balance.suspects(SHOWN) {
        let made: Vec<&str> =
            connections.iter().filter(|(other, _)| other == job).map(|(_, id)| id.as_str()).collect();
        writeln!(text, "--- {job}\n{}", ledger.known_of(job)).expect("a string takes it");
        writeln!(text, "connections, the newest first: {}", made.join(", ")).expect("a string takes it");
        for line in world.fleet.lines_about(job) {
            writeln!(text, "{line}").expect("a string takes it");
        }
    }
    text
}
