//! The handler against a scripted Flow Service, on a paused clock.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Handled, Handler};
use crate::contract::ids::{ImsOrgId, JobId, SandboxName};
use crate::contract::job::Job;
use crate::flow::{CreateRequest, Created, Failure, FailureKind, FlowApi};
use crate::metrics::Metrics;
use crate::retry::policy::{Limit, Policy};

/// Answers in the order of its script and records when it was asked.
struct Script {
    answers: Mutex<VecDeque<Result<Created, Failure>>>,
    calls: Mutex<Vec<Instant>>,
}

impl FlowApi for std::sync::Arc<Script> {
    async fn create(&self, _request: &CreateRequest) -> Result<Created, Failure> {
        self.calls.lock().unwrap().push(Instant::now());
        self.answers.lock().unwrap().pop_front().expect("a call more than the script has answers for")
    }
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Result<Created, Failure>>) -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self {
            answers: Mutex::new(answers.into_iter().collect()),
            calls: Mutex::default(),
        })
    }

    fn calls(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    fn gap(&self, index: usize) -> Duration {
        let calls = self.calls.lock().unwrap();
        calls[index + 1] - calls[index]
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it is an answer of the script")]
fn created() -> Result<Created, Failure> {
    Ok(Created { id: "c-1".to_owned(), etag: Some("\"e\"".to_owned()) })
}

fn failed(kind: FailureKind) -> Result<Created, Failure> {
    failed_asking(kind, None)
}

fn failed_asking(kind: FailureKind, retry_after: Option<Duration>) -> Result<Created, Failure> {
    Err(Failure {
        kind,
        message: "no".to_owned(),
        http_status: None,
        flow_code: None,
        request_id: None,
        retry_after,
    })
}

fn job() -> Job {
    Job {
        id: JobId::parse("j-1").unwrap(),
        ims_org_id: ImsOrgId::parse("1@AdobeOrg").unwrap(),
        sandbox_name: SandboxName::parse("dev").unwrap(),
        name: "n".to_owned(),
        connection_spec_id: "s".to_owned(),
        expires_at: None,
        body: Bytes::from_static(b"{}"),
    }
}

fn policy() -> Policy {
    Policy {
        max_attempts: 4,
        base_delay: Duration::from_secs(1),
        max_delay: Duration::from_secs(10),
        max_retry_after: Duration::from_secs(60),
        deadline: Duration::from_secs(300),
    }
}

async fn handle(script: &std::sync::Arc<Script>, time_left: Option<Duration>) -> Handled {
    let handler = Handler::new(std::sync::Arc::clone(script), policy(), Metrics::new().unwrap().jobs);
    handler.handle(&job(), time_left, &CancellationToken::new()).await
}

#[tokio::test(start_paused = true)]
async fn what_is_certainly_not_done_is_tried_again() {
    let script = Script::new([
        failed(FailureKind::NotSent),
        failed(FailureKind::Unavailable),
        failed(FailureKind::TokenUnavailable),
        created(),
    ]);
    let outcome = handle(&script, None).await;
    assert!(matches!(outcome, Handled::Created { attempts: 4, .. }), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_done_is_not_repeated() {
    for kind in
        [FailureKind::Timeout, FailureKind::NoAnswer, FailureKind::ServerError, FailureKind::Unreadable]
    {
        let script = Script::new([failed(kind)]);
        let outcome = handle(&script, None).await;
        assert!(matches!(outcome, Handled::Failed { attempts: 1, limit: None, .. }), "{kind:?}: {outcome:?}");
        assert_eq!(script.calls(), 1, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_not_repeated() {
    for kind in [FailureKind::Refused, FailureKind::Unauthorized] {
        let script = Script::new([failed(kind)]);
        let outcome = handle(&script, None).await;
        assert!(matches!(outcome, Handled::Failed { attempts: 1, limit: None, .. }), "{kind:?}: {outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_end() {
    let script = Script::new((0..4).map(|_| failed(FailureKind::NotSent)));
    let outcome = handle(&script, None).await;
    assert!(
        matches!(outcome, Handled::Failed { attempts: 4, limit: Some(Limit::Attempts), .. }),
        "{outcome:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_waited_for_and_capped() {
    let hour = Some(Duration::from_secs(3600));
    let soon = Some(Duration::from_secs(7));
    let script = Script::new([
        failed_asking(FailureKind::Throttled, soon),
        failed_asking(FailureKind::Throttled, hour),
        created(),
    ]);
    let outcome = handle(&script, None).await;
    assert!(matches!(outcome, Handled::Created { attempts: 3, .. }), "{outcome:?}");
    assert!(script.gap(0) >= Duration::from_secs(7) && script.gap(0) < Duration::from_secs(9));
    assert!(script.gap(1) >= Duration::from_secs(60) && script.gap(1) < Duration::from_secs(63));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_would_expire_while_waiting_ends_at_once() {
    let script = Script::new([failed_asking(FailureKind::Throttled, Some(Duration::from_secs(30)))]);
    let started = Instant::now();
    let outcome = handle(&script, Some(Duration::from_secs(20))).await;
    assert!(matches!(outcome, Handled::Expired { attempts: 1, .. }), "{outcome:?}");
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_at_shutdown_and_the_job_goes_back() {
    let script = Script::new([failed_asking(FailureKind::Throttled, Some(Duration::from_secs(50)))]);
    let handler = Handler::new(std::sync::Arc::clone(&script), policy(), Metrics::new().unwrap().jobs);
    let stop = CancellationToken::new();
    let started = Instant::now();
    let job = job();
    let (outcome, ()) = tokio::join!(handler.handle(&job, None, &stop), async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        stop.cancel();
    });
    assert!(matches!(outcome, Handled::HandedBack), "{outcome:?}");
    assert_eq!(started.elapsed(), Duration::from_secs(5));
    assert_eq!(script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_under_way_is_finished_at_shutdown() {
    let stop = CancellationToken::new();
    let handler = Handler::new(StopDuringCall(stop.clone()), policy(), Metrics::new().unwrap().jobs);
    let outcome = handler.handle(&job(), None, &stop).await;
    assert!(matches!(outcome, Handled::Created { .. }), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn no_call_is_begun_after_a_stop() {
    let script = Script::new([]);
    let handler = Handler::new(std::sync::Arc::clone(&script), policy(), Metrics::new().unwrap().jobs);
    let stop = CancellationToken::new();
    stop.cancel();
    let outcome = handler.handle(&job(), None, &stop).await;
    assert!(matches!(outcome, Handled::HandedBack), "{outcome:?}");
}

/// Is told to stop while it creates.
struct StopDuringCall(CancellationToken);

impl FlowApi for StopDuringCall {
    async fn create(&self, _request: &CreateRequest) -> Result<Created, Failure> {
        self.0.cancel();
        tokio::time::sleep(Duration::from_secs(1)).await;
        created()
    }
}
