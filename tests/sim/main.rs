//! Whole histories, simulated: the real worker with its protection, over a broker and a Flow Service in memory, in virtual
//! time. The same seed gives the same history. `make sim` runs a thousand of them, `make sim SEED=… FAMILY=…` one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod bounds;
mod broker;
mod explore;
mod flow;
mod job;
mod ledger;
mod life;
mod parts;
mod plan;
mod scenario;
mod trace;
mod world;

use self::explore::{family, is_repeatable};
use self::scenario::one_ill_part;

#[test]
fn one_ill_part_leaves_the_others_alone() {
    family("one_ill_part", one_ill_part::plan);
}

#[test]
fn the_same_seed_gives_the_same_history() {
    is_repeatable("one_ill_part", one_ill_part::plan, 1);
}
