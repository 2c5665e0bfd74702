//! Holding a job to the connection spec as Flow Service has it now.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use super::Checks;
use super::specs::Spec;
use crate::contract::job::Job;
use crate::contract::problem::{Problems, shown};
use crate::flow::{CreateBody, FlowApi, SpecRequest};
use crate::metrics::checks::FetchResult;

/// How long a spec is waited for. Jobs of its source wait meanwhile, and they can do without.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// While specs cannot be had, one line a minute says so.
const QUIET: Duration = Duration::from_secs(60);

/// When it was last told that a spec cannot be had.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<Option<Instant>>);

impl Told {
    /// Whether it is time to tell it again.
    fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| last.elapsed() >= QUIET);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}

/// The request body of a job, as far as it is looked at.
#[derive(Deserialize)]
struct Sent<'a> {
    #[serde(borrow)]
    auth: Auth<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Auth<'a> {
    #[serde(borrow)]
    spec_name: Cow<'a, str>,
    params: Value,
}

impl<F: FlowApi> Checks<F> {
    /// What is wrong with a job going by its connection spec; nothing is known if there is none that can be used.
    pub(super) async fn by_spec(&self, job: &Job) -> Option<Problems> {
        // Specs have UUIDs for ids. Anything else is not let into an address.
        let id = Uuid::parse_str(&job.connection_spec_id).ok()?;
        let spec = self.specs.get(id, self.fetch(job)).await?;
        let Auth { spec_name, params } = serde_json::from_slice::<Sent<'_>>(&job.body).ok()?.auth;
        match spec.kind(&spec_name) {
            Some(Ok(schema)) => Some(schema.check(&params)),
            Some(Err(_)) => None,
            None => Some(unknown_kind(&spec)),
        }
    }

    async fn fetch(&self, job: &Job) -> Option<Spec> {
        let request = SpecRequest {
            ims_org_id: job.ims_org_id.clone(),
            sandbox_name: job.sandbox_name.clone(),
            connection_spec_id: job.connection_spec_id.clone(),
            body: CreateBody(job.body.clone()),
        };
        let connection_spec_id = &request.connection_spec_id;
        let spec = match tokio::time::timeout(FETCH_TIMEOUT, self.flow.auth_specs(&request)).await {
            Ok(Ok(specs)) => Spec::new(specs),
            failed => {
                self.metrics.fetched(FetchResult::Failed);
                if self.told.is_due() {
                    let error = match failed {
                        Ok(Err(failure)) => failure.to_string(),
                        _ => format!("no answer within {FETCH_TIMEOUT:?}"),
                    };
                    warn!(
                        connection_spec_id,
                        error, "a connection spec cannot be had, the catalogue has to do; told once a minute"
                    );
                }
                return None;
            }
        };
        if let Some((spec_name, why)) = spec.unusable() {
            self.metrics.fetched(FetchResult::Unusable);
            if self.told.is_due() {
                let spec_name = shown(spec_name);
                warn!(
                    connection_spec_id,
                    spec_name,
                    error = %why,
                    "the schema of a connection spec is of no use, the catalogue has to do; told once a minute"
                );
            }
        } else {
            self.metrics.fetched(FetchResult::Ok);
        }
        Some(spec)
    }
}

/// Flow Service refuses it for certain (code 1415-400).
fn unknown_kind(spec: &Spec) -> Problems {
    let known: Vec<String> = spec.names().map(shown).collect();
    let mut problems = Problems::default();
    problems.add(
        "connection.auth.specName",
        format!("unknown to the connection spec, expected one of {}", known.join(", ")),
    );
    problems
}
