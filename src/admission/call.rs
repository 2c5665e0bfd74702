//! A call that is to be made, as far as it matters for whether it may be.

use crate::contract::ids::{ImsOrgId, SandboxName};

/// What a call does.
#[derive(Debug, Clone, Copy)]
pub enum Operation<'a> {
    /// Creates a connection.
    Create {
        /// Of this connection spec.
        connection_spec_id: &'a str,
        /// Whether an earlier attempt failed.
        repeated: bool,
    },
    /// Looks for what an earlier call has done.
    LookUp,
    /// A check that the job can do without.
    Check,
}

/// A call that is to be made.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// For whom.
    pub ims_org_id: &'a ImsOrgId,
    /// Where.
    pub sandbox_name: &'a SandboxName,
    /// What it does.
    pub operation: Operation<'a>,
    /// Whether an access token has to be fetched first.
    pub needs_token: bool,
    /// Its job's number, see [`super::Admission::number`].
    pub job: u64,
    /// Whether its job has made a call before.
    pub begun: bool,
}
