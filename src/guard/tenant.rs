//! What is known about one organisation. Pure: told the time and how calls ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

use super::breaker::Breaker;
use super::budget::Budget;
use super::hand::Hand;
use super::limit::Limit;
use super::pace::Pace;
use super::state::Answer;
use super::{BreakerState, Denied, GuardRules, Reason};
use crate::contract::ids::ImsOrgId;

/// One about which nothing was heard for so long is as good as new.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// Those that wait for the same thing of one organisation.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    /// Whose turn it is to ask.
    pub(super) turn: Arc<Mutex<()>>,
    /// Told whenever one has ended of which there can be only so many.
    pub(super) freed: Arc<Notify>,
}

/// One organisation.
#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) breaker: Breaker,
    pub(super) limit: Limit,
    pub(super) pace: Pace,
    pub(super) budget: Budget,
    /// Calls that were let through and have not ended.
    pub(super) under_way: u32,
    pub(super) queue: Queue,
    pub(super) hand: Hand,
    /// When a call of it was last answered well.
    pub(super) well_at: Option<Instant>,
    /// Whether its last call had to fetch a token first.
    pub(super) needs_token: bool,
    adaptive: bool,
    used_at: Instant,
}

impl Tenant {
    /// One with the limits that hold for all.
    pub(super) fn new(rules: &GuardRules, now: Instant) -> Self {
        Self::with((u32::from(rules.concurrency), rules.rate), rules, now)
    }

    /// One that may have limits of its own.
    pub(super) fn of(ims_org_id: &ImsOrgId, rules: &GuardRules, now: Instant) -> Self {
        Self::with(rules.limits_of(ims_org_id), rules, now)
    }

    fn with((most, rate): (u32, Option<f64>), rules: &GuardRules, now: Instant) -> Self {
        Self {
            breaker: Breaker::new(rules.breaker, now),
            limit: Limit::new(most, now),
            pace: Pace::new(rate, rules.longest_retry_after, now),
            budget: Budget::new(1.0, rules.retry_share, now),
            under_way: 0,
            queue: Queue::default(),
            hand: Hand::new(now),
            well_at: None,
            needs_token: false,
            adaptive: rules.adaptive,
            used_at: now,
        }
    }

    /// It wants to make a call.
    pub(super) fn asks(&mut self, needs_token: bool, now: Instant) {
        (self.needs_token, self.used_at) = (needs_token, now);
    }

    /// What a call is told for which there is no room for another `wait`: to wait on, if it is not yet `until`.
    pub(super) fn busy<T>(
        &mut self,
        wait: Duration,
        until: Instant,
        now: Instant,
    ) -> Result<Answer<T>, Denied> {
        if now < until {
            return Ok(Answer::Wait { until: until.min(now + wait), queue: self.queue.clone() });
        }
        Err(Denied { reason: Reason::Busy, wait: wait.max(self.hand.put_aside(now)) })
    }

    /// A call was answered with 429.
    pub(super) fn throttled(&mut self, began: Instant, retry_after: Option<Duration>, now: Instant) {
        if self.adaptive {
            self.pace.throttled(began, retry_after, now);
        }
    }

    /// A call ended as it does when the other side has too much to do.
    pub(super) fn overloaded(&mut self, began: Instant, now: Instant) {
        if self.adaptive {
            self.limit.overloaded(began, now);
        }
    }

    /// There was an answer that says how the matter stands, to a call that began then if its time counts.
    pub(super) fn answered(&mut self, began: Option<Instant>, now: Instant) {
        if self.adaptive {
            if let Some(began) = began {
                self.limit.well(began, now);
            }
            self.pace.answered(now);
        }
        self.well_at = Some(now);
    }

    /// A call of it is not under way any more.
    pub(super) fn gone(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
        self.queue.freed.notify_one();
    }

    /// Whether nothing is lost if it is forgotten.
    pub(super) fn is_forgettable(&self, now: Instant) -> bool {
        self.under_way == 0
            && self.hand.held() == 0
            && self.breaker.state() != BreakerState::Open
            && now.saturating_duration_since(self.used_at) >= FORGOTTEN
    }
}
