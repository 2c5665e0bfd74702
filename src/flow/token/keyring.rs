//! Whose token a call needs: one source for every organisation, or one for each, which can be exchanged at any time.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use super::TokenSource;
use crate::contract::ids::ImsOrgId;
use crate::flow::{Failure, FailureKind};

/// The credentials of an organisation that was taken out are kept for the jobs in hand, none of which lasts longer:
/// RabbitMQ takes a delivery back after 30 minutes (`consumer_timeout`).
const KEPT: Duration = Duration::from_secs(30 * 60);

/// The sources of tokens, by organisation. Clones share them.
#[derive(Clone)]
pub struct Keyring {
    inner: Arc<Inner>,
}

enum Inner {
    One(TokenSource),
    Each(RwLock<HashMap<ImsOrgId, Key>>),
}

struct Key {
    source: TokenSource,
    /// When it can be thrown away, if its organisation was taken out.
    until: Option<Instant>,
}

impl Keyring {
    /// The same source for whatever organisation.
    pub fn one(source: TokenSource) -> Self {
        Self { inner: Arc::new(Inner::One(source)) }
    }

    /// A source for each organisation that is added, and none for others.
    pub fn for_each() -> Self {
        Self { inner: Arc::new(Inner::Each(RwLock::default())) }
    }

    /// Where an organisation's tokens come from. A failure says that there is nothing to log in with.
    pub(in crate::flow) fn of(&self, ims_org_id: &str) -> Result<TokenSource, Failure> {
        let keys = match &*self.inner {
            Inner::One(source) => return Ok(source.clone()),
            Inner::Each(keys) => keys.read().unwrap_or_else(PoisonError::into_inner),
        };
        keys.get(ims_org_id).map(|key| key.source.clone()).ok_or_else(|| {
            let message = "the worker has no credentials of the organisation any more (ORGS_FILE)".to_owned();
            Failure::new(FailureKind::Unauthorized, message)
        })
    }

    /// From now on the organisation's tokens come from here. Calls under way go on with what they have.
    pub fn set(&self, ims_org_id: ImsOrgId, source: TokenSource) {
        self.change(|keys| _ = keys.insert(ims_org_id, Key { source, until: None }));
    }

    /// The organisation was taken out: its jobs in hand can still be finished.
    pub fn retire(&self, ims_org_id: &ImsOrgId) {
        let until = Instant::now() + KEPT;
        self.change(|keys| {
            if let Some(key) = keys.get_mut(ims_org_id) {
                key.until.get_or_insert(until);
            }
        });
    }

    /// Throws away what no job in hand can need any more.
    pub fn forget_retired(&self) {
        let now = Instant::now();
        self.change(|keys| keys.retain(|_, key| key.until.is_none_or(|until| now < until)));
    }

    fn change(&self, change: impl FnOnce(&mut HashMap<ImsOrgId, Key>)) {
        if let Inner::Each(keys) = &*self.inner {
            change(&mut keys.write().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &*self.inner {
            Inner::One(_) => "one",
            Inner::Each(_) => "each",
        };
        formatter.debug_struct("Keyring").field("kind", &kind).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::flow::token::{Credentials, ImsClient, ImsSettings};
    use crate::metrics::Metrics;
    use crate::secret::SecretSource;

    fn source(key: &str) -> TokenSource {
        let settings = ImsSettings {
            url: "http://127.0.0.1:1".parse().unwrap(),
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
        };
        let ims = ImsClient::new(&settings, Metrics::new().unwrap().http).unwrap();
        let credentials =
            Credentials::Fixed { access_token: SecretSource::Inline("token".into()), api_key: key.into() };
        TokenSource::new(credentials, &ims, None).unwrap()
    }

    fn api_key(keyring: &Keyring, org: &str) -> Option<String> {
        let source = keyring.of(org).ok()?;
        Some(source.api_key_header().to_str().unwrap().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn each_organisation_has_its_own_and_a_retired_one_for_as_long_as_a_job_can_last() {
        let (a, b) = (ImsOrgId::parse("a@AdobeOrg").unwrap(), ImsOrgId::parse("b@AdobeOrg").unwrap());
        let keyring = Keyring::for_each();
        keyring.set(a.clone(), source("key-a"));
        keyring.set(b.clone(), source("key-b"));
        assert_eq!(api_key(&keyring, "a@AdobeOrg").as_deref(), Some("key-a"));
        assert_eq!(api_key(&keyring, "c@AdobeOrg"), None);
        keyring.set(a.clone(), source("new-key-a"));
        assert_eq!(api_key(&keyring, "a@AdobeOrg").as_deref(), Some("new-key-a"));

        keyring.retire(&a);
        keyring.retire(&b);
        keyring.set(b, source("key-b"));
        advance(KEPT / 2).await;
        keyring.retire(&a);
        keyring.forget_retired();
        assert_eq!(api_key(&keyring, "a@AdobeOrg").as_deref(), Some("new-key-a"));
        advance(KEPT / 2).await;
        keyring.forget_retired();
        assert_eq!(keyring.of("a@AdobeOrg").unwrap_err().kind, FailureKind::Unauthorized);
        assert_eq!(api_key(&keyring, "b@AdobeOrg").as_deref(), Some("key-b"), "it came back");
    }

    #[test]
    fn one_serves_all() {
        let keyring = Keyring::one(source("key"));
        keyring.retire(&ImsOrgId::parse("a@AdobeOrg").unwrap());
        keyring.forget_retired();
        assert_eq!(api_key(&keyring, "a@AdobeOrg").as_deref(), Some("key"));
        assert_eq!(api_key(&keyring, "anything").as_deref(), Some("key"));
    }
}
