//! The file of organisations (`ORGS_FILE`): for whom the worker works, and with which credentials.
//!
//! JSON, read as strictly as a job is: what is unknown, doubled, null or of the wrong kind is refused by name, all faults
//! at once, and no value is ever repeated. The files that it names are read with it, so that whoever reads it again sees
//! whether anything has changed.

mod entry;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use self::entry::read_entry;
use super::setting::Invalid;
use crate::contract::Defaults;
use crate::contract::ids::{ImsOrgId, SandboxName};
use crate::contract::object::{Object, Path as Place};
use crate::contract::problem::Problems;
use crate::flow::token::Credentials;
use crate::organisations::Organisation;

/// A thousand organisations have a tenth of this; a Kubernetes secret can have a quarter.
const MAX_LENGTH: u64 = 4 << 20;

/// Admission remembers some more than this one by one.
const MAX_ORGANISATIONS: usize = 1000;

/// The file, and what the worker's other settings say about it.
#[derive(Debug, Clone)]
pub struct OrgsFile {
    path: PathBuf,
    /// Scopes of entries that name none.
    scopes: String,
    /// The organisation and the sandbox of jobs that name none.
    ims_org_id: Option<ImsOrgId>,
    sandbox_name: Option<SandboxName>,
}

/// How the worker logs in.
#[derive(Debug, Clone)]
pub enum Access {
    /// With the same credentials for whatever organisation.
    One(Credentials),
    /// With those of each organisation in the file.
    Each(OrgsFile, HashMap<ImsOrgId, Organisation>),
}

/// A file that cannot be used: every fault of it, without a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RefusedFile(Problems);

impl RefusedFile {
    /// Notes each fault as one of `ORGS_FILE`.
    pub(super) fn note(&self, invalid: &mut Invalid) {
        for problem in self.0.lines() {
            invalid.add("ORGS_FILE", problem);
        }
    }
}

impl OrgsFile {
    /// The file at `path`; calls nothing and reads nothing yet.
    pub(super) fn new(path: PathBuf, scopes: String, defaults: &Defaults) -> Self {
        let Defaults { ims_org_id, sandbox_name, .. } = defaults.clone();
        Self { path, scopes, ims_org_id, sandbox_name }
    }

    /// Reads the file and all secrets that it names, as they are now. Blocks for as long as the file system does.
    pub fn read(&self) -> Result<HashMap<ImsOrgId, Organisation>, RefusedFile> {
        let mut problems = Problems::default();
        let organisations = match read_text(&self.path) {
            Ok(text) => self.parse(&text, &mut problems),
            Err(what) => {
                problems.add("", what);
                HashMap::new()
            }
        };
        if problems.is_empty() { Ok(organisations) } else { Err(RefusedFile(problems)) }
    }

    fn parse(&self, text: &str, problems: &mut Problems) -> HashMap<ImsOrgId, Organisation> {
        let mut organisations = HashMap::new();
        let Some(file) = Object::read_message(text, problems) else { return organisations };
        file.refuse_others(&["organisations"], problems);
        let place = Place::Known("organisations");
        let Some(list) = file.required("organisations", problems) else { return organisations };
        let Some(list) = Object::read(list, place, problems) else { return organisations };
        let mut listed = 0;
        for (id, entry) in list.others(&[]) {
            listed += 1;
            let place = Place::Member(&place, id);
            let id =
                ImsOrgId::parse(id).map_err(|what| problems.add(place, format!("no organisation: {what}")));
            let entry = read_entry(entry, place, &self.surroundings(), problems);
            if let (Ok(ims_org_id), Some(entry)) = (id, entry) {
                organisations.insert(ims_org_id.clone(), entry.of(ims_org_id));
            }
        }
        match listed {
            0 => problems.add(place, "empty, expected at least one organisation"),
            1..=MAX_ORGANISATIONS => {}
            _ => problems.add(place, format!("{listed} of them, expected at most {MAX_ORGANISATIONS}")),
        }
        if problems.is_empty() {
            self.check_defaults(&organisations, problems);
        }
        organisations
    }

    fn surroundings(&self) -> entry::Surroundings<'_> {
        entry::Surroundings { folder: self.path.parent().unwrap_or(Path::new("")), scopes: &self.scopes }
    }

    /// Jobs that name no organisation must be allowed.
    fn check_defaults(&self, organisations: &HashMap<ImsOrgId, Organisation>, problems: &mut Problems) {
        let Some(ims_org_id) = &self.ims_org_id else { return };
        let Some(default) = organisations.get(ims_org_id) else {
            problems.add("organisations", "IMS_ORG_ID is not among them, and jobs that name none are for it");
            return;
        };
        let is_closed = |name| default.sandboxes.as_ref().is_some_and(|allowed| !allowed.contains(name));
        if self.sandbox_name.as_ref().is_some_and(is_closed) {
            let place = Place::Known("organisations");
            let (place, what) =
                (Place::Member(&place, ims_org_id.as_str()), "SANDBOX_NAME is not among them");
            problems.add(
                Place::Member(&place, "sandboxes"),
                format!("{what}, and IMS_ORG_ID says that jobs which name neither go there"),
            );
        }
    }
}

/// The text of the file, or why it has none. The path is not repeated: a secret that was put into the variable would be in
/// it.
fn read_text(path: &Path) -> Result<String, String> {
    let unreadable = |error: io::Error| format!("cannot read the file: {error}");
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_LENGTH + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_LENGTH {
        return Err(format!("the file is longer than {MAX_LENGTH} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "the file is not text".to_owned())
}

#[cfg(test)]
mod tests;
