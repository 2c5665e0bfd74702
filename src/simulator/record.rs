//! What is counted and kept about requests. Knows nothing of connections.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::endpoint::Endpoint;
use super::http::Call;
use super::locked;

/// Large bodies push older requests out earlier, so that the recording stays this small.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Numbers about requests.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    requests: BTreeMap<&'static str, u64>,
    statuses: BTreeMap<u16, u64>,
    unanswered: u64,
    tokens_issued: u64,
    faults: BTreeMap<&'static str, u64>,
    creates_in_flight: u64,
    max_creates_in_flight: u64,
}

impl Counts {
    /// A request came; the guard counts its end.
    pub(super) fn begin(&self, endpoint: Endpoint) -> InFlight<'_> {
        let mut numbers = locked(&self.0);
        *numbers.requests.entry(endpoint.as_str()).or_default() += 1;
        if endpoint == Endpoint::Create {
            numbers.creates_in_flight += 1;
            numbers.max_creates_in_flight = numbers.max_creates_in_flight.max(numbers.creates_in_flight);
        }
        InFlight { counts: self, endpoint, status: None }
    }

    pub(super) fn token_issued(&self) {
        locked(&self.0).tokens_issued += 1;
    }

    pub(super) fn fault_acted(&self, kind: &'static str) {
        *locked(&self.0).faults.entry(kind).or_default() += 1;
    }

    /// Back to nothing, but for the requests under way.
    pub(super) fn reset(&self) {
        let mut numbers = locked(&self.0);
        let creates_in_flight = numbers.creates_in_flight;
        *numbers =
            Numbers { creates_in_flight, max_creates_in_flight: creates_in_flight, ..Numbers::default() };
    }

    pub(super) fn add_to(&self, report: &mut Map<String, Value>) {
        let numbers = locked(&self.0);
        let requests: BTreeMap<_, _> = Endpoint::ALL
            .iter()
            .map(|endpoint| endpoint.as_str())
            .map(|name| (name, numbers.requests.get(name).copied().unwrap_or(0)))
            .collect();
        let statuses: BTreeMap<_, _> =
            numbers.statuses.iter().map(|(status, count)| (status.to_string(), count)).collect();
        report.insert("requests".to_owned(), json!(requests));
        report.insert("statuses".to_owned(), json!(statuses));
        report.insert("unanswered".to_owned(), numbers.unanswered.into());
        report.insert("tokensIssued".to_owned(), numbers.tokens_issued.into());
        report.insert("faults".to_owned(), json!(numbers.faults));
        report.insert("maxCreatesInFlight".to_owned(), numbers.max_creates_in_flight.into());
    }
}

/// A request under way. Dropped without [`answered`](Self::answered), it counts as unanswered: the client left, or
/// the connection was closed on purpose.
#[derive(Debug)]
pub(super) struct InFlight<'a> {
    counts: &'a Counts,
    endpoint: Endpoint,
    status: Option<u16>,
}

impl InFlight<'_> {
    pub(super) fn answered(mut self, status: u16) {
        self.status = Some(status);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let mut numbers = locked(&self.counts.0);
        if self.endpoint == Endpoint::Create {
            numbers.creates_in_flight = numbers.creates_in_flight.saturating_sub(1);
        }
        match self.status {
            Some(status) => *numbers.statuses.entry(status).or_default() += 1,
            None => numbers.unanswered += 1,
        }
    }
}

/// The last create requests, whole.
#[derive(Debug)]
pub(super) struct Requests {
    max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    requests: VecDeque<Recorded>,
    bytes: usize,
}

#[derive(Debug)]
struct Recorded {
    at: Timestamp,
    call: Arc<Call>,
}

impl Requests {
    pub(super) fn new(max: usize) -> Self {
        Self { max, kept: Mutex::default() }
    }

    pub(super) fn record(&self, call: Arc<Call>) {
        if self.max == 0 {
            return;
        }
        let mut kept = locked(&self.kept);
        kept.bytes += call.body.len();
        kept.requests.push_back(Recorded { at: Timestamp::now(), call });
        while kept.requests.len() > self.max || kept.bytes > MAX_BYTES {
            let Some(oldest) = kept.requests.pop_front() else { break };
            kept.bytes -= oldest.call.body.len();
        }
    }

    pub(super) fn reset(&self) {
        *locked(&self.kept) = Kept::default();
    }

    /// The last `limit` requests, oldest first.
    pub(super) fn last(&self, limit: usize) -> Value {
        let kept = locked(&self.kept);
        let skipped = kept.requests.len().saturating_sub(limit);
        kept.requests.iter().skip(skipped).map(Recorded::to_json).collect()
    }
}

impl Recorded {
    fn to_json(&self) -> Value {
        let mut headers = Map::new();
        for (name, value) in &self.call.headers {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            // A header sent twice is joined, as HTTP says that it means the same.
            headers
                .entry(name.as_str())
                .and_modify(|before| *before = format!("{}, {value}", before.as_str().unwrap_or("")).into())
                .or_insert_with(|| value.clone().into());
        }
        let body = String::from_utf8_lossy(&self.call.body);
        let version = format!("{:?}", self.call.version); // `HTTP/2.0`
        json!({ "at": self.at.to_string(), "version": version, "headers": headers, "body": body })
    }
}
