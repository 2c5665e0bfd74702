//! What was measured, and how several rounds become one figure.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::program::Program;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Metric {
    JobsPerSecond,
    ShareOfTheoryPercent,
    CpuMicrosecondsPerJob,
    BrokerCpuMicrosecondsPerJob,
    SimulatorCpuMicrosecondsPerJob,
    PeakRssMib,
    RssGrowthPercent,
    RateChangePercent,
    CallsPerJob,
    AddedP50Ms,
    AddedP99Ms,
    AddedP999Ms,
    FirstReplyMs,
    IdleCpuPercent,
    IdleRssMib,
    SpeedUp,
}

impl Metric {
    /// The head of its column.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::JobsPerSecond => "jobs/s",
            Self::ShareOfTheoryPercent => "% of theory",
            Self::CpuMicrosecondsPerJob => "CPU µs/job",
            Self::BrokerCpuMicrosecondsPerJob => "broker's CPU",
            Self::SimulatorCpuMicrosecondsPerJob => "simulator's CPU",
            Self::PeakRssMib => "peak RSS MiB",
            Self::RssGrowthPercent => "RSS growth %",
            Self::RateChangePercent => "rate change %",
            Self::CallsPerJob => "calls/job",
            Self::AddedP50Ms => "added p50 ms",
            Self::AddedP99Ms => "added p99 ms",
            Self::AddedP999Ms => "added p99.9 ms",
            Self::FirstReplyMs => "first reply ms",
            Self::IdleCpuPercent => "idle CPU %",
            Self::IdleRssMib => "idle RSS MiB",
            Self::SpeedUp => "times one",
        }
    }

    /// Digits after the point.
    pub(crate) fn digits(self) -> usize {
        match self {
            Self::JobsPerSecond => 0,
            Self::CallsPerJob | Self::SpeedUp => 3,
            Self::IdleCpuPercent | Self::AddedP50Ms | Self::AddedP99Ms | Self::AddedP999Ms => 2,
            _ => 1,
        }
    }
}

/// The rounds of one measurement.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Rounds(pub(crate) Vec<f64>);

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
}

/// All that one program showed in one case.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) case: String,
    pub(crate) program: Program,
    pub(crate) rounds: BTreeMap<Metric, Rounds>,
}

/// A curve for a plot.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// All that one scenario showed.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) title: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) curves: Vec<Curve>,
}

impl Section {
    pub(crate) fn new(name: &'static str, title: impl Into<String>) -> Self {
        Self { name, title: title.into(), rows: Vec::new(), curves: Vec::new() }
    }

    /// Adds one round's value.
    pub(crate) fn add(&mut self, case: &str, program: &Program, metric: Metric, value: f64) {
        let found = self.rows.iter().position(|row| row.case == case && row.program == *program);
        let at = found.unwrap_or_else(|| {
            self.rows.push(Row { case: case.to_owned(), program: program.clone(), rounds: BTreeMap::new() });
            self.rows.len() - 1
        });
        self.rows[at].rounds.entry(metric).or_default().0.push(value);
    }

    /// The rounds of one program in one case.
    pub(crate) fn rounds(&self, case: &str, program: &Program, metric: Metric) -> Option<&Rounds> {
        let row = self.rows.iter().find(|row| row.case == case && row.program == *program)?;
        row.rounds.get(&metric)
    }

    /// The worker's value as a multiple of the other program's, round by round.
    pub(crate) fn ratio(&self, case: &str, metric: Metric) -> Option<Rounds> {
        let other = self.rows.iter().find(|row| row.case == case && row.program != Program::Worker)?;
        let worker = self.rounds(case, &Program::Worker, metric)?;
        let other = other.rounds.get(&metric)?;
        Some(Rounds(worker.0.iter().zip(&other.0).map(|(worker, other)| worker / other).collect()))
    }
}
