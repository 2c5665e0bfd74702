//! What is done about a delivery under suspicion.

use std::time::Duration;

use super::Worker;
use super::decision::{Decision, Deferral};
use super::suspicion::{self, Suspicion};
use crate::broker::delivery::Delivery;
use crate::clock;
use crate::contract::history::{DeadReason, History};
use crate::contract::job::id_of;
use crate::flow::FlowApi;
use crate::retry::tier::Tier;

impl<F: FlowApi> Worker<F> {
    /// What to do about a delivery that may be one that kills the worker, if it is not to be tried now, with up to
    /// `in_hand` jobs in hand. Its body is not parsed: that may be what kills.
    pub(super) fn suspect(&self, delivery: &Delivery, in_hand: u16) -> Option<Decision> {
        let history = &delivery.history;
        let note = |trials, why: &str| {
            let unsettled = if delivery.redelivered { self.handler.settle() } else { Duration::ZERO };
            let settled_at = history.settled_at.filter(|_| !delivery.redelivered);
            let settled_at = settled_at.or_else(|| clock::now().checked_add(unsettled).ok());
            let attempts = Some(history.attempts.unwrap_or_default());
            let undone = history.undone.filter(|_| !delivery.redelivered);
            let looked = history.looked && !delivery.redelivered;
            let history =
                History { attempts, settled_at, undone, looked, trials: Some(trials), ..history.clone() };
            Some(Decision::Defer(Deferral { tier: Tier::TenSeconds, history, why: Some(why.to_owned()) }))
        };
        match suspicion::of(history.trials, delivery.redelivered, delivery.delivery_count) {
            Suspicion::None => None,
            Suspicion::AtMost(most) if in_hand <= most => None,
            Suspicion::AtMost(_) => {
                note(history.trials.unwrap_or_default(), "too many other jobs are in hand")
            }
            Suspicion::Note(trials) => note(trials, "the session ended while the job was in hand"),
            Suspicion::Guilty => {
                let id = id_of(&delivery.body, delivery.properties.message_id());
                let message = "each time the worker tried this job alone, it or its session ended; whether the connection exists is unknown";
                Some(self.give_up(delivery, id.as_ref(), DeadReason::CrashLoop, message))
            }
        }
    }
}

/// How many jobs may be in hand while this one is tried, if that matters.
pub(super) fn most_in_hand(delivery: &Delivery) -> Option<u16> {
    match suspicion::of(delivery.history.trials, delivery.redelivered, delivery.delivery_count) {
        Suspicion::AtMost(most) => Some(most),
        Suspicion::None | Suspicion::Note(_) | Suspicion::Guilty => None,
    }
}

/// A suspect that was not tried goes round once more, as it is.
pub(super) fn untried(delivery: &Delivery) -> Decision {
    Decision::Defer(Deferral { tier: Tier::TenSeconds, history: delivery.history.clone(), why: None })
}
