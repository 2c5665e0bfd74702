//! A Flow Service that answers in the order of its script, and a job to do with it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admission::{Admission, AdmissionRules, BreakerRules};
use crate::contract::Remarks;
use crate::contract::ids::{ImsOrgId, JobId, SandboxName};
use crate::contract::job::Job;
use crate::flow::{
    AuthSpec, ConnectionRequest, CreateRequest, Created, Failure, FailureKind, FindRequest, FlowApi, Found,
    SpecRequest,
};
use crate::handler::{Handled, Handler, Past, Rules};
use crate::metrics::Metrics;
use crate::retry::doubt::Lookups;
use crate::retry::policy::Policy;

/// One answer. A call of the other kind than the script expects fails the test.
#[derive(Debug)]
pub(super) enum Answer {
    Create(Result<Created, Failure>),
    Find(Result<Option<Found>, Failure>),
}

/// A handler with a script to call, and a record of the calls.
pub(super) struct Script {
    handler: Handler<Player>,
    player: Player,
    pub(super) metrics: Metrics,
}

#[derive(Clone)]
pub(super) struct Player(Arc<Mutex<State>>);

struct State {
    answers: VecDeque<Answer>,
    creates: Vec<Instant>,
    finds: Vec<Instant>,
    look_began: Arc<Notify>,
}

impl Player {
    fn look_begins(&self) {
        let mut state = self.0.lock().unwrap();
        state.finds.push(Instant::now());
        state.look_began.notify_one();
    }

    async fn next(&self) -> Answer {
        // A call takes a moment, so that two at once can meet.
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.0.lock().unwrap().answers.pop_front().expect("a call more than the script has answers for")
    }
}

impl FlowApi for Player {
    async fn create(&self, _request: &CreateRequest) -> Result<Created, Failure> {
        self.0.lock().unwrap().creates.push(Instant::now());
        match self.next().await {
            Answer::Create(result) => result,
            other @ Answer::Find(_) => panic!("a create where the script has {other:?}"),
        }
    }

    async fn find(&self, request: &FindRequest) -> Result<Option<Found>, Failure> {
        assert_eq!(request.description, "d [job j-1]");
        self.look_begins();
        match self.next().await {
            Answer::Find(result) => result,
            other @ Answer::Create(_) => panic!("a look-up where the script has {other:?}"),
        }
    }

    fn has_token(&self, _ims_org_id: &ImsOrgId) -> bool {
        true
    }

    async fn auth_specs(&self, _request: &SpecRequest) -> Result<Vec<AuthSpec>, Failure> {
        panic!("the handler asks for no connection spec")
    }

    async fn state(&self, _request: &ConnectionRequest) -> Result<String, Failure> {
        panic!("the handler looks at no connection")
    }

    async fn test(&self, _request: &ConnectionRequest) -> Result<bool, Failure> {
        panic!("the handler looks at no connection")
    }
}

impl Script {
    pub(super) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::at_a_rate(None, answers)
    }

    /// With so many calls a second at the most.
    pub(super) fn at_a_rate(rate: Option<f64>, answers: impl IntoIterator<Item = Answer>) -> Self {
        let (creates, finds, look_began) = (Vec::new(), Vec::new(), Arc::default());
        let state = State { answers: answers.into_iter().collect(), creates, finds, look_began };
        let player = Player(Arc::new(Mutex::new(state)));
        let metrics = Metrics::new().unwrap();
        let handler =
            Handler::new(player.clone(), admission(rate, &metrics), rules(), metrics.attempts.clone());
        Self { handler, player, metrics }
    }

    pub(super) async fn handle(&self, past: Past, time_left: Option<Duration>) -> Handled {
        self.handle_until(&CancellationToken::new(), past, time_left).await
    }

    pub(super) async fn handle_until(
        &self,
        stop: &CancellationToken,
        past: Past,
        time_left: Option<Duration>,
    ) -> Handled {
        self.handler.handle(&job(), past, time_left, self.handler.number(), stop).await
    }

    /// A job with an id of its own.
    pub(super) async fn handle_another(&self, time_left: Option<Duration>) -> Handled {
        let job = Job { id: JobId::parse("another").unwrap(), ..job() };
        self.handler
            .handle(&job, Past::NONE, time_left, self.handler.number(), &CancellationToken::new())
            .await
    }

    pub(super) async fn handle_unmarked(&self, past: Past) -> Handled {
        let job = Job { marked_description: None, ..job() };
        self.handler.handle(&job, past, None, self.handler.number(), &CancellationToken::new()).await
    }

    pub(super) fn creates(&self) -> usize {
        self.player.0.lock().unwrap().creates.len()
    }

    /// Waits until another look-up begins.
    pub(super) async fn look_begins(&self) {
        let look_began = Arc::clone(&self.player.0.lock().unwrap().look_began);
        look_began.notified().await;
    }

    pub(super) fn finds(&self) -> Vec<Instant> {
        self.player.0.lock().unwrap().finds.clone()
    }

    /// Whether every answer was asked for.
    pub(super) fn is_over(&self) -> bool {
        self.player.0.lock().unwrap().answers.is_empty()
    }

    /// The time between two creates.
    pub(super) fn gap(&self, index: usize) -> Duration {
        let state = self.player.0.lock().unwrap();
        state.creates[index + 1] - state.creates[index]
    }

    pub(super) fn counts(&self, line: &str) -> bool {
        self.metrics.render().unwrap().lines().any(|found| found == format!("connection_worker_{line}"))
    }
}

fn connection(id: &str) -> Created {
    Created { id: id.to_owned(), etag: Some("\"e\"".to_owned()) }
}

pub(super) fn created(id: &str) -> Answer {
    Answer::Create(Ok(connection(id)))
}

pub(super) fn failed(kind: FailureKind) -> Answer {
    failed_asking(kind, None)
}

pub(super) fn failed_asking(kind: FailureKind, retry_after: Option<Duration>) -> Answer {
    Answer::Create(Err(Failure { retry_after, ..Failure::new(kind, "no".to_owned()) }))
}

pub(super) fn absent() -> Answer {
    Answer::Find(Ok(None))
}

pub(super) fn found(id: &str, duplicates: &[&str]) -> Answer {
    let duplicates = duplicates.iter().map(ToString::to_string).collect();
    Answer::Find(Ok(Some(Found { connection: connection(id), duplicates })))
}

pub(super) fn no_look(kind: FailureKind) -> Answer {
    no_look_asking(kind, None)
}

pub(super) fn no_look_asking(kind: FailureKind, retry_after: Option<Duration>) -> Answer {
    Answer::Find(Err(Failure { retry_after, ..Failure::new(kind, "cannot look".to_owned()) }))
}

pub(super) fn failed_with(kind: FailureKind, status: u16) -> Answer {
    Answer::Create(Err(Failure { http_status: Some(status), ..Failure::new(kind, "no".to_owned()) }))
}

pub(in crate::handler) fn job() -> Job {
    Job {
        id: JobId::parse("j-1").unwrap(),
        ims_org_id: ImsOrgId::parse("1@AdobeOrg").unwrap(),
        sandbox_name: SandboxName::parse("dev").unwrap(),
        name: "n".to_owned(),
        connection_spec_id: "s".to_owned(),
        marked_description: Some("d [job j-1]".to_owned()),
        expires_at: None,
        form: crate::contract::Form::Clear,
        remarks: Remarks::default(),
        body: Bytes::from_static(b"{}"),
    }
}

pub(super) fn policy() -> Policy {
    Policy {
        max_attempts: 4,
        base_delay: Duration::from_millis(50),
        max_delay: Duration::from_millis(900),
        max_retry_after: Duration::from_secs(3600),
        hold: Duration::from_secs(10),
        deadline: Duration::from_secs(86_400),
    }
}

pub(super) fn rules() -> Rules {
    let second = Duration::from_secs(1);
    Rules { policy: policy(), lookups: Lookups { looks: 2, pause: second, settle: second * 5 } }
}

/// Opens after six failures in a row, and lets as many calls be repeats as there are.
fn admission(rate: Option<f64>, metrics: &Metrics) -> Admission {
    let second = Duration::from_secs(1);
    let breaker = BreakerRules { failures: 6, ratio: 1.0, window: second * 10, longest_pause: second * 4 };
    let rules = AdmissionRules {
        breaker,
        retry_share: 1.0,
        concurrency: 8,
        adaptive: true,
        rate,
        longest_retry_after: second * 60,
        organisations: HashMap::new(),
        only_these: false,
    };
    Admission::new(rules, metrics.admission.clone())
}
