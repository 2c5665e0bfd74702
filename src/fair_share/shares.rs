//! Who may have how many slots. Pure, and without a clock: only present demand counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Notify;

use super::Tenant;

/// One slot in this many is never borrowed.
const RESERVED: u32 = 16;

/// A tenant of which no more jobs wait than this is small beside one that has as many slots.
const SMALL: u32 = 2;

/// A job that wants a slot.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) tenant: Tenant,
    /// The most that the tenant is to have.
    pub(super) max: u32,
    /// Whether it has jobs in the overflow: then slots that are kept free are not for it.
    pub(super) overflows: bool,
    /// Notified when it is granted after a wait.
    pub(super) granted: Arc<Notify>,
}

/// The slots, and who has them.
#[derive(Debug)]
pub(super) struct Shares {
    slots: u32,
    /// Slots that nobody borrows.
    reserved: u32,
    in_use: u32,
    /// Those that have jobs here now.
    tenants: BTreeMap<String, Demand>,
    /// In the order in which they came.
    waiting: BTreeMap<u64, Request>,
    requests: u64,
}

/// What a tenant has and wants.
#[derive(Debug, Default)]
struct Demand {
    in_use: u32,
    members: BTreeMap<String, Member>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Member {
    in_use: u32,
    waiting: u32,
}

impl Shares {
    pub(super) fn new(slots: u32) -> Self {
        let reserved = always_reserved(slots);
        Self { slots, reserved, in_use: 0, tenants: BTreeMap::new(), waiting: BTreeMap::new(), requests: 0 }
    }

    /// Grants a slot at once if one may be had; else the request waits under this number.
    pub(super) fn request(&mut self, request: &Request) -> Option<u64> {
        self.member(&request.tenant).waiting += 1;
        // Whoever waits longer, and could go on, has been granted its slot already.
        if self.may_have(request) {
            self.grant(&request.tenant);
            return None;
        }
        self.requests += 1;
        self.waiting.insert(self.requests, request.clone());
        Some(self.requests)
    }

    /// A job does not want its slot any more; it may have been granted meanwhile.
    pub(super) fn withdraw(&mut self, number: u64, request: &Request) {
        if self.waiting.remove(&number).is_none() {
            return self.release(&request.tenant);
        }
        let member = self.member(&request.tenant);
        member.waiting = member.waiting.saturating_sub(1);
        self.forget_if_idle(&request.tenant);
        self.grant_waiting();
    }

    /// A job has ended.
    pub(super) fn release(&mut self, tenant: &Tenant) {
        self.in_use = self.in_use.saturating_sub(1);
        if let Some(demand) = self.tenants.get_mut(&tenant.name) {
            demand.in_use = demand.in_use.saturating_sub(1);
        }
        let member = self.member(tenant);
        member.in_use = member.in_use.saturating_sub(1);
        self.forget_if_idle(tenant);
        self.grant_waiting();
    }

    /// Keeps at least this many slots from being borrowed.
    pub(super) fn keep_free(&mut self, slots: u32) {
        self.reserved = slots.clamp(always_reserved(self.slots), self.slots / 2 + 1);
        self.grant_waiting();
    }

    /// Whether the tenant has less than its share, even if another one came, or much less than another one has.
    pub(super) fn is_entitled(&self, tenant: &Tenant, overflows: bool) -> bool {
        let demand = self.tenants.get(&tenant.name);
        let member = demand.and_then(|demand| demand.members.get(&tenant.member));
        let members = demand.map_or(1, |demand| demand.members.len() + usize::from(member.is_none()));
        let tenants = self.tenants.len() + 1;
        let most = self.tenants.values().map(|demand| demand.in_use).max().unwrap_or_default();
        member.map_or(0, |member| member.in_use) < self.share(tenants, members, overflows)
            || demand.map_or(0, |demand| demand.in_use) * 2 <= most
    }

    /// Whether at most two jobs of the tenant wait, and another tenant has no fewer slots; and all that wait leave room for one
    /// that comes.
    pub(super) fn is_small(&self, tenant: &Tenant) -> bool {
        let Some(demand) = self.tenants.get(&tenant.name) else { return true };
        let others = self.tenants.iter().filter(|(name, _)| **name != tenant.name);
        let waiting: u32 = demand.members.values().map(|member| member.waiting).sum();
        let has_room = self.in_use + count(self.waiting.len()) < self.slots;
        has_room
            && waiting <= SMALL
            && others.map(|(_, other)| other.in_use).max().is_some_and(|most| demand.in_use <= most)
    }

    fn share(&self, tenants: usize, members: usize, overflows: bool) -> u32 {
        let kept = if overflows { self.reserved } else { always_reserved(self.slots) };
        ((self.slots - kept) / count(tenants) / count(members)).max(1)
    }

    /// Whether the tenant has as many as it is to have.
    pub(super) fn is_at_max(&self, request: &Request) -> bool {
        self.tenants.get(&request.tenant.name).is_some_and(|demand| demand.in_use >= request.max)
    }

    pub(super) fn is_full(&self) -> bool {
        self.in_use >= self.slots
    }

    /// Slots in use, by tenant.
    pub(super) fn in_use(&self) -> BTreeMap<String, u32> {
        self.tenants.iter().map(|(name, demand)| (name.clone(), demand.in_use)).collect()
    }

    /// Whether it may have a slot: one of its own share, or a borrowed one.
    fn may_have(&self, request: &Request) -> bool {
        let Some(demand) = self.tenants.get(&request.tenant.name) else { return false };
        let own = demand.members.get(&request.tenant.member).copied().unwrap_or_default();
        let share = self.share(self.tenants.len(), demand.members.len(), request.overflows);
        // Whoever has half of its share waits until borrowed slots come back: floods are not to fill the reserve with theirs.
        let limit = if own.in_use * 2 < share { self.slots } else { self.slots - self.reserved };
        self.in_use < limit && demand.in_use < request.max
    }

    fn grant(&mut self, tenant: &Tenant) {
        self.in_use += 1;
        let member = self.member(tenant);
        member.waiting = member.waiting.saturating_sub(1);
        member.in_use += 1;
        if let Some(demand) = self.tenants.get_mut(&tenant.name) {
            demand.in_use += 1;
        }
    }

    /// First to those that have the least, and to them in the order in which they came.
    fn grant_waiting(&mut self) {
        while self.in_use < self.slots {
            let may_have = self.waiting.iter().filter(|(_, request)| self.may_have(request));
            let next =
                may_have.min_by_key(|(_, request)| self.has(&request.tenant)).map(|(number, _)| *number);
            let Some(next) = next.and_then(|number| self.waiting.remove(&number)) else { return };
            self.grant(&next.tenant);
            next.granted.notify_one();
        }
    }

    /// How many slots the tenant has, and its member.
    fn has(&self, tenant: &Tenant) -> (u32, u32) {
        let Some(demand) = self.tenants.get(&tenant.name) else { return (0, 0) };
        (demand.in_use, demand.members.get(&tenant.member).map_or(0, |member| member.in_use))
    }

    fn member(&mut self, tenant: &Tenant) -> &mut Member {
        let demand = self.tenants.entry(tenant.name.clone()).or_default();
        demand.members.entry(tenant.member.clone()).or_default()
    }

    fn forget_if_idle(&mut self, tenant: &Tenant) {
        let Some(demand) = self.tenants.get_mut(&tenant.name) else { return };
        demand.members.retain(|_, member| member.in_use + member.waiting > 0);
        if demand.members.is_empty() {
            self.tenants.remove(&tenant.name);
        }
    }
}

/// At least one, unless there is only one at all.
fn always_reserved(slots: u32) -> u32 {
    (slots / RESERVED).max(1).min(slots - 1)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tenant(name: &str, member: &str) -> Tenant {
        Tenant { name: name.to_owned(), member: member.to_owned() }
    }

    fn request(of: &Tenant, max: u32) -> Request {
        Request { tenant: of.clone(), max, overflows: false, granted: Arc::default() }
    }

    /// Asks for this many slots; gives how many were granted at once.
    fn ask(shares: &mut Shares, of: &Tenant, number: u32) -> u32 {
        (0..number).map(|_| u32::from(shares.request(&request(of, u32::MAX)).is_none())).sum()
    }

    fn held(shares: &Shares, name: &str) -> u32 {
        shares.in_use().get(name).copied().unwrap_or_default()
    }

    fn has_slot(shares: &Shares, one: &Tenant) -> bool {
        shares.has(one).1 > 0
    }

    #[test]
    fn one_alone_may_have_all_but_the_reserve() {
        for (slots, expected) in [(1, 1), (2, 1), (10, 9), (100, 94), (256, 240)] {
            let mut shares = Shares::new(slots);
            assert_eq!(ask(&mut shares, &tenant("A", "a"), 1_000), expected, "{slots}");
        }
    }

    #[test]
    fn a_newcomer_finds_a_slot_beside_a_flood() {
        let mut shares = Shares::new(64);
        ask(&mut shares, &tenant("A", "a"), 1_000);
        assert_eq!(ask(&mut shares, &tenant("B", "b"), 3), 3);
    }

    #[test]
    fn whoever_has_the_least_is_the_next_to_borrow() {
        let mut shares = Shares::new(22);
        let (flood, busy) = (tenant("A", "a"), tenant("B", "b"));
        assert_eq!(ask(&mut shares, &flood, 100), 21);
        assert!(shares.is_entitled(&busy, false), "it has much less");
        assert_eq!(ask(&mut shares, &busy, 100), 1);
        (0..15).for_each(|_| shares.release(&flood));
        assert_eq!((held(&shares, "A"), held(&shares, "B")), (11, 10));
        assert!(!shares.is_entitled(&busy, false));
    }

    #[test]
    fn who_wants_one_or_two_more_beside_a_larger_one_is_small() {
        let mut shares = Shares::new(22);
        let (flood, few) = (tenant("A", "a"), tenant("B", "b"));
        shares.keep_free(11);
        ask(&mut shares, &few, 5);
        assert!(!shares.is_small(&few), "there is no other");
        ask(&mut shares, &flood, 10);
        assert_eq!((held(&shares, "A"), held(&shares, "B")), (6, 5));
        assert!(shares.is_small(&few) && !shares.is_small(&flood));
        ask(&mut shares, &flood, 7);
        assert!(!shares.is_small(&few), "what waits leaves no room");
        for number in shares.waiting.keys().copied().skip(4).collect::<Vec<_>>() {
            let request = shares.waiting[&number].clone();
            shares.withdraw(number, &request);
        }
        assert!(shares.is_small(&few));
        ask(&mut shares, &few, 3);
        assert!(!shares.is_small(&few), "three wait");
    }

    #[test]
    fn a_quiet_crowd_leaves_the_rest_to_the_busy() {
        let mut shares = Shares::new(32);
        for number in 0..4 {
            assert_eq!(ask(&mut shares, &tenant(&format!("quiet {number}"), "a"), 1), 1);
        }
        assert_eq!(ask(&mut shares, &tenant("busy", "a"), 100), 26);
        for number in 0..4 {
            shares.release(&tenant(&format!("quiet {number}"), "a"));
        }
        assert_eq!(held(&shares, "busy"), 30, "what others do not use is lent");
    }

    #[test]
    fn two_floods_end_up_with_equal_shares() {
        let mut shares = Shares::new(64);
        let (a, b) = (tenant("A", "a"), tenant("B", "b"));
        ask(&mut shares, &a, 1_000);
        ask(&mut shares, &b, 1_000);
        for _ in 0..200 {
            for one in [&a, &b] {
                if held(&shares, &one.name) > 0 {
                    shares.release(one);
                }
            }
        }
        assert!(held(&shares, "A").abs_diff(held(&shares, "B")) <= 4, "{:?}", shares.in_use());
    }

    #[test]
    fn two_floods_leave_the_reserve_to_others() {
        let mut shares = Shares::new(64);
        let (a, b) = (tenant("A", "a"), tenant("B", "b"));
        ask(&mut shares, &b, 20);
        ask(&mut shares, &a, 1_000);
        ask(&mut shares, &b, 1_000);
        assert_eq!(shares.in_use, 60, "both have less than their shares, or have borrowed");
        assert_eq!(ask(&mut shares, &tenant("C", "c"), 3), 3);
    }

    #[test]
    fn what_is_kept_free_is_for_those_who_have_nothing_in_the_overflow() {
        let of_b = |overflows| {
            let mut shares = Shares::new(64);
            shares.keep_free(32);
            ask(&mut shares, &tenant("A", "a"), 1_000);
            let request = Request { overflows, ..request(&tenant("B", "b"), u32::MAX) };
            let granted = (0..1_000).filter(|_| shares.request(&request).is_none()).count();
            (granted, shares.is_entitled(&request.tenant, overflows))
        };
        assert_eq!(of_b(false), (15, true), "half of its share of all but the reserve");
        assert_eq!(of_b(true), (8, true));
    }

    #[test]
    fn a_slow_member_leaves_its_tenants_others_their_part() {
        let mut shares = Shares::new(64);
        ask(&mut shares, &tenant("A", "slow"), 1_000);
        assert_eq!(ask(&mut shares, &tenant("A", "fast"), 4), 4);
    }

    #[test]
    fn no_tenant_has_more_than_its_maximum() {
        let mut shares = Shares::new(64);
        let two = request(&tenant("A", "a"), 2);
        assert_eq!([(); 3].map(|()| shares.request(&two)), [None, None, Some(1)]);
        assert!(shares.is_at_max(&two));
        shares.release(&two.tenant);
        assert!(shares.waiting.is_empty() && held(&shares, "A") == 2);
    }

    #[test]
    fn what_is_kept_free_is_not_borrowed() {
        let mut shares = Shares::new(64);
        shares.keep_free(32);
        assert_eq!(ask(&mut shares, &tenant("A", "a"), 1_000), 32);
        shares.keep_free(0);
        assert_eq!(held(&shares, "A"), 60, "all but the reserve");
    }

    proptest! {
        #[test]
        fn slots_are_never_more_than_there_are_nor_lost(
            slots in 1_u32..40,
            steps in proptest::collection::vec((0..4_u8, 0..3_u8, any::<bool>()), 1..300),
        ) {
            let mut shares = Shares::new(slots);
            let mut tenants = Vec::new();
            for (name, member, comes) in steps {
                let tenant = tenant(&name.to_string(), &member.to_string());
                if comes {
                    shares.request(&request(&tenant, u32::MAX));
                    tenants.push(tenant);
                } else if let Some(at) = tenants.iter().position(|one| has_slot(&shares, one)) {
                    shares.release(&tenants.remove(at));
                }
                prop_assert!(shares.in_use <= slots);
                prop_assert_eq!(shares.in_use as usize + shares.waiting.len(), tenants.len());
                prop_assert!(shares.waiting.is_empty() || shares.in_use + shares.reserved >= slots);
            }
            while let Some(at) = tenants.iter().position(|one| has_slot(&shares, one)) {
                shares.release(&tenants.remove(at));
            }
            prop_assert!(tenants.is_empty() && shares.waiting.is_empty() && shares.tenants.is_empty());
        }
    }
}
