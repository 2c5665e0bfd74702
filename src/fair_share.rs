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
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    shares: Shares,
    /// Those that wait, by the number of their request.
    waiting: BTreeMap<u64, Arc<Notify>>,
    requests: u64,
}

impl FairShare {
    /// Shares out this many slots.
    pub fn new(slots: u16) -> Self {
        let shares = Shares::new(u32::from(slots));
        let state = State { shares, waiting: BTreeMap::new(), requests: 0 };
        Self { inner: Arc::new(Inner { state: Mutex::new(state) }) }
    }

    /// Asks for a slot, of which the tenant is to have no more than `max`, if that is given.
    pub fn request(&self, tenant: Tenant, max: Option<u32>) -> SlotRequest {
        let mut state = self.inner.state();
        state.requests += 1;
        let number = state.requests;
        let request = Request { number, tenant, max: max.unwrap_or(u32::MAX) };
        let granted = state.shares.request(&request);
        let notify = Arc::new(Notify::new());
        if !granted {
            state.waiting.insert(number, Arc::clone(&notify));
        }
        drop(state);
        SlotRequest { inner: Arc::clone(&self.inner), request: Some(request), notify, granted }
    }

    /// Keeps this many slots from being borrowed: room for jobs to be looked through, besides those that are always kept.
    pub fn keep_free(&self, slots: u32) {
        let mut state = self.inner.state();
        let granted = state.shares.keep_free(slots);
        state.grant(granted);
    }

    /// Whether the tenant has less than its share, even if another one came, or much less than another one has.
    pub fn is_entitled(&self, tenant: &Tenant) -> bool {
        self.inner.state().shares.is_entitled(tenant)
    }

    /// Whether jobs have all the slots.
    pub fn is_full(&self) -> bool {
        self.inner.state().shares.is_full()
    }

    /// Whether at most two jobs of the tenant wait, and another tenant has no fewer slots; and all that wait leave room for one
    /// that comes.
    pub fn is_small(&self, tenant: &Tenant) -> bool {
        self.inner.state().shares.is_small(tenant)
    }

    /// Slots that jobs have now, by tenant.
    pub fn in_use(&self) -> BTreeMap<String, u32> {
        self.inner.state().shares.in_use()
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn grant(&mut self, numbers: Vec<u64>) {
        for number in numbers {
            if let Some(notify) = self.waiting.remove(&number) {
                notify.notify_one();
            }
        }
    }
}

/// A request for a slot: granted, or waiting for it. Dropped, it does not wait any more.
#[derive(Debug)]
pub struct SlotRequest {
    inner: Arc<Inner>,
    request: Option<Request>,
    notify: Arc<Notify>,
    granted: bool,
}

impl SlotRequest {
    /// Whether it was granted at once, or waited for.
    pub fn is_granted(&self) -> bool {
        self.granted
    }

    /// Whether it waits because its tenant has as many slots as it is to have.
    pub fn is_at_max(&self) -> bool {
        let is_at_max = |request| self.inner.state().shares.is_at_max(request);
        !self.granted && self.request.as_ref().is_some_and(is_at_max)
    }

    /// Waits until the slot is granted. Safe to drop and call again.
    pub async fn granted(&mut self) {
        if !self.granted {
            self.notify.notified().await;
            self.granted = true;
        }
    }

    /// The slot of a request that was granted.
    pub fn into_slot(mut self) -> Option<Slot> {
        let request = self.request.take_if(|_| self.granted)?;
        Some(Slot { inner: Arc::clone(&self.inner), tenant: request.tenant })
    }
}

impl Drop for SlotRequest {
    fn drop(&mut self) {
        let Some(request) = self.request.take() else { return };
        let mut state = self.inner.state();
        let granted = match state.waiting.remove(&request.number) {
            Some(_) => state.shares.withdraw(&request),
            // It was granted meanwhile, and nobody took it.
            None => state.shares.release(&request.tenant),
        };
        state.grant(granted);
    }
}

/// A slot, until it is dropped.
#[derive(Debug)]
pub struct Slot {
    inner: Arc<Inner>,
    tenant: Tenant,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        let granted = state.shares.release(&self.tenant);
        state.grant(granted);
    }
}
