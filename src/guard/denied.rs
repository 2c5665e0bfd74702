//! Why something may not be done for now.

use std::time::Duration;

/// Why a call may not be made now, or a job not taken in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Flow Service as a whole is down.
    Service,
    /// IMS is down, and the organisation has no token.
    Identity,
    /// The organisation's calls fail, or its credentials are refused.
    Organisation,
    /// The organisation has as much under way as is good for it.
    Busy,
    /// So many calls were repeated of late that this one has to wait.
    Budget,
    /// The organisation has its share of the jobs in hand, and others have jobs too.
    Share,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::Service, Self::Identity, Self::Organisation, Self::Busy, Self::Budget, Self::Share];

    /// The reason in logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service_down",
            Self::Identity => "ims_down",
            Self::Organisation => "organisation_down",
            Self::Busy => "organisation_busy",
            Self::Budget => "retry_budget",
            Self::Share => "organisation_share",
        }
    }

    /// For a person.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Service => "Flow Service is down, and no calls are made until it is back",
            Self::Identity => "IMS is down, and there is no access token for the organisation",
            Self::Organisation => {
                "calls for the organisation fail or its credentials are refused, and none are made until that is over"
            }
            Self::Busy => "the organisation has as many calls under way as it is allowed",
            Self::Budget => "too many calls had to be repeated of late, and this one has to wait",
            Self::Share => "the organisation has its share of the jobs in hand, and others have jobs, too",
        }
    }
}

/// A call may not be made now, or a job not taken in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", reason.explanation())]
pub struct Denied {
    /// Why.
    pub reason: Reason,
    /// After this it is worth asking again.
    pub wait: Duration,
}
