//! The figures that histories are held to, each with the number of the requirement it stands for
//! (isolation 1, progress 2, work 3, fairness 4, politeness 5, bounds 6, reads and writes 7, scarce calls 8, refusals 9, doubt
//! 10, suspects 11). The one place to make them tighter.

use std::time::Duration;

/// 1, 4: how much later the jobs of a healthy part may be answered than without the others.
pub(crate) const LATER: Duration = Duration::from_secs(1);

/// 1: how long a worker takes to look through so many jobs, to find one that can be done.
pub(crate) fn looking_through(jobs: usize) -> Duration {
    Duration::from_millis(1) * u32::try_from(jobs).unwrap_or(u32::MAX)
}

/// 1, 4: the latest p99 of a healthy part's jobs whose calls take up to `call`, behind a backlog of others.
pub(crate) fn healthy(call: Duration, backlog: usize) -> Duration {
    call + BROKER + LATER + looking_through(backlog)
}

/// What the steps with the simulated broker take, and a token.
pub(crate) const BROKER: Duration = Duration::from_millis(50);

/// 2: by when a job is done whose next call would succeed, if its part was ill for so long.
pub(crate) fn progress(ill: Duration) -> Duration {
    Duration::from_secs(60).max(ill / 10)
}

/// 2: the same, of all jobs of a part, which were waiting and now share the slots; and what the retry schedule itself adds.
pub(crate) fn all_done(ill: Duration, jobs: usize) -> Duration {
    let jobs = u32::try_from(jobs).unwrap_or(u32::MAX);
    progress(ill) + Duration::from_secs(75) + Duration::from_millis(50) * jobs
}

/// 3: of what slots, limits and pace allow, so much is used.
pub(crate) const USED: f64 = 0.9;

/// 4: a flood takes this many times as long as alone at the most.
pub(crate) const FLOOD: f64 = 1.3;

/// 5: calls to an ill part in two minutes.
pub(crate) const CALLS_IN_TWO_MINUTES: usize = 263;

/// 5: creates for each job, when 30 % of calls fail.
pub(crate) const CREATES_IN_BROWN_OUT: f64 = 1.44;

/// 5: of the capacity that throttling leaves, so much is used, and of the calls so many are answered with 429.
pub(crate) const CAPACITY_USED: f64 = 0.9;
pub(crate) const THROTTLED: f64 = 0.05;

/// 5: calls of an organisation that has been told when to come again, before that.
pub(crate) const CALLS_DESPITE_RETRY_AFTER: usize = 3;

/// 5: from the end of an outage to the first reply.
pub(crate) const FIRST_AFTER_OUTAGE: Duration = Duration::from_secs(5);

/// 6: in half a minute no job is moved more often than this,
pub(crate) const MOVES_OF_A_JOB: usize = 12;

/// and all together so often in a second on the average, besides once for each job.
pub(crate) const MOVES_A_SECOND: usize = 100;

/// 6: besides two, one job of so many may be taken back by a queue when its consumer is cancelled.
pub(crate) const TAKEN_BACK: usize = 100;

/// 10: two copies of a job that create within this time could not know of each other.
pub(crate) const AT_ONCE: Duration = Duration::from_millis(300);

/// 7: a job whose connection cannot be tested is answered when the time for that is over (`VERIFY_TIMEOUT`, 15 s).
pub(crate) const CHECKED: Duration = Duration::from_secs(17);

/// 8: from the start to the first reply, at a rate of so many calls a second.
pub(crate) fn scarce_first(settle: Duration, rate: f64) -> Duration {
    settle + Duration::from_secs_f64(8.0 / rate) + Duration::from_secs(10)
}

/// 8: a worker looks once a second at what waits in its other queues, and may have just looked.
const LOOK: Duration = Duration::from_millis(2_500);

/// 8: the longest time without a reply.
pub(crate) fn scarce_gap(rate: f64) -> Duration {
    Duration::from_secs_f64(20.0 / rate).max(LOOK)
}

/// 8: the time in which so many jobs with so many calls each are done.
pub(crate) fn scarce_all(settle: Duration, rate: f64, calls: usize) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let calls = calls as f64;
    scarce_first(settle, rate) + Duration::from_secs_f64(2.0 * calls / rate)
}

/// 11: for so long a suspect keeps others waiting.
pub(crate) const SUSPECT: Duration = Duration::from_secs(30);
