//! Who may have how many jobs in hand.

use std::time::Duration;

use tokio::time::Instant;

use super::{Answer, State};
use crate::contract::ids::ImsOrgId;
use crate::guard::hand::{Hand, Newcomer};
use crate::guard::{Denied, Reason, share};

/// How often the places are shared out anew.
const EVERY: Duration = Duration::from_millis(100);

impl State {
    /// A job has come; whether its organisation is counted among those for whom there is no place of their own.
    pub(in crate::guard) fn arrived(&mut self, ims_org_id: &ImsOrgId, came_back: bool, now: Instant) -> bool {
        let among_others = self.heard_of(ims_org_id, now);
        if came_back {
            self.hand(ims_org_id, among_others).came_back();
        }
        among_others
    }

    /// Gives a job a place, if its organisation may have another; `waited` if it is its turn among those that wait for one.
    pub(in crate::guard) fn place(
        &mut self,
        ims_org_id: &ImsOrgId,
        among_others: bool,
        job: &Newcomer,
        waited: bool,
        now: Instant,
    ) -> Result<Answer<()>, Denied> {
        self.share(now);
        if self.hand(ims_org_id, among_others).take(waited, now) {
            return Ok(Answer::Yes(()));
        }
        self.wait_for_place(ims_org_id, among_others, job, waited, now)
    }

    /// Whether a job may wait on until it is its turn.
    pub(in crate::guard) fn waits_on(
        &mut self,
        ims_org_id: &ImsOrgId,
        among_others: bool,
        job: &Newcomer,
        now: Instant,
    ) -> Result<(), Denied> {
        self.wait_for_place(ims_org_id, among_others, job, true, now).map(drop)
    }

    fn wait_for_place(
        &mut self,
        ims_org_id: &ImsOrgId,
        among_others: bool,
        job: &Newcomer,
        in_line: bool,
        now: Instant,
    ) -> Result<Answer<()>, Denied> {
        let hand = self.hand(ims_org_id, among_others);
        let until = hand.until(job, in_line, now);
        if now < until {
            return Ok(Answer::Wait { until, queue: hand.line.clone() });
        }
        Err(Denied { reason: Reason::Share, wait: hand.put_aside(now) })
    }

    /// A job is not in hand any more.
    pub(in crate::guard) fn give_back(&mut self, ims_org_id: &ImsOrgId, among_others: bool) {
        self.hand(ims_org_id, among_others).give_back();
    }

    /// Somebody wants something for an organisation; whether that is counted among the others.
    pub(super) fn heard_of(&mut self, ims_org_id: &ImsOrgId, now: Instant) -> bool {
        let among_others = !self.is_known(ims_org_id, now);
        if self.hand(ims_org_id, among_others).heard_of(now) {
            self.shared_at = None;
        }
        self.share(now);
        among_others
    }

    /// Whether others than this organisation were heard of lately. Of those that are counted together, nobody knows.
    pub(super) fn in_company(&self, ims_org_id: &ImsOrgId) -> bool {
        self.present > 1 || !self.tenants.contains_key(ims_org_id)
    }

    /// Shares the places out, if it is time.
    fn share(&mut self, now: Instant) {
        if self.shared_at.is_some_and(|at| now.saturating_duration_since(at) < EVERY) {
            return;
        }
        self.shared_at = Some(now);
        let hands = self.tenants.values_mut().chain([&mut self.others]).map(|tenant| &mut tenant.hand);
        let present: Vec<&mut Hand> = hands.filter(|hand| hand.is_present(now)).collect();
        self.present = present.len();
        let needs: Vec<f64> = present.iter().map(|hand| hand.need(now)).collect();
        for (hand, most) in present.into_iter().zip(share::of(self.rules.places.into(), &needs)) {
            hand.most = most;
        }
    }

    /// The same for a job as long as it is in hand.
    fn hand(&mut self, ims_org_id: &ImsOrgId, among_others: bool) -> &mut Hand {
        match self.tenants.get_mut(ims_org_id) {
            Some(tenant) if !among_others => &mut tenant.hand,
            _ => &mut self.others.hand,
        }
    }
}
