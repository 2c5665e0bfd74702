//! What is true: every connection, every call.

use std::collections::BTreeMap;
use std::time::Duration;

use connection_worker::flow::{Created, Failure, FailureKind, Found};
use fastrand::Rng;
use tokio::time::Instant;

use super::illness::{Call, Calls, Kind, Weather, failure};
use crate::broker::chance;
use crate::trace::{NOBODY, Trace, What};

/// A connection that exists, or will when its create takes effect.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) id: String,
    pub(crate) org: usize,
    pub(crate) sandbox: usize,
    pub(crate) exists_at: Instant,
}

/// A call that was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made {
    pub(crate) at: u32,
    pub(crate) calls: Calls,
    pub(crate) org: usize,
    pub(crate) job: u32,
    /// How it ended; `None` if well.
    pub(crate) failed: Option<FailureKind>,
}

/// How a call ends, and when.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) takes: Duration,
    pub(crate) failure: Option<Failure>,
    /// The connection that a create makes, if it does.
    pub(crate) created: Option<Created>,
}

/// All that is true.
#[derive(Debug)]
pub(crate) struct Truth {
    pub(crate) weather: Weather,
    began: Instant,
    random: Rng,
    luck: Rng,
    pub(crate) connections: Vec<Connection>,
    pub(crate) of_job: BTreeMap<u32, Vec<usize>>,
    pub(crate) made: Vec<Made>,
    /// How often each job was attempted, by the worker's own count: a call that could not be sent is not made.
    pub(crate) attempts: BTreeMap<u32, u32>,
    /// Creates and reads made about each job.
    creates: BTreeMap<u32, u32>,
    reads: BTreeMap<u32, u32>,
    /// Calls of an organisation in its latest second.
    seconds: BTreeMap<usize, (u64, u32)>,
    pub(crate) trace: Trace,
}

impl Truth {
    pub(super) fn new(seed: u64, weather: Weather, trace: Trace) -> Self {
        Self {
            weather,
            began: Instant::now(),
            random: Rng::with_seed(seed ^ 0xf1_0e),
            luck: Rng::with_seed(seed ^ 0x10_0c_1e),
            connections: Vec::new(),
            of_job: BTreeMap::new(),
            made: Vec::new(),
            attempts: BTreeMap::new(),
            creates: BTreeMap::new(),
            reads: BTreeMap::new(),
            seconds: BTreeMap::new(),
            trace,
        }
    }

    fn latency(&mut self, org: usize) -> Duration {
        let (from, to) = *self.weather.latencies.get(&org).unwrap_or(&self.weather.latency);
        Duration::from_millis(self.random.u64(from..=to))
    }

    /// What a call meets.
    pub(super) fn ill(&mut self, call: &Call) -> Option<Kind> {
        let now = self.began.elapsed();
        if call.calls == Calls::Creates && self.weather.hopeless.contains(&call.job) {
            return Some(Kind::ServerError { done: false });
        }
        for illness in &self.weather.illnesses {
            if illness.meets(call, now) && (illness.share >= 1.0 || chance(&mut self.luck, illness.share)) {
                return Some(illness.kind);
            }
        }
        None
    }

    /// Decides how a call ends.
    pub(super) fn plan(&mut self, mut call: Call) -> Plan {
        call.is_first = self.counted(&call) == 1;
        let takes = self.latency(call.org);
        let met = self.ill(&call);
        let takes = met.and_then(Kind::takes).unwrap_or(takes);
        let throttled = met != Some(Kind::NotSent) && self.is_over_capacity(call.org);
        let failure = match met {
            _ if throttled => {
                // The shortest that the header can say, as gateways do.
                Some(failure(FailureKind::Throttled, Some(429), Some(Duration::from_secs(1))))
            }
            Some(kind) => Some(kind.failure()),
            None => None,
        };
        let done = !throttled && met.is_none_or(Kind::is_done);
        let created = (call.calls == Calls::Creates && done).then(|| self.create(&call, takes, met));
        self.note(&call, failure.as_ref().map(|failure| failure.kind));
        Plan { takes, failure, created }
    }

    fn counted(&mut self, call: &Call) -> u32 {
        let counts = match call.calls {
            Calls::Creates => &mut self.creates,
            Calls::Reads => &mut self.reads,
            Calls::Checks | Calls::Tokens | Calls::All => return 0,
        };
        let count = counts.entry(call.job).or_default();
        *count += 1;
        *count
    }

    fn is_over_capacity(&mut self, org: usize) -> bool {
        let Some(capacity) = self.weather.capacity.get(&org) else { return false };
        let now = self.began.elapsed().as_secs();
        let (second, calls) = self.seconds.entry(org).or_default();
        if *second != now {
            (*second, *calls) = (now, 0);
        }
        *calls += 1;
        *calls > *capacity
    }

    /// Half-way through the call the connection is there; if the answer is lost, perhaps later than that.
    fn create(&mut self, call: &Call, takes: Duration, met: Option<Kind>) -> Created {
        let late = self.weather.late_effect;
        let half = match met {
            Some(Kind::Hangs { .. } | Kind::Cut { .. }) => {
                takes.min(Duration::from_secs(1)) + late.mul_f64(self.luck.f64())
            }
            _ => takes / 2,
        };
        let number = self.connections.len();
        let id = format!("connection-{number}");
        self.connections.push(Connection {
            id: id.clone(),
            org: call.org,
            sandbox: call.sandbox,
            exists_at: Instant::now() + half,
        });
        self.of_job.entry(call.job).or_default().push(number);
        self.trace.note(What::Connected, call.job, number);
        Created { id, etag: Some("\"1\"".to_owned()) }
    }

    fn note(&mut self, call: &Call, failed: Option<FailureKind>) {
        let what = match (call.calls, failed.is_some()) {
            (Calls::Creates, false) => What::CreateEnded,
            (Calls::Creates, true) => What::CreateFailed,
            (Calls::Reads, true) => What::FindFailed,
            (Calls::Reads, false) => What::FindBegun,
            (Calls::Tokens, false) => What::TokenFetched,
            (Calls::Tokens, true) => What::TokenFailed,
            (Calls::Checks | Calls::All, false) => What::OtherCall,
            (Calls::Checks | Calls::All, true) => What::OtherCallFailed,
        };
        self.trace.note(what, call.job, call.org);
        let (at, calls, org, job) = (self.trace.now(), call.calls, call.org, call.job);
        self.made.push(Made { at, calls, org, job, failed });
    }

    /// A call for a token.
    pub(super) fn plan_token(&mut self, org: usize) -> Plan {
        let call = Call { calls: Calls::Tokens, org, sandbox: 0, spec: 0, job: NOBODY, is_first: false };
        let (takes, met) = (self.latency(org), self.ill(&call));
        let failure = met.map(Kind::failure);
        self.note(&call, failure.as_ref().map(|failure| failure.kind));
        Plan { takes: met.and_then(Kind::takes).unwrap_or(takes), failure, created: None }
    }

    /// What a list shows of a job, the oldest first.
    pub(super) fn listed(&self, job: u32, org: usize, sandbox: usize) -> Option<Found> {
        let now = Instant::now();
        let of_job = self.of_job.get(&job)?.iter().map(|number| &self.connections[*number]);
        let shown = |one: &&Connection| {
            one.exists_at + self.weather.list_lag <= now && (one.org, one.sandbox) == (org, sandbox)
        };
        let mut shown: Vec<_> = of_job.filter(shown).collect();
        shown.sort_by_key(|one| one.exists_at);
        let (first, rest) = shown.split_first()?;
        let connection = Created { id: first.id.clone(), etag: Some("\"1\"".to_owned()) };
        Some(Found { connection, duplicates: rest.iter().map(|one| one.id.clone()).collect() })
    }
}
