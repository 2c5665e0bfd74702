//! The retry queues, by how long a job waits in them.

use std::time::Duration;

/// A retry queue. Each holds its messages for one time: with a time of its own for each message, a long one at the head
/// would hold up the short ones behind it (RabbitMQ expires a queue from its head).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// 10 seconds.
    TenSeconds,
    /// 1 minute.
    OneMinute,
    /// 10 minutes.
    TenMinutes,
    /// 1 hour.
    OneHour,
}

impl Tier {
    /// Every tier, from the shortest to the longest.
    pub const ALL: [Self; 4] = [Self::TenSeconds, Self::OneMinute, Self::TenMinutes, Self::OneHour];

    /// How long a job waits there.
    pub fn delay(self) -> Duration {
        let seconds = match self {
            Self::TenSeconds => 10,
            Self::OneMinute => 60,
            Self::TenMinutes => 600,
            Self::OneHour => 3600,
        };
        Duration::from_secs(seconds)
    }

    /// The tier in queue names and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TenSeconds => "10s",
            Self::OneMinute => "1m",
            Self::TenMinutes => "10m",
            Self::OneHour => "1h",
        }
    }

    /// The shortest tier that is not shorter than `delay`; the longest if there is none.
    pub fn at_least(delay: Duration) -> Self {
        Self::ALL.into_iter().find(|tier| tier.delay() >= delay).unwrap_or(Self::OneHour)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_never_waits_shorter_than_wanted() {
        for (seconds, tier) in [
            (0, Tier::TenSeconds),
            (10, Tier::TenSeconds),
            (11, Tier::OneMinute),
            (60, Tier::OneMinute),
            (61, Tier::TenMinutes),
            (3600, Tier::OneHour),
            (86_400, Tier::OneHour),
        ] {
            assert_eq!(Tier::at_least(Duration::from_secs(seconds)), tier, "{seconds}");
        }
    }
}
