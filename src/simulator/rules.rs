//! The list of rules in force, and which of them strikes. What striking means is elsewhere.

use std::cell::LazyCell;
use std::sync::{Arc, Mutex};

use serde::Serialize;

use super::endpoint::Endpoint;
use super::fault::Rule;
use super::locked;

/// More rules than anybody needs; every request walks the list.
const MAX_RULES: usize = 1_000;

/// The rules in force.
#[derive(Debug)]
pub(super) struct Faults {
    rules: Mutex<Rules>,
}

#[derive(Debug)]
struct Rules {
    listed: Vec<Listed>,
    last_id: u64,
}

/// A rule in force.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Listed {
    id: u64,
    /// How many times it has struck; it goes when that reaches `count`.
    acted: u64,
    #[serde(flatten)]
    rule: Arc<Rule>,
}

impl Faults {
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        let faults = Self { rules: Mutex::new(Rules { listed: Vec::new(), last_id: 0 }) };
        faults.add(rules);
        faults
    }

    pub(super) fn list(&self) -> Vec<Listed> {
        locked(&self.rules).listed.clone()
    }

    pub(super) fn add(&self, rules: Vec<Rule>) -> Vec<Listed> {
        let mut held = locked(&self.rules);
        let room = MAX_RULES.saturating_sub(held.listed.len());
        for rule in rules.into_iter().take(room) {
            held.last_id += 1;
            let id = held.last_id;
            held.listed.push(Listed { id, acted: 0, rule: Arc::new(rule) });
        }
        held.listed.clone()
    }

    pub(super) fn replace(&self, rules: Vec<Rule>) {
        locked(&self.rules).listed.clear();
        self.add(rules);
    }

    pub(super) fn remove(&self, id: u64) -> bool {
        let mut held = locked(&self.rules);
        let before = held.listed.len();
        held.listed.retain(|listed| listed.id != id);
        held.listed.len() < before
    }

    /// The rule that strikes a request, if any; that it has struck is noted.
    pub(super) fn strike(
        &self,
        endpoint: Endpoint,
        org: Option<&str>,
        name: impl FnOnce() -> Option<String>,
        random: &Mutex<fastrand::Rng>,
    ) -> Option<Arc<Rule>> {
        let mut held = locked(&self.rules);
        let name = LazyCell::new(name); // reading it costs, and most rules ask for none
        let at = held.listed.iter().position(|Listed { rule, .. }| {
            (rule.endpoint == Endpoint::Any || rule.endpoint == endpoint)
                && (rule.org.is_none() || rule.org.as_deref() == org)
                && (rule.name.is_none() || rule.name == *name)
                && (rule.rate >= 1.0 || locked(random).f64() < rule.rate)
        })?;
        let listed = held.listed.get_mut(at)?;
        listed.acted += 1;
        let rule = Arc::clone(&listed.rule);
        if rule.count.is_some_and(|count| listed.acted >= count) {
            held.listed.remove(at);
        }
        Some(rule)
    }
}
