//! What the worker is to reach, and whether it did. Pure; `tests/it/bench.rs` tries it.

use serde::{Deserialize, Serialize};

use super::figures::{Metric, RATIO, Rounds, Section};

const WORKER: &str = "worker";

/// The share of theory that is asked for, in percent, or of what the bare loop reaches where that is less.
const SHARE: f64 = 97.0;

/// A bound that is never weakened.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
    /// On either side of zero.
    Within(f64),
}

impl Bound {
    pub(crate) fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
            Self::Within(most) => value.abs() <= most,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "≥ {least}"),
            Self::AtMost(most) => write!(f, "≤ {most}"),
            Self::Within(most) => write!(f, "±{most}"),
        }
    }
}

/// One thing to reach.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) wanted: Bound,
    /// Absent if it was not measured.
    pub(crate) reached: Option<f64>,
    pub(crate) is_met: bool,
}

impl Target {
    pub(crate) fn new(name: impl Into<String>, wanted: Bound, reached: Option<f64>) -> Self {
        let is_met = reached.is_some_and(|value| wanted.holds(value));
        Self { name: name.into(), wanted, reached, is_met }
    }

    /// The value that was reached, as it is shown: with one digit more than any bound has.
    pub(crate) fn reached_text(&self) -> String {
        self.reached.map_or_else(|| "not measured".to_owned(), |value| format!("{value:.3}"))
    }

    pub(crate) fn verdict(&self) -> &'static str {
        match (self.reached, self.is_met) {
            (None, _) => "",
            (Some(_), true) => "reached",
            (Some(_), false) => "missed",
        }
    }
}

/// All targets, with what these scenarios show. Rates and times count by their median, memory by the most it ever was.
pub(crate) fn all(sections: &[Section]) -> Vec<Target> {
    use Bound::{AtLeast, AtMost, Within};
    use Metric as M;
    let figures = Figures(sections);
    let ratio = |name, case, metric| figures.median(name, case, RATIO, metric);
    let median = |name, case, metric| figures.median(name, case, WORKER, metric);
    let most = |name, case, metric| figures.rounds(name, case, WORKER, metric).map(Rounds::max);
    let speed = ratio("backlog", "200", M::JobsPerSecond);
    let cpu = ratio("backlog", "200", M::CpuMicrosecondsPerJob);
    let added = median("open-loop", "1000/s", M::AddedP99Ms);
    let growth = median("long-backlog", "200", M::RssGrowthPercent);
    let change = median("long-backlog", "200", M::RateChangePercent);
    let mut targets = vec![
        Target::new("backlog at 200: jobs/s beside the bare loop (1.0 is hoped for)", AtLeast(0.9), speed),
        Target::new("backlog at 200: CPU per job beside the bare loop", AtMost(1.25), cpu),
        Target::new("backlog at 1000: peak RSS in MiB", AtMost(64.0), most("backlog", "1000", M::PeakRssMib)),
    ];
    targets.extend(figures.shares());
    targets.extend([
        Target::new("open loop: added latency, p99 in ms", AtMost(5.0), added),
        Target::new("long backlog: growth of RSS in %", AtMost(5.0), growth),
        Target::new("long backlog: change of the rate in %", Within(5.0), change),
        Target::new("2 processes: times one", AtLeast(0.95 * 2.0), median("scaling", "2", M::SpeedUp)),
        Target::new("4 processes: times one", AtLeast(0.95 * 4.0), median("scaling", "4", M::SpeedUp)),
        Target::new("start to first reply in ms", AtMost(250.0), median("start", "one job", M::FirstReplyMs)),
        Target::new("idle RSS in MiB", AtMost(16.0), most("start", "one job", M::IdleRssMib)),
        Target::new("logs on beside logs off: jobs/s", AtLeast(0.98), ratio("logs", "200", M::JobsPerSecond)),
        Target::new(
            "traces on beside traces off: jobs/s",
            AtLeast(0.9),
            ratio("traces", "200", M::JobsPerSecond),
        ),
    ]);
    targets
}

/// Where a target looks its figure up.
struct Figures<'a>(&'a [Section]);

impl Figures<'_> {
    fn section(&self, name: &str) -> Option<&Section> {
        self.0.iter().find(|section| section.name == name)
    }

    fn rounds(&self, name: &str, case: &str, program: &str, metric: Metric) -> Option<&Rounds> {
        self.section(name)?.rounds(case, program, metric)
    }

    fn median(&self, name: &str, case: &str, program: &str, metric: Metric) -> Option<f64> {
        self.rounds(name, case, program, metric).map(Rounds::median)
    }

    /// The share of theory in each case. Where not even the bare loop reaches it, it is the broker that does not carry
    /// more, and the bare loop is what the worker is held to.
    fn shares(&self) -> Vec<Target> {
        let Some(section) = self.section("latency") else {
            return vec![Target::new("API latency: % of theory", Bound::AtLeast(SHARE), None)];
        };
        let metric = Metric::ShareOfTheoryPercent;
        let share = |case: &String| {
            let median = |program: &str| section.rounds(case, program, metric).map(Rounds::median);
            if median(&section.compared[1]).is_some_and(|bare| bare < SHARE) {
                let name = format!("API latency {case}: beside the bare loop, up to what the broker carries");
                Target::new(name, Bound::AtLeast(SHARE / 100.0), median(RATIO))
            } else {
                Target::new(format!("API latency {case}: % of theory"), Bound::AtLeast(SHARE), median(WORKER))
            }
        };
        section.cases().iter().map(share).collect()
    }
}
