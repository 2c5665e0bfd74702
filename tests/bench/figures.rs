//! What was measured, and how several rounds become one figure. Pure; `tests/it/bench.rs` tries it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The name of the rows that say how one program compares with another.
pub(crate) const RATIO: &str = "ratio";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Metric {
    JobsPerSecond,
    ShareOfTheoryPercent,
    SpeedUp,
    CallsPerJob,
    CpuMicrosecondsPerJob,
    BrokerCpuMicrosecondsPerJob,
    SimulatorCpuMicrosecondsPerJob,
    PeakRssMib,
    RssGrowthPercent,
    RateChangePercent,
    AddedP50Ms,
    AddedP99Ms,
    AddedP999Ms,
    FirstReplyMs,
    IdleCpuPercent,
    IdleRssMib,
}

impl Metric {
    /// The head of its column.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::JobsPerSecond => "jobs/s",
            Self::ShareOfTheoryPercent => "% of theory",
            Self::SpeedUp => "times one",
            Self::CallsPerJob => "calls/job",
            Self::CpuMicrosecondsPerJob => "CPU µs/job",
            Self::BrokerCpuMicrosecondsPerJob => "broker's CPU",
            Self::SimulatorCpuMicrosecondsPerJob => "simulator's CPU",
            Self::PeakRssMib => "peak RSS MiB",
            Self::RssGrowthPercent => "RSS growth %",
            Self::RateChangePercent => "rate change %",
            Self::AddedP50Ms => "added p50 ms",
            Self::AddedP99Ms => "added p99 ms",
            Self::AddedP999Ms => "added p99.9 ms",
            Self::FirstReplyMs => "first reply ms",
            Self::IdleCpuPercent => "idle CPU %",
            Self::IdleRssMib => "idle RSS MiB",
        }
    }

    /// Digits after the point.
    fn digits(self) -> usize {
        match self {
            Self::JobsPerSecond
            | Self::CpuMicrosecondsPerJob
            | Self::BrokerCpuMicrosecondsPerJob
            | Self::SimulatorCpuMicrosecondsPerJob
            | Self::FirstReplyMs => 0,
            Self::CallsPerJob => 3,
            Self::SpeedUp
            | Self::AddedP50Ms
            | Self::AddedP99Ms
            | Self::AddedP999Ms
            | Self::IdleCpuPercent => 2,
            _ => 1,
        }
    }
}

/// The rounds of one measurement.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "Summary", from = "Summary")]
pub(crate) struct Rounds(pub(crate) Vec<f64>);

/// [`Rounds`] as they are written down.
#[derive(Serialize, Deserialize)]
struct Summary {
    median: f64,
    min: f64,
    max: f64,
    rounds: Vec<f64>,
}

impl From<Rounds> for Summary {
    fn from(rounds: Rounds) -> Self {
        Self {
            median: short(rounds.median()),
            min: short(rounds.min()),
            max: short(rounds.max()),
            rounds: rounds.0.into_iter().map(short).collect(),
        }
    }
}

impl From<Summary> for Rounds {
    fn from(summary: Summary) -> Self {
        Self(summary.rounds)
    }
}

impl Rounds {
    /// The middle one; of an even number the mean of the middle two.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
    }

    pub(crate) fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// Such as `5012 (4890–5100)`; of a single round just that.
    fn text(&self, digits: usize) -> String {
        let (median, min, max) = (self.median(), self.min(), self.max());
        match self.0.len() {
            1 => format!("{median:.digits$}"),
            _ => format!("{median:.digits$} ({min:.digits$}–{max:.digits$})"),
        }
    }
}

/// Of values in ascending order the least that so large a share of them does not exceed.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a length is an index"
)]
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// Fit to be written down: four digits after the point are enough for everything here.
fn short(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// All that one program showed in one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) case: String,
    pub(crate) program: String,
    pub(crate) figures: BTreeMap<Metric, Rounds>,
}

impl Row {
    /// A figure as it is shown; nothing if it was not measured.
    pub(crate) fn text(&self, metric: Metric) -> String {
        let digits = if self.program == RATIO { 2 } else { metric.digits() };
        self.figures.get(&metric).map_or_else(String::new, |rounds| rounds.text(digits))
    }

    /// What the last round showed.
    pub(crate) fn last(&self, metric: Metric) -> String {
        let digits = metric.digits();
        let last = self.figures.get(&metric).and_then(|rounds| rounds.0.last());
        last.map_or_else(String::new, |value| format!("{value:.digits$}"))
    }
}

/// A curve for a plot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// All that one scenario showed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) title: String,
    /// The first program is told as a multiple of the second.
    pub(crate) compared: [String; 2],
    pub(crate) rows: Vec<Row>,
    pub(crate) curves: Vec<Curve>,
}

impl Section {
    pub(crate) fn new(name: &str, title: impl Into<String>, compared: [&str; 2]) -> Self {
        Self {
            name: name.to_owned(),
            title: title.into(),
            compared: compared.map(str::to_owned),
            rows: Vec::new(),
            curves: Vec::new(),
        }
    }

    /// Adds one round's value.
    pub(crate) fn add(&mut self, case: &str, program: &str, metric: Metric, value: f64) {
        let found = self.rows.iter().position(|row| row.case == case && row.program == program);
        let at = found.unwrap_or_else(|| {
            let (case, program) = (case.to_owned(), program.to_owned());
            self.rows.push(Row { case, program, figures: BTreeMap::new() });
            self.rows.len() - 1
        });
        self.rows[at].figures.entry(metric).or_default().0.push(value);
    }

    /// Adds a curve.
    pub(crate) fn draw(&mut self, name: &str, points: impl IntoIterator<Item = (f64, f64)>) {
        let points = points.into_iter().map(|(x, y)| (short(x), short(y))).collect();
        self.curves.push(Curve { name: name.to_owned(), points });
    }

    /// One program in one case.
    pub(crate) fn row(&self, case: &str, program: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.case == case && row.program == program)
    }

    /// The rounds of one program in one case.
    pub(crate) fn rounds(&self, case: &str, program: &str, metric: Metric) -> Option<&Rounds> {
        self.row(case, program)?.figures.get(&metric)
    }

    /// The cases, in the order in which they were measured.
    pub(crate) fn cases(&self) -> Vec<String> {
        let mut cases: Vec<String> = Vec::new();
        for row in &self.rows {
            if !cases.contains(&row.case) {
                cases.push(row.case.clone());
            }
        }
        cases
    }

    /// What was measured at all.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        let mut metrics: Vec<_> = self.rows.iter().flat_map(|row| row.figures.keys().copied()).collect();
        metrics.sort();
        metrics.dedup();
        metrics
    }

    /// Puts the rows of each case together, with the ratio below them.
    pub(crate) fn conclude(mut self) -> Self {
        let [one, other] = self.compared.clone();
        let mut rows = Vec::new();
        for case in self.cases() {
            rows.extend([&one, &other].into_iter().filter_map(|program| self.row(&case, program).cloned()));
            rows.extend(self.ratios(&case));
        }
        self.rows = rows;
        self
    }

    /// One program as a multiple of the other, round by round; nothing of what would be a multiple of zero.
    fn ratios(&self, case: &str) -> Option<Row> {
        let [one, other] = &self.compared;
        let (one, other) = (self.row(case, one)?, self.row(case, other)?);
        let mut figures = BTreeMap::new();
        for (metric, rounds) in &one.figures {
            let Some(base) = other.figures.get(metric) else { continue };
            let ratios: Vec<f64> = rounds.0.iter().zip(&base.0).map(|(one, other)| one / other).collect();
            if ratios.iter().all(|ratio| ratio.is_finite()) {
                figures.insert(*metric, Rounds(ratios));
            }
        }
        Some(Row { case: case.to_owned(), program: RATIO.to_owned(), figures })
    }
}
