//! What a history is made of, before it happens.

use std::fmt::Display;
use std::time::Duration;

use crate::broker::Unkind;
use crate::flow::illness::Weather;
use crate::job::Job;
use crate::ledger::{Broken, Ledger};

/// A figure that a history is held to.
pub(crate) type Check = Box<dyn Fn(&Ledger) -> Result<(), Broken>>;

/// How long a worker is there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stay {
    pub(crate) from: Duration,
    /// When it is told to stop; it then drains.
    pub(crate) until: Option<Duration>,
    /// At which step each of its processes is killed, one after the other; the one after the last is not.
    pub(crate) deaths: Vec<u64>,
}

/// A history.
pub(crate) struct Plan {
    /// Settings beside the product's defaults.
    pub(crate) args: Vec<String>,
    pub(crate) stays: Vec<Stay>,
    /// In the order in which they are sent.
    pub(crate) jobs: Vec<Job>,
    pub(crate) weather: Weather,
    pub(crate) unkind: Unkind,
    /// From then on nothing is ill.
    pub(crate) healed: Duration,
    /// By then each job is answered; [`crate::bounds`] has it for most histories.
    pub(crate) done_by: Duration,
    /// Jobs may have more than one connection for a reason that the README names.
    pub(crate) in_a_window: bool,
    /// What more it is held to.
    pub(crate) checks: Vec<Check>,
}

impl Plan {
    /// One worker, and nothing ill.
    pub(crate) fn new() -> Self {
        Self {
            args: Vec::new(),
            stays: vec![Stay::default()],
            jobs: Vec::new(),
            weather: Weather::default(),
            unkind: Unkind { slowness: 2, ..Unkind::default() },
            healed: Duration::ZERO,
            done_by: Duration::from_secs(60),
            in_a_window: false,
            checks: Vec::new(),
        }
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Display) {
        self.args.extend([format!("--{name}"), value.to_string()]);
    }

    pub(crate) fn check(&mut self, check: impl Fn(&Ledger) -> Result<(), Broken> + 'static) {
        self.checks.push(Box::new(check));
    }

    /// Jobs of one kind at a steady rate, from and until.
    pub(crate) fn stream(&mut self, job: Job, rate: f64, from: Duration, until: Duration) {
        let step = Duration::from_secs_f64(1.0 / rate);
        let mut at = from;
        while at < until {
            self.jobs.push(Job { at, ..job });
            at += step;
        }
    }

    /// So many at once.
    pub(crate) fn burst(&mut self, job: Job, many: usize) {
        self.jobs.extend(std::iter::repeat_n(job, many));
    }

    /// Puts the jobs into their order.
    pub(crate) fn sorted(mut self) -> Self {
        self.jobs.sort_by_key(|job| job.at);
        self
    }
}
