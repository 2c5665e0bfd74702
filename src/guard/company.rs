//! Whether an organisation has the worker to itself. Pure: told the time.

use std::time::Duration;

use tokio::time::Instant;

use crate::contract::ids::ImsOrgId;

/// One of which nothing was heard for so long does not wait for anything.
const LATELY: Duration = Duration::from_secs(60);

/// The two organisations that were heard of last: enough to tell whether there is another than a given one.
#[derive(Debug, Default)]
pub(super) struct Company {
    last: Option<(ImsOrgId, Instant)>,
    before: Option<(ImsOrgId, Instant)>,
}

impl Company {
    /// An organisation wants to make a call.
    pub(super) fn heard_of(&mut self, ims_org_id: &ImsOrgId, now: Instant) {
        if self.last.as_ref().is_none_or(|(id, _)| id != ims_org_id) {
            std::mem::swap(&mut self.last, &mut self.before);
        }
        match &mut self.last {
            Some((id, at)) if id == ims_org_id => *at = now,
            last => *last = Some((ims_org_id.clone(), now)),
        }
    }

    /// Whether others than this one were heard of lately.
    pub(super) fn of(&self, ims_org_id: &ImsOrgId, now: Instant) -> bool {
        let is_other =
            |(id, at): &(ImsOrgId, Instant)| id != ims_org_id && now.saturating_duration_since(*at) < LATELY;
        self.last.iter().chain(&self.before).any(is_other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_alone_until_another_comes_and_again_a_minute_after_it_has_gone() {
        let org = |name: &str| ImsOrgId::parse(&format!("{name}@AdobeOrg")).unwrap();
        let (start, mut company) = (Instant::now(), Company::default());
        let at = |seconds| start + Duration::from_secs(seconds);
        company.heard_of(&org("a"), at(0));
        company.heard_of(&org("a"), at(1));
        assert!(!company.of(&org("a"), at(1)));
        assert!(company.of(&org("b"), at(1)));
        company.heard_of(&org("b"), at(2));
        for second in 3..62 {
            company.heard_of(&org("a"), at(second));
            assert!(company.of(&org("a"), at(second)));
        }
        assert!(!company.of(&org("a"), at(62)));
        company.heard_of(&org("c"), at(63));
        assert!(company.of(&org("a"), at(63)) && company.of(&org("c"), at(63)));
    }
}
