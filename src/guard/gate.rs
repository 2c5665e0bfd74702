//! Whether there is a use in taking jobs, and the probes that find out when there is one again.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info};

use super::{BreakerState, Guard};
use crate::flow::FlowApi;

/// How often the figures for the metrics page are brought up to date, at the least.
const REFRESH: Duration = Duration::from_secs(1);

/// Whether jobs are to be taken from the queue. From the worst to the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// No: no call could be made.
    Shut,
    /// One at a time, to see whether its call succeeds.
    Single,
    /// Yes.
    Open,
}

impl Gate {
    pub(super) fn of(breaker: BreakerState) -> Self {
        match breaker {
            BreakerState::Open => Self::Shut,
            BreakerState::HalfOpen => Self::Single,
            BreakerState::Closed => Self::Open,
        }
    }
}

/// What a breaker stands before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Flow Service as a whole.
    Service,
    /// IMS.
    Ims,
    /// One organisation.
    Organisation,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Service, Self::Ims, Self::Organisation];

    /// The scope in logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "flow_service",
            Self::Ims => "ims",
            Self::Organisation => "organisation",
        }
    }
}

impl Guard {
    /// Tells whether jobs are to be taken, now and whenever that changes.
    pub fn gate(&self) -> watch::Receiver<Gate> {
        self.inner.gate.subscribe()
    }

    /// Sees to it that what is down is tried again, and to the metrics. Never ends.
    ///
    /// Whether Flow Service is back, a call finds out that changes nothing; only then a job may try.
    pub async fn tend<F: FlowApi>(&self, flow: &F) {
        loop {
            let refresh = Instant::now() + REFRESH;
            let due = self.inner.state().due().unwrap_or(refresh).min(refresh);
            tokio::select! {
                biased;
                () = self.inner.changed.notified() => {}
                () = sleep_until(due) => self.probe(flow).await,
            }
            self.refresh();
        }
    }

    async fn probe<F: FlowApi>(&self, flow: &F) {
        let probe = self.inner.state().service_probe(Instant::now());
        let Some(request) = probe else { return };
        self.inner.metrics.probed();
        match flow.probe(&request).await {
            Ok(()) => {
                info!("Flow Service answers again: one job at a time is tried");
                self.inner.state().service.half_open();
            }
            Err(error) => {
                debug!(%error, "Flow Service is still down");
                self.inner.state().service.open(Instant::now());
            }
        }
    }

    fn refresh(&self) {
        let now = Instant::now();
        let mut state = self.inner.state();
        state.forget_strangers();
        state.half_open_if_due(now);
        self.inner.tell(&state);
        let metrics = &self.inner.metrics;
        metrics.breakers(state.service.state(), state.ims.state());
        metrics.gate(state.gate());
        metrics.budget(state.budget_level(now));
        metrics.organisations(&state.organisations(now));
    }
}
