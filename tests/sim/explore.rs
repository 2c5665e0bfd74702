//! Lets the histories of a family happen, one seed after the other, and tells the story of the first that fails.

use std::fmt::Write;
use std::io::Write as _;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;
use std::{env, thread};

use fastrand::Rng;

use crate::ledger::Broken;
use crate::plan::Plan;
use crate::world::{self, Happened};

/// Histories in all, over all families, if `SIM_SEEDS` does not say otherwise.
const SEEDS: u64 = 1_000;

/// Families, among which they are shared out.
const FAMILIES: u64 = 34;

/// Histories in which a window is looked for.
const WINDOW_SEEDS: u64 = 10;

/// Seconds that a history may take on a busy machine.
const END: u64 = 300;

/// Lines of a story at the most.
const STORY: usize = 120;

/// Makes the history of a seed.
pub(crate) type Make = fn(&mut Rng) -> Plan;

#[expect(clippy::disallowed_methods, reason = "these are no settings of the worker")]
fn number(name: &str) -> Option<u64> {
    env::var(name).ok().filter(|text| !text.is_empty()).map(|text| text.parse().unwrap())
}

/// Ends the process if a history does not come to its end: in virtual time it then goes on for ever at one moment.
fn watch(family: &str, seed: u64) -> Sender<()> {
    let (ended, ends) = mpsc::channel();
    let limit = Duration::from_secs(number("SIM_END").unwrap_or(END));
    let text = format!("make sim SEED={seed} FAMILY={family}\n  [comes to an end] not within {limit:?}\n");
    thread::spawn(move || {
        if ends.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            std::io::stderr().write_all(text.as_bytes()).unwrap_or_default();
            std::process::abort();
        }
    });
    ended
}

fn happened(family: &str, make: Make, seed: u64) -> Happened {
    let _watched = watch(family, seed);
    let salt = family.bytes().fold(7_u64, |salt, byte| salt.wrapping_mul(31) ^ u64::from(byte));
    let plan = make(&mut Rng::with_seed(seed ^ salt)).sorted();
    world::run(seed, plan)
}

/// Whether a fault counts: with `SIM_EXCEPT` those of some requirements do not, named with commas between them.
#[expect(clippy::disallowed_methods, reason = "these are no settings of the worker")]
fn counts(fault: &Broken) -> bool {
    let except = env::var("SIM_EXCEPT").unwrap_or_default();
    !except.split(',').any(|requirement| requirement == fault.requirement)
}

/// The histories of a family: with `SIM_SEED` that of one seed, with `SIM_EACH` of so many; with `SIM_ALL` all that fail are
/// told, and not only the first.
pub(crate) fn family(family: &str, make: Make) {
    let one = number("SIM_SEED");
    let many = number("SIM_EACH").unwrap_or_else(|| number("SIM_SEEDS").unwrap_or(SEEDS).div_ceil(FAMILIES));
    let seeds = one.map_or(1..=many, |seed| seed..=seed);
    let go_on = number("SIM_ALL").is_some();
    let (mut failed, mut histories, mut of) = (String::new(), 0, 0);
    for seed in seeds {
        of += 1;
        let Happened { mut faults, trace, several: _ } = happened(family, make, seed);
        faults.retain(counts);
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

/// That the histories of a family show second connections, and break nothing else.
pub(crate) fn can_be_seen(family: &str, make: Make) {
    let mut seen = 0;
    for seed in 1..=WINDOW_SEEDS {
        let Happened { faults, trace: _, several } = happened(family, make, seed);
        let first = faults.first().map(|fault| &fault.text);
        assert_eq!(first, None, "make sim SEED={seed} FAMILY={family}");
        seen += several;
    }
    assert!(seen > 0, "{family}: no second connection in {WINDOW_SEEDS} histories");
}

/// That the same seed gives the same trace.
pub(crate) fn is_repeatable(family: &str, make: Make, seed: u64) {
    let [one, other] = [(); 2].map(|()| happened(family, make, seed).trace);
    let difference = one.difference(&other).unwrap_or_default();
    assert_eq!(one.hash(), other.hash(), "make sim SEED={seed} FAMILY={family}: two traces:\n{difference}");
}
