//! What is counted about admission and fair sharing: breakers, limits, calls that were held back, slots.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::register;
use crate::admission::{BreakerScope, Figures, HeldBack, Reason};
use crate::contract::ids::ImsOrgId;

/// The label of all organisations that the worker was not set up for.
const OTHER: &str = "other";

/// Counters and gauges of admission and fair sharing.
#[derive(Debug, Clone)]
pub struct AdmissionMetrics {
    breakers_open: IntGaugeVec,
    breakers_opened: IntCounterVec,
    organisations_held_back: IntGauge,
    waits: Histogram,
    rejected: IntCounterVec,
    budget: Gauge,
    limit: GaugeVec,
    calls: IntGaugeVec,
    jobs: IntGaugeVec,
    rate: GaugeVec,
    held_back: IntGaugeVec,
}

impl AdmissionMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let by_breaker = |name, help| (Opts::new(name, help), ["breaker"]);
        let of_each =
            |name, help| register(registry, IntGaugeVec::new(Opts::new(name, help), &["organisation"])?);
        let limit_of_each =
            |name, help| register(registry, GaugeVec::new(Opts::new(name, help), &["organisation"])?);
        let (open, breaker) = by_breaker(
            "circuit_breakers_open",
            "Circuit breakers that are open or half-open, by what they stand before: the calls behind them are held back. Of `host`, whether Flow Service cannot be reached.",
        );
        let (opened, _) = by_breaker("circuit_breaker_opened_total", "Circuit breakers that opened.");
        let rejected = Opts::new(
            "calls_rejected_total",
            "Calls of jobs in slots that admission control rejected, by reason.",
        );
        let waits = HistogramOpts::new(
            "admission_wait_seconds",
            "How long calls waited for their permit: for a concurrency limit, for a rate, or for their turn.",
        )
        .buckets(vec![0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]);
        let metrics = Self {
            breakers_open: register(registry, IntGaugeVec::new(open, &breaker)?)?,
            breakers_opened: register(registry, IntCounterVec::new(opened, &breaker)?)?,
            organisations_held_back: register(
                registry,
                IntGauge::new(
                    "organisations_held_back",
                    "Organisations for which some calls are held back by a circuit breaker.",
                )?,
            )?,
            waits: register(registry, Histogram::with_opts(waits)?)?,
            rejected: register(registry, IntCounterVec::new(rejected, &["reason"])?)?,
            budget: register(
                registry,
                Gauge::new(
                    "retry_budget_ratio",
                    "How much of its budget for repeated calls the part of Flow Service has left that has least, from 0 to 1.",
                )?,
            )?,
            limit: limit_of_each(
                "organisation_concurrency_limit",
                "Most calls at a time of a part of the organisation, for now: the lowest of all parts.",
            )?,
            calls: of_each("organisation_calls_in_flight", "Calls of the organisation that are in flight.")?,
            jobs: of_each("organisation_jobs_in_flight", "Jobs of the organisation that have a slot.")?,
            rate: limit_of_each(
                "organisation_rate_limit",
                "Most calls of the organisation in a second, for now; 0 if there is no limit.",
            )?,
            held_back: of_each(
                "organisation_breakers_open",
                "Circuit breakers of the organisation that are not closed.",
            )?,
        };
        metrics.touch_every_label_set();
        Ok(metrics)
    }

    fn touch_every_label_set(&self) {
        for scope in BreakerScope::ALL {
            self.breakers_opened.with_label_values(&[scope.as_str()]);
        }
        for reason in Reason::all() {
            self.rejected.with_label_values(&[reason.as_str()]);
        }
        self.budget(1.0);
        self.organisations(&[], &BTreeMap::new(), |_| false);
        self.jobs.with_label_values(&[OTHER]);
    }

    /// A call got its permit after a wait, which may have been none.
    pub fn admitted(&self, wait: Duration) {
        self.waits.observe(wait.as_secs_f64());
    }

    /// A call got no permit.
    pub fn rejected(&self, reason: Reason) {
        self.rejected.with_label_values(&[reason.as_str()]).inc();
    }

    /// A breaker has opened.
    pub fn opened(&self, scope: BreakerScope) {
        self.breakers_opened.with_label_values(&[scope.as_str()]).inc();
    }

    /// How much of the budget for repeated calls is left, from 0 to 1.
    pub fn budget(&self, level: f64) {
        self.budget.set(level);
    }

    /// What is held back now, and how the organisations fare: those the worker was set up for by name, all others together.
    pub fn organisations(
        &self,
        held_back: &[HeldBack],
        figures: &BTreeMap<ImsOrgId, Figures>,
        is_configured: impl Fn(&ImsOrgId) -> bool,
    ) {
        for scope in BreakerScope::ALL {
            let open = held_back.iter().filter(|held| held.scope == scope).count();
            self.breakers_open.with_label_values(&[scope.as_str()]).set(whole(open));
        }
        let of_whom: BTreeSet<_> = held_back.iter().filter_map(|held| held.ims_org_id.as_ref()).collect();
        self.organisations_held_back.set(whole(of_whom.len()));

        let label = |id| if is_configured(id) { id.as_str() } else { OTHER };
        let mut of_each = BTreeMap::from([(OTHER, Shown::default())]);
        for (id, figures) in figures {
            of_each.entry(label(id)).or_default().add(figures);
        }
        for id in held_back.iter().filter_map(|held| held.ims_org_id.as_ref()) {
            of_each.entry(label(id)).or_default().breakers_open += 1;
        }
        for (label, shown) in of_each {
            self.limit.with_label_values(&[label]).set(shown.limit.unwrap_or_default());
            self.calls.with_label_values(&[label]).set(shown.calls);
            self.rate.with_label_values(&[label]).set(shown.rate.unwrap_or_default());
            self.held_back.with_label_values(&[label]).set(shown.breakers_open);
        }
    }

    /// How many slots the organisations' jobs have: those of the worker's own organisations by name.
    pub fn slots(&self, in_use: &BTreeMap<String, u32>, known: impl Iterator<Item = ImsOrgId>) {
        let mut jobs: HashMap<String, i64> = known.map(|id| (id.as_str().to_owned(), 0)).collect();
        let mut others = 0;
        for (name, slots) in in_use {
            *jobs.get_mut(name).unwrap_or(&mut others) += i64::from(*slots);
        }
        for (name, slots) in jobs {
            self.jobs.with_label_values(&[name.as_str()]).set(slots);
        }
        self.jobs.with_label_values(&[OTHER]).set(others);
    }

    /// The worker is not set up for these any more: what they had goes among the others.
    pub fn forget(&self, organisations: &[ImsOrgId]) {
        for id in organisations {
            let label = [id.as_str()];
            let removed = [
                self.limit.remove_label_values(&label),
                self.calls.remove_label_values(&label),
                self.jobs.remove_label_values(&label),
                self.rate.remove_label_values(&label),
                self.held_back.remove_label_values(&label),
            ];
            drop(removed); // one that was never shown is gone all the same
        }
    }
}

/// What is shown of one organisation, or of several together.
#[derive(Debug, Default)]
struct Shown {
    limit: Option<f64>,
    calls: i64,
    rate: Option<f64>,
    breakers_open: i64,
}

impl Shown {
    fn add(&mut self, figures: &Figures) {
        let lower = |one: Option<f64>, other| one.into_iter().chain(other).reduce(f64::min);
        self.limit = lower(self.limit, Some(figures.limit));
        self.rate = lower(self.rate, figures.rate);
        self.calls += i64::from(figures.in_flight);
    }
}

fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
