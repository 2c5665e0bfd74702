//! The jobs of a history, and their messages.

use std::time::Duration;

use connection_worker::broker::properties::{NewProperties, Properties};
use serde_json::json;

/// Which jobs belong together, for the figures.
pub(crate) type Group = u8;

/// A job that a sender sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Job {
    /// When.
    pub(crate) at: Duration,
    pub(crate) org: u16,
    pub(crate) sandbox: u8,
    pub(crate) spec: u8,
    pub(crate) group: Group,
    /// It says that somebody may have tried it before.
    pub(crate) in_doubt: bool,
    /// Whether it ends the worker that takes it.
    pub(crate) kills: Kills,
    /// So often it has ended a session, as its headers say.
    pub(crate) trials: u8,
    /// How often it is sent,
    pub(crate) copies: u8,
    /// and how long after one another.
    pub(crate) apart: Duration,
    /// What its sender is to be told.
    pub(crate) fate: Fate,
}

/// When a job ends the worker that takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kills {
    Never,
    /// At the first call about it.
    AtCall,
    /// When its connection is to be created.
    AtCreate,
}

/// What a job's sender is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// That the connection exists.
    Created,
    /// That, or that it was refused: it met a part that refuses for good.
    CreatedOrRefused,
    /// That all attempts have failed: its creates always do.
    Exhausted,
    /// That the worker cannot do it.
    Internal,
}

impl Job {
    /// A plain job of an organisation.
    pub(crate) fn of(org: usize, at: Duration) -> Self {
        Self {
            at,
            org: u16::try_from(org).unwrap(),
            sandbox: 0,
            spec: 0,
            group: 0,
            in_doubt: false,
            kills: Kills::Never,
            trials: 0,
            copies: 1,
            apart: Duration::ZERO,
            fate: Fate::Created,
        }
    }

    pub(crate) fn grouped(self, group: Group) -> Self {
        Self { group, ..self }
    }

    /// Its message.
    pub(crate) fn message(&self, number: u32, unix: u64) -> (Properties, Vec<u8>) {
        let id = id(number);
        let body = json!({
            "jobId": id,
            "imsOrgId": org_name(self.org.into()),
            "sandboxName": format!("box{}", self.sandbox),
            "connection": {
                "name": format!("connection {number}"),
                "auth": { "specName": "Basic Authentication", "params": { "username": "u", "password": "p" } },
                "connectionSpec": { "id": format!("spec-{}", self.spec), "version": "1.0" },
            },
        });
        let doubt = self.in_doubt.then(|| ("job-attempts", "1".to_owned()));
        let trials = (self.trials > 0).then(|| ("job-trials", self.trials.to_string()));
        let headers = doubt.into_iter().chain(trials).collect();
        let properties =
            NewProperties { message_id: id, timestamp: unix, headers, ..NewProperties::default() };
        (Properties::json(properties).unwrap(), body.to_string().into_bytes())
    }
}

/// The id of a job.
pub(crate) fn id(number: u32) -> String {
    format!("job-{number}")
}

/// Which job an id names.
pub(crate) fn number(id: &str) -> Option<u32> {
    id.strip_prefix("job-")?.parse().ok()
}

pub(crate) fn org_name(org: usize) -> String {
    format!("org{org}@AdobeOrg")
}

/// The number in a name such as `org7@AdobeOrg` or `box0`.
pub(crate) fn number_in(name: &str, prefix: &str) -> usize {
    let rest = name.strip_prefix(prefix).unwrap_or_default();
    let digits = rest.split_once('@').map_or(rest, |(digits, _)| digits);
    digits.parse().unwrap_or(usize::MAX)
}
