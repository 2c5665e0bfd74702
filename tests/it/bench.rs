//! The benchmark's sums, which have no test runner of their own: `tests/bench` runs without one.

#[path = "../bench/figures.rs"]
#[allow(dead_code, reason = "the benchmark needs all of it")]
pub(crate) mod figures;
#[path = "../bench/results.rs"]
pub(crate) mod results;
#[path = "../bench/targets.rs"]
#[allow(dead_code, reason = "the benchmark needs all of it")]
pub(crate) mod targets;

use figures::{Metric, RATIO, Rounds, Section, quantile};
use targets::{Bound, Target};

/// A scenario in which each of both programs showed one figure.
fn section(name: &str, case: &str, metric: Metric, worker: f64, bare: f64) -> Section {
    let mut section = Section::new(name, "", ["worker", "bare loop"]);
    section.add(case, "bare loop", metric, bare);
    section.add(case, "worker", metric, worker);
    section.conclude()
}

fn target(targets: &[Target], part: &str) -> Target {
    let found = targets.iter().find(|target| target.name.contains(part));
    found.unwrap_or_else(|| panic!("no target {part} in {targets:#?}")).clone()
}

#[test]
fn the_median_is_in_the_middle() {
    assert_eq!(Rounds(vec![3.0, 1.0, 2.0]).median().to_bits(), 2f64.to_bits());
    assert_eq!(Rounds(vec![4.0, 1.0, 2.0, 3.0]).median().to_bits(), 2.5f64.to_bits());
    let rounds = Rounds(vec![3.0, 1.0, 2.0]);
    assert_eq!((rounds.min().to_bits(), rounds.max().to_bits()), (1f64.to_bits(), 3f64.to_bits()));
}

#[test]
fn a_quantile_is_one_of_the_values() {
    let values: Vec<f64> = (1..=1000).map(f64::from).collect();
    let found = [0.0, 0.5, 0.99, 0.999, 1.0].map(|share| quantile(&values, share));
    assert_eq!(found.map(f64::to_bits), [1.0, 500.0, 990.0, 999.0, 1000.0].map(f64::to_bits));
}

#[test]
fn a_ratio_compares_within_a_round() {
    let mut section = Section::new("backlog", "", ["worker", "bare loop"]);
    for (worker, bare) in [(1.0, 2.0), (30.0, 40.0), (9.0, 10.0)] {
        section.add("200", "bare loop", Metric::JobsPerSecond, bare);
        section.add("200", "worker", Metric::JobsPerSecond, worker);
    }
    let section = section.conclude();
    let programs: Vec<_> = section.rows.iter().map(|row| row.program.as_str()).collect();
    assert_eq!(programs, ["worker", "bare loop", RATIO]);
    assert_eq!(section.rounds("200", RATIO, Metric::JobsPerSecond), Some(&Rounds(vec![0.5, 0.75, 0.9])));
}

#[test]
fn nothing_is_a_multiple_of_zero() {
    let section = section("start", "one job", Metric::IdleCpuPercent, 0.1, 0.0);
    assert_eq!(section.rounds("one job", RATIO, Metric::IdleCpuPercent), None);
}

#[test]
fn figures_come_back_as_they_were_written() {
    let written = section("backlog", "200", Metric::JobsPerSecond, 4000.5, 5000.25);
    let json = serde_json::to_string(&written).unwrap();
    assert!(json.contains(r#""jobs_per_second":{"median":4000.5,"#), "{json}");
    let mut read: Section = serde_json::from_str(&json).unwrap();
    read.rows.pop();
    assert_eq!(read.rows, written.rows[..2], "but for the ratio, which is cut short");
}

#[test]
fn a_bound_holds_up_to_itself() {
    assert!(Bound::AtLeast(0.9).holds(0.9) && !Bound::AtLeast(0.9).holds(0.899));
    assert!(Bound::AtMost(5.0).holds(5.0) && !Bound::AtMost(5.0).holds(5.001));
    assert!(Bound::Within(5.0).holds(-5.0) && !Bound::Within(5.0).holds(-5.1));
    assert!(!Bound::AtLeast(0.0).holds(f64::NAN));
}

#[test]
fn what_was_not_measured_is_not_reached() {
    let targets = targets::all(&[]);
    assert!(targets.iter().all(|target| !target.is_met && target.reached_text() == "not measured"));
}

#[test]
fn the_worker_is_held_to_theory_or_to_what_the_broker_carries() {
    let share = Metric::ShareOfTheoryPercent;
    let carried = targets::all(&[section("latency", "300 ms, 256", share, 98.0, 99.0)]);
    let theory = target(&carried, "300 ms, 256: % of theory");
    assert_eq!((theory.wanted, theory.is_met), (Bound::AtLeast(97.0), true));

    let not_carried = targets::all(&[section("latency", "50 ms, 1000", share, 40.0, 50.0)]);
    let beside = target(&not_carried, "up to what the broker carries");
    assert_eq!((beside.wanted, beside.reached, beside.is_met), (Bound::AtLeast(0.97), Some(0.8), false));
}

#[test]
fn every_target_finds_its_figure() {
    let every = |(name, case): (&str, &str)| {
        let mut section = Section::new(name, "", ["worker", "bare loop"]);
        for (program, value) in [("worker", 2.0), ("bare loop", 1.0)] {
            for metric in [
                Metric::JobsPerSecond,
                Metric::CpuMicrosecondsPerJob,
                Metric::PeakRssMib,
                Metric::ShareOfTheoryPercent,
                Metric::AddedP99Ms,
                Metric::RssGrowthPercent,
                Metric::RateChangePercent,
                Metric::SpeedUp,
                Metric::FirstReplyMs,
                Metric::IdleRssMib,
            ] {
                section.add(case, program, metric, value);
            }
        }
        section.conclude()
    };
    let scenarios = [
        ("backlog", "200"),
        ("backlog", "1000"),
        ("latency", "50 ms, 256"),
        ("open-loop", "1000/s"),
        ("long-backlog", "200"),
        ("scaling", "2"),
        ("scaling", "4"),
        ("start", "one job"),
        ("logs", "200"),
        ("traces", "200"),
    ];
    // One section holds all cases of a scenario.
    let mut sections: Vec<Section> = Vec::new();
    for section in scenarios.map(every) {
        match sections.iter_mut().find(|other| other.name == section.name) {
            Some(other) => other.rows.extend(section.rows),
            None => sections.push(section),
        }
    }
    let missing: Vec<_> = targets::all(&sections).into_iter().filter(|t| t.reached.is_none()).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
