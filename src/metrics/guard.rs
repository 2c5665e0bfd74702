//! What is counted about the guard: breakers, limits, and calls that were held back.

use std::time::Duration;

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

use super::register;
use crate::contract::ids::ImsOrgId;
use crate::guard::{BreakerState, Figures, Gate, Reason, Scope};

/// The label of all organisations that the worker was not set up for.
const OTHER: &str = "other";

/// The states of a circuit breaker, and their labels.
const STATES: [(BreakerState, &str); 3] =
    [(BreakerState::Closed, "closed"), (BreakerState::HalfOpen, "half_open"), (BreakerState::Open, "open")];

/// Counters and gauges of the guard.
#[derive(Debug, Clone)]
pub struct GuardMetrics {
    breaker_state: IntGaugeVec,
    breakers_opened: IntCounterVec,
    organisations_down: IntGauge,
    paused: IntGauge,
    waits: Histogram,
    denied: IntCounterVec,
    probes: IntCounter,
    budget: Gauge,
    limit: GaugeVec,
    calls: IntGaugeVec,
    in_hand: IntGaugeVec,
    share: IntGaugeVec,
    rate: GaugeVec,
    down: IntGaugeVec,
}

impl GuardMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name, help| register(registry, IntGauge::new(name, help)?);
        let counter = |name, help| register(registry, IntCounter::new(name, help)?);
        let counters = |name, help, labels: &[&str]| {
            register(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        let of_each =
            |name, help| register(registry, IntGaugeVec::new(Opts::new(name, help), &["organisation"])?);
        let limit_of_each =
            |name, help| register(registry, GaugeVec::new(Opts::new(name, help), &["organisation"])?);
        let state = Opts::new(
            "circuit_breaker_state",
            "1 for the state that the circuit breaker is in, 0 for the others: closed (all calls are let through), half_open (one at a time), open (none).",
        );
        let budget = Gauge::new(
            "retry_budget_ratio",
            "How much is left of the worker's budget for repeated calls, from 0 to 1.",
        )?;
        let waits = HistogramOpts::new(
            "call_wait_seconds",
            "How long calls waited until they might be made: for a limit, the pace, or their turn.",
        )
        .buckets(vec![0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]);
        let metrics = Self {
            breaker_state: register(registry, IntGaugeVec::new(state, &["breaker", "state"])?)?,
            breakers_opened: counters(
                "circuit_breaker_opened_total",
                "How often a circuit breaker has opened.",
                &["breaker"],
            )?,
            organisations_down: gauge(
                "organisations_down",
                "Organisations whose circuit breaker is open: their jobs wait.",
            )?,
            paused: gauge(
                "consuming_paused",
                "1 while no job is taken from the queue because no call could be made, or only one at a time to try; else 0.",
            )?,
            waits: register(registry, Histogram::with_opts(waits)?)?,
            denied: counters(
                "calls_denied_total",
                "Calls to Flow Service that were not made for now, by why.",
                &["reason"],
            )?,
            probes: counter("probes_total", "Calls to Flow Service that only ask whether it is back.")?,
            budget: register(registry, budget)?,
            limit: limit_of_each(
                "organisation_concurrency_limit",
                "Most calls of the organisation at a time, for now; of all others together, the lowest of theirs.",
            )?,
            calls: of_each("organisation_calls_in_flight", "Calls of the organisation that are under way.")?,
            in_hand: of_each("organisation_jobs_in_hand", "Jobs of the organisation that are in hand.")?,
            share: of_each(
                "organisation_jobs_share",
                "Most jobs of the organisation in hand, for now; 0 if it has all places to itself.",
            )?,
            rate: limit_of_each(
                "organisation_rate_limit",
                "Most calls of the organisation in a second, for now; 0 if there is no limit.",
            )?,
            down: of_each(
                "organisation_down",
                "1 while the organisation's circuit breaker is open: its jobs wait; of all others together, how many.",
            )?,
        };
        metrics.touch_every_label_set();
        Ok(metrics)
    }

    fn touch_every_label_set(&self) {
        for scope in Scope::ALL {
            self.breakers_opened.with_label_values(&[scope.as_str()]);
        }
        self.breakers(BreakerState::Closed, BreakerState::Closed);
        for reason in Reason::ALL {
            self.denied.with_label_values(&[reason.as_str()]);
        }
        self.gate(Gate::Open);
        self.budget(1.0);
        self.organisations(&[(None, Figures::default())]);
    }

    /// A call was let through after a wait, which may have been none.
    pub fn admitted(&self, wait: Duration) {
        self.waits.observe(wait.as_secs_f64());
    }

    /// A call was not let through.
    pub fn denied(&self, reason: Reason) {
        self.denied.with_label_values(&[reason.as_str()]).inc();
    }

    /// A breaker has opened.
    pub fn opened(&self, scope: Scope) {
        self.breakers_opened.with_label_values(&[scope.as_str()]).inc();
    }

    /// Flow Service is asked whether it is back.
    pub fn probed(&self) {
        self.probes.inc();
    }

    /// How the breakers of Flow Service and IMS stand.
    pub fn breakers(&self, service: BreakerState, ims: BreakerState) {
        for (scope, state) in [(Scope::Service, service), (Scope::Ims, ims)] {
            for (other, label) in STATES {
                let is_in = i64::from(other == state);
                self.breaker_state.with_label_values(&[scope.as_str(), label]).set(is_in);
            }
        }
    }

    /// Whether jobs are taken.
    pub fn gate(&self, gate: Gate) {
        self.paused.set(i64::from(gate != Gate::Open));
    }

    /// How much of the budget for repeated calls is left, from 0 to 1.
    pub fn budget(&self, level: f64) {
        self.budget.set(level);
    }

    /// How the organisations fare: those the worker was set up for by name, all others together.
    pub fn organisations(&self, organisations: &[(Option<ImsOrgId>, Figures)]) {
        let mut down = 0;
        for (id, figures) in organisations {
            let label = [id.as_ref().map_or(OTHER, ImsOrgId::as_str)];
            self.limit.with_label_values(&label).set(figures.limit.unwrap_or_default());
            self.calls.with_label_values(&label).set(i64::from(figures.under_way));
            self.in_hand.with_label_values(&label).set(i64::from(figures.held));
            self.share.with_label_values(&label).set(figures.share.unwrap_or_default().into());
            self.rate.with_label_values(&label).set(figures.rate.unwrap_or_default());
            self.down.with_label_values(&label).set(i64::from(figures.down));
            down += i64::from(figures.down);
        }
        self.organisations_down.set(down);
    }

    /// The worker is not set up for these any more: what they had goes among the others.
    pub fn forget(&self, organisations: &[ImsOrgId]) {
        for id in organisations {
            let label = [id.as_str()];
            let removed = [
                self.limit.remove_label_values(&label),
                self.calls.remove_label_values(&label),
                self.in_hand.remove_label_values(&label),
                self.share.remove_label_values(&label),
                self.rate.remove_label_values(&label),
                self.down.remove_label_values(&label),
            ];
            drop(removed); // one that was never shown is gone all the same
        }
    }
}
