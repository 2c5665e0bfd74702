//! For which organisations the worker works, and in which of their sandboxes: whether a job is allowed at all.
//!
//! Knows neither the file that they stand in ([`crate::config::OrgsFile`]) nor who exchanges them ([`crate::reload`]).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use crate::admission::OrgLimits;
use crate::contract::ids::{ImsOrgId, SandboxName};
use crate::flow::token::Credentials;

/// One organisation, and all that is its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Organisation {
    /// Its id.
    pub ims_org_id: ImsOrgId,
    /// How to log in for it.
    pub credentials: Credentials,
    /// Where connections may be created; `None` if anywhere.
    pub sandboxes: Option<HashSet<SandboxName>>,
    /// How much may be asked of Flow Service in its name.
    pub limits: OrgLimits,
}

/// Why a job is not allowed. Told to its sender, so it names no organisation and no sandbox but the sender's own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// The worker does not work for the organisation.
    #[error(
        "imsOrgId: this worker does not work for {0}; check it, or ask the worker's operator to add the organisation"
    )]
    Organisation(ImsOrgId),
    /// Nor in this sandbox of it.
    #[error(
        "sandboxName: this worker may not create connections in the sandbox {sandbox_name} of {ims_org_id}; check it, or ask the worker's operator to allow the sandbox"
    )]
    Sandbox {
        /// The organisation, which is one of the worker's.
        ims_org_id: ImsOrgId,
        /// The sandbox.
        sandbox_name: SandboxName,
    },
}

/// The sandboxes of each organisation.
type Table = HashMap<ImsOrgId, Option<HashSet<SandboxName>>>;

/// Says what is allowed. Clones say the same, and what is exchanged is exchanged for all.
#[derive(Debug, Clone)]
pub struct Allowed {
    /// Nothing if everything is allowed.
    table: Option<Arc<RwLock<Table>>>,
}

impl Allowed {
    /// Any organisation, any sandbox.
    pub fn all() -> Self {
        Self { table: None }
    }

    /// These organisations and no others.
    pub fn only<'a>(organisations: impl IntoIterator<Item = &'a Organisation>) -> Self {
        Self { table: Some(Arc::new(RwLock::new(table(organisations)))) }
    }

    /// From now on these and no others; jobs in hand have been asked for before.
    pub fn replace<'a>(&self, organisations: impl IntoIterator<Item = &'a Organisation>) {
        if let Some(held) = &self.table {
            *held.write().unwrap_or_else(PoisonError::into_inner) = table(organisations);
        }
    }

    /// Whether a job may be done there.
    pub fn check(&self, ims_org_id: &ImsOrgId, sandbox_name: &SandboxName) -> Result<(), NotAllowed> {
        let Some(table) = &self.table else { return Ok(()) };
        match table.read().unwrap_or_else(PoisonError::into_inner).get(ims_org_id) {
            None => Err(NotAllowed::Organisation(ims_org_id.clone())),
            Some(Some(sandboxes)) if !sandboxes.contains(sandbox_name) => Err(NotAllowed::Sandbox {
                ims_org_id: ims_org_id.clone(),
                sandbox_name: sandbox_name.clone(),
            }),
            Some(_) => Ok(()),
        }
    }
}

fn table<'a>(organisations: impl IntoIterator<Item = &'a Organisation>) -> Table {
    organisations.into_iter().map(|one| (one.ims_org_id.clone(), one.sandboxes.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretSource;

    fn org(name: &str) -> ImsOrgId {
        ImsOrgId::parse(&format!("{name}@AdobeOrg")).unwrap()
    }

    fn sandbox(name: &str) -> SandboxName {
        SandboxName::parse(name).unwrap()
    }

    fn organisation(name: &str, sandboxes: Option<&[&str]>) -> Organisation {
        Organisation {
            ims_org_id: org(name),
            credentials: Credentials::Fixed {
                access_token: SecretSource::Inline("token".into()),
                api_key: "key".into(),
            },
            sandboxes: sandboxes.map(|names| names.iter().map(|name| sandbox(name)).collect()),
            limits: OrgLimits::default(),
        }
    }

    #[test]
    fn only_what_is_listed_is_allowed_and_the_refusal_names_nobody_else() {
        let allowed = Allowed::only(&[organisation("a", Some(&["dev"])), organisation("b", None)]);
        assert_eq!(allowed.check(&org("a"), &sandbox("dev")), Ok(()));
        assert_eq!(allowed.check(&org("b"), &sandbox("anything")), Ok(()));
        let elsewhere = allowed.check(&org("a"), &sandbox("prod")).unwrap_err().to_string();
        assert!(elsewhere.starts_with("sandboxName: ") && elsewhere.contains("prod of a@AdobeOrg"));
        assert!(!elsewhere.contains("dev"), "{elsewhere}");
        let unknown = allowed.check(&org("c"), &sandbox("dev")).unwrap_err().to_string();
        assert!(unknown.starts_with("imsOrgId: ") && unknown.contains("c@AdobeOrg"), "{unknown}");
        assert!(!unknown.contains("a@AdobeOrg") && !unknown.contains("b@AdobeOrg"), "{unknown}");
    }

    #[test]
    fn another_list_counts_at_once_for_everybody() {
        let allowed = Allowed::only(&[organisation("a", None)]);
        let other = allowed.clone();
        allowed.replace(&[organisation("b", None)]);
        assert!(other.check(&org("a"), &sandbox("dev")).is_err());
        assert!(other.check(&org("b"), &sandbox("dev")).is_ok());
    }

    #[test]
    fn without_a_list_all_is_allowed() {
        let allowed = Allowed::all();
        allowed.replace(&[organisation("a", None)]);
        assert_eq!(allowed.check(&org("b"), &sandbox("dev")), Ok(()));
    }
}
