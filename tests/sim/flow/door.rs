//! One worker's way to the service.

use std::collections::BTreeMap;
use std::sync::Arc;

use connection_worker::contract::ids::ImsOrgId;
use connection_worker::flow::{
    AuthSpec, ConnectionRequest, CreateRequest, Created, Failure, FindRequest, FlowApi, Found, SpecRequest,
};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::Flow;
use super::illness::{Call, Calls};
use super::tokens::{Slot, Tokens, recent};
use crate::job::{self, Kills};
use crate::life::Life;
use crate::trace::{NOBODY, What};

/// What a worker calls. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    flow: Flow,
    life: Life,
    tokens: Tokens,
    /// The jobs that end the worker, and when.
    killers: Arc<BTreeMap<u32, Kills>>,
}

impl Door {
    pub(crate) fn new(flow: Flow, life: Life, killers: Arc<BTreeMap<u32, Kills>>) -> Self {
        Self { flow, life, tokens: Tokens::default(), killers }
    }

    /// The credential of an organisation, if it needs one from IMS.
    fn slot(&self, org: usize) -> Option<Arc<Slot>> {
        let truth = self.flow.truth();
        if truth.weather.fixed_tokens.contains(&org) {
            return None;
        }
        Some(self.tokens.of(if truth.weather.one_credential { 0 } else { org }))
    }

    async fn token(&self, org: usize) -> Result<(), Failure> {
        let Some(slot) = self.slot(org) else { return Ok(()) };
        if slot.is_held() {
            return Ok(());
        }
        let mut fetching = slot.fetching.lock().await;
        if slot.is_held() {
            return Ok(());
        }
        if let Some(failure) = recent(fetching.as_ref()) {
            return Err(failure);
        }
        let plan = self.flow.truth().plan_token(org);
        sleep(plan.takes).await;
        self.life.step().await;
        match plan.failure {
            None => slot.hold(true),
            Some(failure) => {
                *fetching = Some((Instant::now(), failure.clone()));
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Makes a call.
    async fn call(&self, call: Call) -> Result<Option<Created>, Failure> {
        let kills = match self.killers.get(&call.job) {
            Some(Kills::AtCall) => true,
            Some(Kills::AtCreate) => call.calls == Calls::Creates,
            Some(Kills::Never) | None => false,
        };
        if kills {
            self.life.end();
        }
        self.life.step().await;
        self.token(call.org).await?;
        let plan = self.flow.truth().plan(call);
        sleep(plan.takes).await;
        self.life.step().await;
        match plan.failure {
            None => Ok(plan.created),
            Some(failure) => Err(failure),
        }
    }

    async fn check(&self, org: &ImsOrgId, sandbox: usize) -> Result<(), Failure> {
        self.call(call(Calls::Checks, org.as_str(), sandbox, NOBODY)).await.map(drop)
    }
}

fn call(calls: Calls, org: &str, sandbox: usize, job: u32) -> Call {
    Call { calls, org: job::number_in(org, "org"), sandbox, spec: 0, job, is_first: false }
}

/// The job whose mark ends a description.
fn marked(description: &str) -> u32 {
    let id = description.rsplit_once("[job ").and_then(|(_, rest)| rest.strip_suffix(']'));
    id.and_then(job::number).unwrap_or(NOBODY)
}

impl FlowApi for Door {
    async fn create(&self, request: &CreateRequest) -> Result<Created, Failure> {
        let body: Value = serde_json::from_slice(&request.body.0).unwrap();
        // Without a mark, by its name; lists cannot.
        let name = body["name"].as_str().unwrap_or_default();
        let named = || name.strip_prefix("connection ").and_then(|number| number.parse().ok());
        let marked = marked(body["description"].as_str().unwrap_or_default());
        let job = Some(marked).filter(|job| *job != NOBODY).or_else(named).unwrap_or(NOBODY);
        let sandbox = job::number_in(&request.sandbox_name, "box");
        let spec = job::number_in(body["connectionSpec"]["id"].as_str().unwrap_or_default(), "spec-");
        let call = Call { spec, ..call(Calls::Creates, &request.ims_org_id, sandbox, job) };
        self.flow.truth().attempts.insert(job, request.attempts_before + 1);
        let created = self.call(call).await?;
        Ok(created.unwrap())
    }

    async fn find(&self, request: &FindRequest) -> Result<Option<Found>, Failure> {
        let job = marked(&request.description);
        let sandbox = job::number_in(&request.sandbox_name, "box");
        let call = call(Calls::Reads, &request.ims_org_id, sandbox, job);
        self.call(call).await?;
        let truth = self.flow.truth();
        let found = truth.listed(job, call.org, sandbox);
        truth.trace.note(if found.is_some() { What::Found } else { What::Absent }, job, call.org);
        Ok(found)
    }

    fn has_token(&self, ims_org_id: &ImsOrgId) -> bool {
        let org = job::number_in(ims_org_id.as_str(), "org");
        self.slot(org).is_none_or(|slot| slot.is_held())
    }

    async fn auth_specs(&self, request: &SpecRequest) -> Result<Vec<AuthSpec>, Failure> {
        let sandbox = job::number_in(request.sandbox_name.as_str(), "box");
        self.check(&request.ims_org_id, sandbox).await?;
        Ok(Vec::new())
    }

    async fn state(&self, request: &ConnectionRequest) -> Result<String, Failure> {
        let sandbox = job::number_in(request.sandbox_name.as_str(), "box");
        self.check(&request.ims_org_id, sandbox).await?;
        Ok("enabled".to_owned())
    }

    async fn test(&self, request: &ConnectionRequest) -> Result<bool, Failure> {
        let sandbox = job::number_in(request.sandbox_name.as_str(), "box");
        self.check(&request.ims_org_id, sandbox).await?;
        Ok(true)
    }
}
