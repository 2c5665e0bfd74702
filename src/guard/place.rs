//! Places in hand: a job takes one of its organisation's, or is put aside while the organisation has its share.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::hand::Newcomer;
use super::state::Answer;
use super::{Denied, Guard, Inner, in_turn};
use crate::contract::ids::ImsOrgId;

/// A job that has come.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// For whom.
    pub ims_org_id: &'a ImsOrgId,
    /// Whether it was put aside before.
    pub came_back: bool,
    /// Whether it could not be done any more if it were put aside.
    pub is_urgent: bool,
    /// How long it may wait in hand for its place, if it is either.
    pub patience: Duration,
}

/// A place in hand, until it is dropped.
#[derive(Debug)]
pub struct Place {
    inner: Arc<Inner>,
    ims_org_id: ImsOrgId,
    among_others: bool,
}

impl Guard {
    /// Takes a place for a job. While other organisations have jobs too, its own may have no more than its share: then it
    /// is denied, at once or after a short wait for one of its own to be done. Safe to drop.
    pub async fn place(&self, job: Arrival<'_>) -> Result<Place, Denied> {
        let inner = &self.inner;
        let asked = Instant::now();
        let newcomer = Newcomer { asked, patience: job.patience, is_due: job.came_back || job.is_urgent };
        let among_others = inner.state().arrived(job.ims_org_id, job.came_back, asked);
        let ask = |waited| {
            let answer = inner.state().place(job.ims_org_id, among_others, &newcomer, waited, Instant::now());
            answer.inspect_err(|denied| inner.metrics.denied(denied.reason))
        };
        let waits = || {
            let waits = inner.state().waits_on(job.ims_org_id, among_others, &newcomer, Instant::now());
            waits.inspect_err(|denied| inner.metrics.denied(denied.reason))
        };
        match ask(false)? {
            Answer::Yes(()) => {}
            Answer::Wait { queue, .. } => in_turn(queue, waits, || ask(true)).await?,
        }
        Ok(Place { inner: Arc::clone(inner), ims_org_id: job.ims_org_id.clone(), among_others })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.inner.state().give_back(&self.ims_org_id, self.among_others);
    }
}
