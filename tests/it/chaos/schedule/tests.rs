//! The schedule keeps what `make chaos` says about it.

use std::collections::BTreeMap;

use super::*;

/// Half of the long run.
const HALF: Duration = Duration::from_secs(150);

fn kinds(strikes: &[Strike]) -> BTreeMap<&'static str, usize> {
    let mut kinds = BTreeMap::new();
    for strike in strikes {
        *kinds.entry(strike.fault.kind()).or_default() += 1;
    }
    kinds
}

#[test]
fn the_same_seed_draws_the_same_storm() {
    for seed in 0..20 {
        assert_eq!(draw(seed, HALF, 3), draw(seed, HALF, 3));
        assert_ne!(draw(seed, HALF, 3), draw(seed + 1, HALF, 3));
        assert_ne!(draw(seed, HALF, 3), draw(seed, HALF, 1));
    }
}

#[test]
fn a_long_run_has_enough_of_everything() {
    for seed in 0..50 {
        let both: Vec<Strike> = [draw(seed, HALF, 1), draw(seed, HALF, 3)].concat();
        let kinds = kinds(&both);
        let count =
            |names: &[&str]| names.iter().map(|name| kinds.get(name).copied().unwrap_or(0)).sum::<usize>();
        assert!(count(&["worker kill -9"]) >= 10, "{seed}: {kinds:?}");
        assert!(count(&["broker restart", "broker kill -9"]) >= 6, "{seed}: {kinds:?}");
        assert!(
            count(&["link cut", "link frozen", "link slow", "service cut off"]) >= 20,
            "{seed}: {kinds:?}"
        );
        assert_eq!(kinds.len(), 14, "{seed}: every kind comes: {kinds:?}");
    }
}

#[test]
fn within_a_lane_one_fault_ends_before_the_next_begins() {
    for seed in 0..50 {
        for length in [Duration::from_secs(12), HALF] {
            let strikes = draw(seed, length, 3);
            let mut last: BTreeMap<usize, Duration> = BTreeMap::new();
            for strike in strikes {
                let before = last.insert(strike.fault.lane(), strike.at + strike.lasts);
                assert!(before.is_none_or(|end| end <= strike.at), "{seed}: {strike}");
                assert!(strike.at + strike.lasts < length, "{seed}: {strike}");
            }
        }
    }
}

#[test]
fn a_short_storm_has_all_lanes() {
    let lanes = |seed| draw(seed, Duration::from_secs(12), 1).len();
    assert!((0..20).all(|seed| lanes(seed) == 10));
}
