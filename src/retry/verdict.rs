//! What a failed call means for the job. The classification is born with the error, where the facts are.

/// What to do about a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Certainly not done: the call may be repeated as it is.
    Retry,
    /// May have been done: repeating it blindly could create a second connection.
    Reconcile,
    /// Refused: repeating it cannot help.
    Fail,
}

impl Verdict {
    /// The verdict in traces.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Reconcile => "reconcile",
            Self::Fail => "fail",
        }
    }
}
