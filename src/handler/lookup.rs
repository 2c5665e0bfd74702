//! Looking for the connection of a job that may have been done before.

use tracing::{error, info, warn};

use super::attempt::{Attempting, Setback};
use super::create_of;
use crate::admission::Operation;
use crate::flow::{CreateBody, Created, FindRequest, FlowApi, Found};
use crate::metrics::attempts::LookupResult;
use crate::retry::doubt::Doubt;

impl<F: FlowApi> Attempting<'_, F> {
    /// Looks for the connection until it is found, or was not found often enough.
    pub(super) async fn look_up(&mut self) -> Result<Option<Created>, Setback> {
        let lookups = self.handler.rules.lookups;
        // Where most likely nothing was done, one look is enough.
        let looks = if self.doubt.is_serious() { lookups.looks } else { 1 };
        for look in 1..=looks {
            if let Some(Found { connection, duplicates }) = self.find().await? {
                info!(connection_id = connection.id, "the connection was created before");
                if self.creates_here {
                    let create = self.handler.call(self.job, create_of(self.job, true), self.number, true);
                    self.handler.admission.confirm_create(&create);
                }
                self.tell_duplicates(&connection, &duplicates);
                return Ok(Some(connection));
            }
            if look < looks {
                // Before a create, two copies of a job at two workers are not to look in step: the one that is ahead creates, and the
                // other one finds.
                let more = if self.doubt == Doubt::Settled { fastrand::f64() / 2.0 } else { 0.0 };
                self.sleep(lookups.pause.mul_f64(1.0 + more)).await?;
            }
        }
        Ok(None)
    }

    async fn find(&mut self) -> Result<Option<Found>, Setback> {
        let Some(description) = self.job.marked_description.clone() else { return Ok(None) };
        let request = FindRequest {
            ims_org_id: self.job.ims_org_id.as_str().to_owned(),
            sandbox_name: self.job.sandbox_name.as_str().to_owned(),
            job_id: self.job.id.clone(),
            description,
            connection_spec_id: self.job.connection_spec_id.clone(),
            name: self.job.name.clone(),
            since: self.past.since,
            body: CreateBody(self.job.body.clone()),
        };
        let permit = self.permit(Operation::LookUp).await?;
        let found = self.handler.flow.find(&request).await;
        permit.ended(found.as_ref().err());
        self.handler.metrics.looked_up(match &found {
            Ok(Some(_)) => LookupResult::Found,
            Ok(None) => LookupResult::Absent,
            Err(_) => LookupResult::Failed,
        });
        Ok(found?)
    }

    /// A create after a doubt is the one way to make a second connection, when an earlier call took effect after all
    /// look-ups. So one more look-up follows; if there are two, the older one counts, for every delivery of the job.
    pub(super) async fn only_one(&mut self, created: Created) -> (Created, bool) {
        self.handler.metrics.created_in_doubt();
        match self.find().await {
            Ok(Some(Found { connection, mut duplicates })) if connection.id != created.id => {
                // The list may lag behind our own.
                if !duplicates.contains(&created.id) {
                    duplicates.push(created.id);
                }
                self.tell_duplicates(&connection, &duplicates);
                (connection, true)
            }
            Ok(Some(Found { duplicates, .. })) => {
                self.tell_duplicates(&created, &duplicates);
                (created, false)
            }
            Ok(None) => (created, false),
            Err(setback) => {
                warn!(
                    error = setback.why(),
                    "it could not be checked whether the connection is the only one"
                );
                (created, false)
            }
        }
    }

    fn tell_duplicates(&self, oldest: &Created, duplicates: &[String]) {
        if duplicates.is_empty() {
            return;
        }
        self.handler.metrics.duplicates_found(duplicates.len());
        error!(
            connection_id = oldest.id,
            duplicates = duplicates.join(" "),
            "the job has more than one connection; the oldest counts, the others should be deleted"
        );
    }
}
