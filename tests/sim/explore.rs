//! Lets the histories of a family happen, one seed after the other, and tells the story of the first that fails.

use std::env;
use std::fmt::Write;

use fastrand::Rng;

use crate::ledger::Broken;
use crate::plan::Plan;
use crate::world::{self, Happened};

/// Histories in all, over all families, if `SIM_SEEDS` does not say otherwise.
const SEEDS: u64 = 1_000;

/// Families, among which they are shared out.
const FAMILIES: u64 = 22;

/// Lines of a story at the most.
const STORY: usize = 120;

/// Makes the history of a seed.
pub(crate) type Make = fn(&mut Rng) -> Plan;

#[expect(clippy::disallowed_methods, reason = "these are no settings of the worker")]
fn number(name: &str) -> Option<u64> {
    env::var(name).ok().filter(|text| !text.is_empty()).map(|text| text.parse().unwrap())
}

fn happened(family: &str, make: Make, seed: u64) -> Happened {
    let salt = family.bytes().fold(7_u64, |salt, byte| salt.wrapping_mul(31) ^ u64::from(byte));
    let plan = make(&mut Rng::with_seed(seed ^ salt)).sorted();
    world::run(seed, plan)
}

/// The histories of a family: with `SIM_SEED` that of one seed, with `SIM_ALL` all that fail are told, and not only the
/// first.
pub(crate) fn family(family: &str, make: Make) {
    let one = number("SIM_SEED");
    let many = number("SIM_SEEDS").unwrap_or(SEEDS).div_ceil(FAMILIES);
    let seeds = one.map_or(1..=many, |seed| seed..=seed);
    let go_on = number("SIM_ALL").is_some();
    let (mut failed, mut histories, mut of) = (String::new(), 0, 0);
    for seed in seeds {
        of += 1;
        let Happened { faults, trace } = happened(family, make, seed);
        let Some(first) = faults.first() else { continue };
        histories += 1;
        writeln!(failed, "make sim SEED={seed} FAMILY={family}").unwrap();
        for Broken { requirement, text, job: _ } in &faults {
            writeln!(failed, "  [{requirement}] {text}").unwrap();
        }
        if !go_on {
            let (hash, lines, story) = (trace.hash(), trace.len(), trace.about(first.job, STORY));
            panic!("{failed}  the trace has {lines} lines, its hash is {hash:016x}; of the job:\n{story}");
        }
    }
    assert!(histories == 0, "{histories} of {of} histories fail\n{failed}");
}

/// That the same seed gives the same trace.
pub(crate) fn is_repeatable(family: &str, make: Make, seed: u64) {
    let [one, other] = [(); 2].map(|()| happened(family, make, seed).trace);
    let difference = one.difference(&other).unwrap_or_default();
    assert_eq!(one.hash(), other.hash(), "make sim SEED={seed} FAMILY={family}: two traces:\n{difference}");
}
