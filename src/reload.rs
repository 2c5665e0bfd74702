//! Sees to it that a changed file of organisations comes into force while jobs go on.
//!
//! The file and the secrets it names are read every few seconds, and at once on SIGHUP: no notification tells reliably that
//! a mounted Kubernetes secret was exchanged, which happens behind a symbolic link. A file that cannot be used is refused
//! whole, and what was read before stays. An organisation whose entry is as it was notices nothing: it keeps its token, its
//! breaker and what was learnt about its limits.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::{error, info, warn};

use crate::admission::{Admission, OrgLimits};
use crate::config::{OrgsFile, RefusedFile};
use crate::contract::ids::ImsOrgId;
use crate::flow::BuildError;
use crate::flow::token::{ImsClient, Keyring, TokenSource};
use crate::metrics::organisations::{OrganisationMetrics, ReloadResult};
use crate::organisations::{Allowed, Organisation};
use crate::shutdown::Hangups;
use crate::telemetry::Chain;

/// How often the file is looked at. Kubernetes takes up to a minute to exchange it anyway.
const LOOK: Duration = Duration::from_secs(2);

type Organisations = HashMap<ImsOrgId, Organisation>;

/// Everybody who has to know about organisations.
#[derive(Debug)]
pub struct Parties {
    /// What they log in with.
    pub keyring: Keyring,
    /// Who issues their tokens.
    pub ims: ImsClient,
    /// Their limits.
    pub admission: Admission,
    /// Whether their jobs are done.
    pub allowed: Allowed,
    /// What is counted about that.
    pub metrics: OrganisationMetrics,
}

/// Compares the file with what is in force.
#[derive(Debug)]
pub struct Reload {
    file: OrgsFile,
    in_force: Organisations,
    parties: Parties,
    /// Why the file is refused as it is now, if it is.
    refused: Option<RefusedFile>,
}

/// How two readings of the file differ.
#[derive(Debug, Default, PartialEq)]
struct Difference {
    added: Vec<ImsOrgId>,
    removed: Vec<ImsOrgId>,
    /// Other credentials.
    renewed: HashSet<ImsOrgId>,
    /// The same credentials, and something else that is new.
    changed: Vec<ImsOrgId>,
}

impl Reload {
    /// Puts what was read at the start into force: each organisation gets its source of tokens. Calls nobody.
    pub fn new(file: OrgsFile, organisations: Organisations, parties: Parties) -> Result<Self, BuildError> {
        for (ims_org_id, source) in sources(&parties.ims, organisations.values())? {
            parties.keyring.set(ims_org_id, source);
        }
        parties.metrics.loaded(organisations.len(), unix_now());
        Ok(Self { file, in_force: organisations, parties, refused: None })
    }

    /// Looks at the file again and again. Never ends.
    pub async fn watch(mut self, mut hangups: Hangups) {
        loop {
            let asked = tokio::time::timeout(LOOK, hangups.next()).await.is_ok();
            let file = self.file.clone();
            match tokio::task::spawn_blocking(move || file.read()).await {
                Ok(read) => self.take(read, asked),
                Err(failure) => error!(%failure, "ORGS_FILE could not be looked at"),
            }
            self.parties.keyring.forget_retired();
        }
    }

    fn take(&mut self, read: Result<Organisations, RefusedFile>, asked: bool) {
        let organisations = match read {
            Ok(organisations) => organisations,
            Err(refused) => return self.refuse(refused, asked),
        };
        let difference = Difference::between(&self.in_force, &organisations);
        let is_back = self.refused.take().is_some();
        if difference != Difference::default() {
            self.put_in_force(organisations, &difference);
        } else if asked || is_back {
            self.parties.metrics.back_in_force();
            self.parties.metrics.reloaded(ReloadResult::Ok);
            info!(organisations = self.in_force.len(), "ORGS_FILE was read again, and is as it was");
        }
    }

    /// Says so once for each new fault, and each time that somebody asks.
    fn refuse(&mut self, refused: RefusedFile, asked: bool) {
        if asked || self.refused.as_ref() != Some(&refused) {
            self.parties.metrics.reloaded(ReloadResult::Refused);
            error!(
                faults = %refused,
                "ORGS_FILE cannot be used as it is now: it is refused whole, and what was read before stays in force"
            );
        }
        self.refused = Some(refused);
    }

    fn put_in_force(&mut self, organisations: Organisations, difference: &Difference) {
        let Difference { added, removed, renewed, changed } = difference;
        let fresh = organisations
            .values()
            .filter(|one| renewed.contains(&one.ims_org_id) || added.contains(&one.ims_org_id));
        let fresh = match sources(&self.parties.ims, fresh) {
            Ok(fresh) => fresh,
            Err(failure) => {
                self.parties.metrics.reloaded(ReloadResult::Refused);
                warn!(error = %Chain(&failure), "ORGS_FILE cannot be used yet: it is tried again");
                return;
            }
        };
        // Whoever is allowed has something to log in with, at any moment.
        for (ims_org_id, source) in fresh {
            self.parties.keyring.set(ims_org_id, source);
        }
        self.parties.admission.set_organisations(limits(&organisations), renewed);
        self.parties.allowed.replace(organisations.values());
        for ims_org_id in removed {
            self.parties.keyring.retire(ims_org_id);
        }
        difference.log();
        info!(
            organisations = organisations.len(),
            added = added.len(),
            removed = removed.len(),
            renewed = renewed.len(),
            changed = changed.len(),
            "ORGS_FILE has changed, and is in force as it is now"
        );
        self.parties.metrics.loaded(organisations.len(), unix_now());
        self.parties.metrics.reloaded(ReloadResult::Ok);
        self.in_force = organisations;
    }
}

impl Difference {
    fn between(before: &Organisations, after: &Organisations) -> Self {
        let mut difference = Self::default();
        for (ims_org_id, now) in after {
            match before.get(ims_org_id) {
                None => difference.added.push(ims_org_id.clone()),
                Some(was) if was.credentials != now.credentials => {
                    difference.renewed.insert(ims_org_id.clone());
                }
                Some(was) if was != now => difference.changed.push(ims_org_id.clone()),
                Some(_) => {}
            }
        }
        difference.removed.extend(before.keys().filter(|id| !after.contains_key(*id)).cloned());
        difference
    }

    /// One line for each organisation: whoever looks for one finds it by its name.
    fn log(&self) {
        let tell = |ims_org_id: &ImsOrgId, what: &str| {
            info!(ims_org_id = ims_org_id.as_str(), "{what}");
        };
        self.added.iter().for_each(|id| tell(id, "an organisation is added"));
        self.removed.iter().for_each(|id| {
            tell(id, "an organisation is taken out: its jobs in hand are finished, others are not allowed");
        });
        self.renewed.iter().for_each(|id| tell(id, "an organisation logs in with other credentials"));
        self.changed.iter().for_each(|id| tell(id, "an organisation has other limits or sandboxes"));
    }
}

/// A source of tokens for each organisation.
fn sources<'a>(
    ims: &ImsClient,
    organisations: impl Iterator<Item = &'a Organisation>,
) -> Result<Vec<(ImsOrgId, TokenSource)>, BuildError> {
    organisations
        .map(|one| {
            let owner = Some(one.ims_org_id.clone());
            Ok((one.ims_org_id.clone(), TokenSource::new(one.credentials.clone(), ims, owner)?))
        })
        .collect()
}

fn limits(organisations: &Organisations) -> HashMap<ImsOrgId, OrgLimits> {
    organisations.iter().map(|(id, one)| (id.clone(), one.limits)).collect()
}

fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
