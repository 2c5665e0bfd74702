//! Jobs of one organisation at a steady pace, and when each is answered.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::Place;
use crate::figures::quantile;
use crate::place::{Replies, unseen};

pub(super) const A: &str = "A@AdobeOrg";
pub(super) const B: &str = "B@AdobeOrg";
pub(super) const C: &str = "C@AdobeOrg";

/// A job that is not answered so long after the last was sent counts as not answered.
const PATIENCE: Duration = Duration::from_secs(75);

/// A beginning for the ids of an organisation's jobs.
pub(super) fn prefix(org: &str) -> String {
    format!("{org}-{}", unseen()).replace('@', ".")
}

/// Jobs that are sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream {
    pub(super) org: &'static str,
    pub(super) jobs: usize,
    /// Between two of them.
    pub(super) pace: Duration,
}

/// How long each job took from publish to reply, in seconds; without those that were not answered.
#[derive(Debug)]
pub(super) struct Seen {
    times: Vec<f64>,
    missing: usize,
}

impl Stream {
    /// Sends them, and waits for the replies; those to others' jobs are let pass.
    pub(super) async fn measure(self, place: &Place) -> Seen {
        let prefix = prefix(self.org);
        let replies = place.consume_replies().await;
        let until = Instant::now() + self.pace * u32::try_from(self.jobs).expect("a few") + PATIENCE;
        let watch = watch(replies, &prefix, self.jobs, until);
        let (sent, seen) = tokio::join!(self.send(place, &prefix), watch);
        let times = sent.iter().zip(&seen).filter_map(|(sent, seen)| Some((*seen)? - *sent));
        let mut times: Vec<f64> = times.map(|time| time.as_secs_f64()).collect();
        times.sort_by(f64::total_cmp);
        Seen { missing: self.jobs - times.len(), times }
    }

    /// Sends them on schedule; when each was sent.
    async fn send(self, place: &Place, prefix: &str) -> Vec<Instant> {
        let mut ticks = interval(self.pace);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut sent = Vec::with_capacity(self.jobs);
        for number in 0..self.jobs {
            ticks.tick().await;
            sent.push(Instant::now());
            // The reply confirms it.
            drop(place.publish_for(self.org, &format!("{prefix}-{number}")).await);
        }
        sent
    }
}

/// When the first reply to each job came.
async fn watch(mut replies: Replies, prefix: &str, jobs: usize, until: Instant) -> Vec<Option<Instant>> {
    let mut seen = vec![None; jobs];
    let mut missing = jobs;
    while missing > 0 {
        let Ok(reply) = timeout_at(until, replies.next_within(PATIENCE * 10)).await else { break };
        let id = reply.properties.correlation_id().clone().expect("the job's id");
        let Some((of, number)) = id.as_str().rsplit_once('-') else { continue };
        if of == prefix {
            let job: &mut Option<Instant> = &mut seen[number.parse::<usize>().expect("a number")];
            missing -= usize::from(job.is_none());
            job.get_or_insert_with(Instant::now);
        }
    }
    replies.close().await;
    seen
}

impl Seen {
    pub(super) fn answered(&self) -> usize {
        self.times.len()
    }

    /// As long as it was waited for, if not all are answered.
    pub(super) fn p99(&self) -> f64 {
        if self.missing > 0 { PATIENCE.as_secs_f64() } else { quantile(&self.times, 0.99) }
    }
}
