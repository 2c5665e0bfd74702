//! One organisation's entry in the file.

use std::collections::HashSet;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde_json::value::RawValue;

use crate::admission::OrgLimits;
use crate::config::credential::fault;
use crate::contract::ids::{ImsOrgId, SandboxName};
use crate::contract::object::{Object, Path as Place, kind};
use crate::contract::problem::Problems;
use crate::flow::token::{Credentials, ImsCredentials};
use crate::organisations::Organisation;
use crate::secret::SecretSource;

const FIELDS: &[&str] = &[
    "client_id",
    "client_secret",
    "client_secret_file",
    "scopes",
    "access_token",
    "access_token_file",
    "api_key",
    "api_key_file",
    "sandboxes",
    "concurrency",
    "rate",
];

/// What an entry depends on besides itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings<'a> {
    /// Where relative paths begin.
    pub(super) folder: &'a Path,
    /// The scopes of entries that name none.
    pub(super) scopes: &'a str,
}

/// All of an organisation but its id.
pub(super) struct Entry {
    credentials: Credentials,
    sandboxes: Option<HashSet<SandboxName>>,
    limits: OrgLimits,
}

impl Entry {
    pub(super) fn of(self, ims_org_id: ImsOrgId) -> Organisation {
        let Self { credentials, sandboxes, limits } = self;
        Organisation { ims_org_id, credentials, sandboxes, limits }
    }
}

/// Reads an entry, or notes all that is wrong with it.
pub(super) fn read_entry(
    raw: &RawValue,
    place: Place<'_>,
    surroundings: &Surroundings<'_>,
    problems: &mut Problems,
) -> Option<Entry> {
    let object = Object::read(raw, place, problems)?;
    object.refuse_others(FIELDS, problems);
    let fields = Fields { object: &object, surroundings };
    fields.refuse_nulls(problems);
    let credentials = fields.credentials(problems);
    let sandboxes = fields.sandboxes(problems);
    let concurrency = fields.number("concurrency", u32::from(u16::MAX), problems);
    let rate = fields.number("rate", 1_000_000, problems);
    let limits = OrgLimits {
        concurrency: concurrency.and_then(|most| u16::try_from(most).ok()),
        rate: rate.map(f64::from),
    };
    Some(Entry { credentials: credentials?, sandboxes, limits })
}

struct Fields<'a> {
    object: &'a Object<'a>,
    surroundings: &'a Surroundings<'a>,
}

impl Fields<'_> {
    fn has(&self, key: &str) -> bool {
        self.object.get(key).is_some()
    }

    /// Null is what a template writes that has lost its value; for `sandboxes` it must not mean that all are allowed.
    fn refuse_nulls(&self, problems: &mut Problems) {
        for (key, _) in self.object.others(&[]).filter(|(_, raw)| kind(raw) == "null") {
            problems.add(self.object.path_of(key), "null, expected a value, or no such field");
        }
    }

    fn credentials(&self, problems: &mut Problems) -> Option<Credentials> {
        let fixed = ["access_token", "access_token_file", "api_key", "api_key_file"];
        let ims = ["client_id", "client_secret", "client_secret_file", "scopes"];
        let given = |keys: [&str; 4]| keys.iter().any(|key| self.has(key));
        match (given(ims), given(fixed)) {
            (true, true) => {
                let what = "client_id given besides access_token, expected one way to log in";
                problems.add(self.object.path_of("client_id"), what);
                None
            }
            (false, false) => {
                let what = "missing, and so is access_token: one of the two is needed";
                problems.add(self.object.path_of("client_id"), what);
                None
            }
            (true, false) => self.ims(problems).map(Credentials::Ims),
            (false, true) => {
                let access_token = self.secret(["access_token", "access_token_file"], problems);
                let api_key = self.secret(["api_key", "api_key_file"], problems);
                Some(Credentials::Fixed {
                    access_token: SecretSource::Inline(access_token?),
                    api_key: api_key?,
                })
            }
        }
    }

    fn ims(&self, problems: &mut Problems) -> Option<ImsCredentials> {
        let client_id = self.object.required_string("client_id", problems);
        let client_id = client_id.filter(|id| self.fits_a_header("client_id", id, problems));
        let client_secret = self.secret(["client_secret", "client_secret_file"], problems);
        let scopes = if self.has("scopes") {
            self.object.required_string("scopes", problems)
        } else {
            Some(self.surroundings.scopes.to_owned())
        };
        Some(ImsCredentials {
            client_id: client_id?,
            client_secret: SecretSource::Inline(client_secret?),
            scopes: scopes?,
        })
    }

    /// A secret as it is now, given itself or in a file.
    fn secret(&self, [name, file_name]: [&str; 2], problems: &mut Problems) -> Option<SecretString> {
        let secret = match (self.has(name), self.has(file_name)) {
            (false, false) => {
                problems.add(self.object.path_of(name), format!("missing, and so is {file_name}"));
                return None;
            }
            (true, true) => {
                problems.add(self.object.path_of(name), format!("given besides {file_name}, expected one"));
                return None;
            }
            (true, false) => SecretString::from(self.object.required_string(name, problems)?),
            (false, true) => {
                let file = self.object.required_string(file_name, problems)?;
                let source = SecretSource::File(self.surroundings.folder.join(file));
                let read = source.read().map_err(|error| fault(&error));
                read.map_err(|what| problems.add(self.object.path_of(file_name), what)).ok()?
            }
        };
        let name = if self.has(name) { name } else { file_name };
        self.fits_a_header(name, secret.expose_secret(), problems).then_some(secret)
    }

    /// Adobe's ids, keys, secrets and tokens are plain; what is not was spoilt on the way, and could not be sent.
    fn fits_a_header(&self, key: &str, value: &str, problems: &mut Problems) -> bool {
        let fits = value.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits {
            let what = "holds blanks, line ends or other characters that no credential of Adobe's has";
            problems.add(self.object.path_of(key), what);
        }
        fits
    }

    fn sandboxes(&self, problems: &mut Problems) -> Option<HashSet<SandboxName>> {
        let place = self.object.path_of("sandboxes");
        let raw = self.object.get("sandboxes")?;
        let Ok(names) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else {
            problems.add(place, format!("{}, expected an array of names", kind(raw)));
            return None;
        };
        if names.is_empty() {
            problems.add(place, "empty, expected at least one, or no such field if all are allowed");
        }
        let mut sandboxes = HashSet::new();
        for (index, raw) in names.into_iter().enumerate() {
            let place = Place::Item(&place, index);
            match serde_json::from_str::<String>(raw.get()).map(|name| SandboxName::parse(&name)) {
                Ok(Ok(name)) if sandboxes.contains(&name) => problems.add(place, "given more than once"),
                Ok(Ok(name)) => _ = sandboxes.insert(name),
                Ok(Err(what)) => problems.add(place, what),
                Err(_) => problems.add(place, format!("{}, expected a string", kind(raw))),
            }
        }
        Some(sandboxes)
    }

    fn number(&self, key: &str, most: u32, problems: &mut Problems) -> Option<u32> {
        let raw = self.object.get(key)?;
        let number = serde_json::from_str(raw.get()).ok().filter(|number| (1..=most).contains(number));
        if number.is_none() {
            problems.add(self.object.path_of(key), format!("expected a whole number from 1 to {most}"));
        }
        number
    }
}
