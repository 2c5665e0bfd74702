//! Whether a job may have a slot now: keeps organisations, and their parts, from taking the slots of others.
//!
//! There are as many slots as deliveries may be in flight. They are shared out max-min fairly by present demand: equally
//! among the tenants that have jobs here now, in flight or waiting, and within a tenant equally among its members. Whoever
//! needs less leaves the rest to the others, who borrow it and give it back as their jobs end. A few slots are never
//! borrowed, so that one who comes for the first time finds one at once. Knows nothing of calls, breakers or queues.

mod shares;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use self::shares::{Request, Shares};

/// Whose a job is: a tenant, and a member of it that can be slow by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tenant {
    /// Tenants share the slots equally.
    pub name: String,
    /// Members share those of their tenant equally.
    pub member: String,
}

/// Hands out slots. Clones share them.
#[derive(Debug, Clone)]
pub struct FairShare {
    shares: Arc<Mutex<Shares>>,
}

impl FairShare {
    /// Shares out this many slots.
    pub fn new(slots: u16) -> Self {
        Self { shares: Arc::new(Mutex::new(Shares::new(u32::from(slots)))) }
    }

    /// A slot, of which the tenant is to have no more than `max`, if that is given; or a place among those that wait for one.
    ///
    /// Slots that are kept free are not for a tenant that `overflows`.
    pub fn request(&self, tenant: Tenant, max: Option<u32>, overflows: bool) -> Result<Slot, SlotRequest> {
        let (shares, granted) = (Arc::clone(&self.shares), Arc::new(Notify::new()));
        let request = Request { tenant, max: max.unwrap_or(u32::MAX), overflows, granted };
        match lock(&self.shares).request(&request) {
            None => Ok(Slot { shares, tenant: request.tenant }),
            Some(number) => Err(SlotRequest { shares, waiting: Some((number, request)) }),
        }
    }

    /// Keeps this many slots from being borrowed: room for jobs to be looked through, besides those that are always kept.
    pub fn keep_free(&self, slots: u32) {
        lock(&self.shares).keep_free(slots);
    }

    /// Whether the tenant has less than its share, even if another one came, or much less than another one has. Of one that
    /// `overflows`, the share is smaller by what is kept free.
    pub fn is_entitled(&self, tenant: &Tenant, overflows: bool) -> bool {
        lock(&self.shares).is_entitled(tenant, overflows)
    }

    /// Whether jobs have all the slots.
    pub fn is_full(&self) -> bool {
        lock(&self.shares).is_full()
    }

    /// Whether at most two jobs of the tenant wait, and another tenant has no fewer slots; and all that wait leave room for one
    /// that comes.
    pub fn is_small(&self, tenant: &Tenant) -> bool {
        lock(&self.shares).is_small(tenant)
    }

    /// Slots that jobs have now, by tenant.
    pub fn in_use(&self) -> BTreeMap<String, u32> {
        lock(&self.shares).in_use()
    }
}

fn lock(shares: &Mutex<Shares>) -> MutexGuard<'_, Shares> {
    shares.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request for a slot that waits. Dropped, it does not any more.
#[derive(Debug)]
pub struct SlotRequest {
    shares: Arc<Mutex<Shares>>,
    waiting: Option<(u64, Request)>,
}

impl SlotRequest {
    /// Whether it waits because its tenant has as many slots as it is to have.
    pub fn is_at_max(&self) -> bool {
        self.waiting.as_ref().is_some_and(|(_, request)| lock(&self.shares).is_at_max(request))
    }

    /// Waits for the slot, which there is only once. Safe to drop and call again.
    pub async fn granted(&mut self) -> Slot {
        if let Some((_, request)) = &self.waiting {
            request.granted.notified().await;
        }
        match self.waiting.take() {
            Some((_, request)) => Slot { shares: Arc::clone(&self.shares), tenant: request.tenant },
            None => std::future::pending().await,
        }
    }
}

impl Drop for SlotRequest {
    fn drop(&mut self) {
        if let Some((number, request)) = self.waiting.take() {
            lock(&self.shares).withdraw(number, &request);
        }
    }
}

/// A slot, until it is dropped.
#[derive(Debug)]
pub struct Slot {
    shares: Arc<Mutex<Shares>>,
    tenant: Tenant,
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.shares).release(&self.tenant);
    }
}
