//! Checks against a Flow Service that is silent, or answers as it is told, on a paused clock; the rest is tried with the
//! real binary.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::contract::ids::ImsOrgId;
use crate::contract::reply::UnverifiedReason;
use crate::contract::{Defaults, Envelope, Limits, parse};
use crate::flow::{
    AuthSpec, ConnectionRequest, CreateRequest, Created, Failure, FailureKind, FindRequest, Found,
    SpecRequest,
};
use crate::metrics::Metrics;

/// Counts what it is asked. Tells the same state each time, if it has one, after a second; else nothing, ever.
#[derive(Clone, Default)]
struct Silent {
    asked: Arc<AtomicU32>,
    state: Option<Result<&'static str, Failure>>,
}

impl FlowApi for Silent {
    async fn create(&self, _request: &CreateRequest) -> Result<Created, Failure> {
        panic!("checks create nothing")
    }

    async fn find(&self, _request: &FindRequest) -> Result<Option<Found>, Failure> {
        panic!("checks look for nothing")
    }

    async fn auth_specs(&self, _request: &SpecRequest) -> Result<Vec<AuthSpec>, Failure> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        std::future::pending().await
    }

    async fn state(&self, _request: &ConnectionRequest) -> Result<String, Failure> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(1)).await;
        match &self.state {
            Some(told) => told.clone().map(str::to_owned),
            None => std::future::pending().await,
        }
    }

    async fn test(&self, _request: &ConnectionRequest) -> Result<bool, Failure> {
        std::future::pending().await
    }

    fn has_token(&self, _ims_org_id: &ImsOrgId) -> bool {
        true
    }
}

fn job(spec_id: &str, params: &str) -> Job {
    let body = format!(
        r#"{{"jobId":"j","imsOrgId":"1@AdobeOrg","sandboxName":"dev","connection":{{"name":"n",
            "auth":{{"specName":"Basic Authentication","params":{params}}},"connectionSpec":{{"id":"{spec_id}"}}}}}}"#
    );
    let limits = Limits { max_bytes: 1 << 20 };
    parse(body.as_bytes(), &Envelope::default(), &Defaults::default(), limits).unwrap()
}

fn settings(validation: Validation) -> Settings {
    Settings { validation, verification: Verification::Off, verify_timeout: Duration::ZERO }
}

fn checks(flow: &Silent, validation: Validation) -> Checks<Silent> {
    Checks::new(flow.clone(), settings(validation), Metrics::new().unwrap().checks)
}

const HUBSPOT: &str = "cc6a4487-9e91-433e-a3a3-9cf6626c1806";

#[tokio::test(start_paused = true)]
async fn a_silent_flow_service_holds_jobs_up_once_and_not_for_long() {
    let flow = Silent::default();
    let checks = checks(&flow, Validation::Remote);
    let good = job(HUBSPOT, r#"{"clientId":"","clientSecret":"","accessToken":"","refreshToken":""}"#);
    let bad = job(HUBSPOT, "{}");
    let begun = Instant::now();
    for _ in 0..10 {
        assert!(checks.fits(&good, false).await.is_ok());
        let refused = checks.fits(&bad, false).await.unwrap_err();
        assert!(refused.to_string().contains("clientId: missing"), "the catalogue has to do: {refused}");
    }
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    assert_eq!(flow.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_without_need() {
    let flow = Silent::default();
    for (validation, spec_id, in_doubt) in [
        (Validation::Off, HUBSPOT, false),
        (Validation::Catalogue, HUBSPOT, false),
        (Validation::Remote, HUBSPOT, true),
        (Validation::Remote, "../connections", false),
    ] {
        let fits = checks(&flow, validation).fits(&job(spec_id, "{}"), in_doubt).await;
        let unchecked = validation == Validation::Off || spec_id != HUBSPOT;
        assert_eq!(fits.is_ok(), unchecked, "{validation:?} {spec_id}");
    }
    assert_eq!(flow.asked.load(Ordering::Relaxed), 0);
}

/// What is found out about a connection in this state, when there are 15 s for it, and after how long.
async fn verified(flow: &Silent, verification: Verification) -> (Verdict, Duration) {
    let settings = Settings { verification, verify_timeout: TIME, ..settings(Validation::Off) };
    let checks = Checks::new(flow.clone(), settings, Metrics::new().unwrap().checks);
    let created = Created { id: "c-1".to_owned(), etag: None };
    let begun = Instant::now();
    let verdict = checks.verify(&job(HUBSPOT, "{}"), &created, &CancellationToken::new()).await;
    (verdict.unwrap(), begun.elapsed())
}

const TIME: Duration = Duration::from_secs(15);

fn verdict(state: Option<&str>, unverified: Option<UnverifiedReason>) -> Verdict {
    Verdict { state: state.map(str::to_owned), unverified }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_not_waited_for_longer_than_allowed() {
    let initializing = Silent { state: Some(Ok("initializing")), ..Silent::default() };
    let (found, took) = verified(&initializing, Verification::Enabled).await;
    assert_eq!(found, verdict(Some("initializing"), Some(UnverifiedReason::NotEnabled)));
    assert!(took <= TIME && took > TIME / 2, "{took:?}");
    let asked = initializing.asked.load(Ordering::Relaxed);
    assert!((5..=10).contains(&asked), "with longer and longer pauses: {asked}");

    for verification in [Verification::Enabled, Verification::Test, Verification::Both] {
        let (found, took) = verified(&Silent::default(), verification).await;
        assert_eq!(found, verdict(None, Some(UnverifiedReason::Unavailable)));
        assert_eq!(took, TIME);
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_change_is_not_waited_for() {
    let disabled = Silent { state: Some(Ok("disabled")), ..Silent::default() };
    let second = Duration::from_secs(1);
    let found = verdict(Some("disabled"), Some(UnverifiedReason::NotEnabled));
    assert_eq!(verified(&disabled, Verification::Both).await, (found, second));

    let unknown = verdict(None, Some(UnverifiedReason::Unavailable));
    let failing = |kind, http_status, retry_after| {
        let failure = Failure { http_status, retry_after, ..Failure::new(kind, "no".to_owned()) };
        Silent { state: Some(Err(failure)), ..Silent::default() }
    };
    let refused = failing(FailureKind::Unauthorized, Some(403), None);
    assert_eq!(verified(&refused, Verification::Enabled).await, (unknown.clone(), second));
    let throttled = failing(FailureKind::Throttled, Some(429), Some(Duration::from_secs(38)));
    assert_eq!(verified(&throttled, Verification::Enabled).await, (unknown.clone(), second));

    for (kind, status) in [(FailureKind::ServerError, 503), (FailureKind::Refused, 404)] {
        let ill = failing(kind, Some(status), None);
        let (found, took) = verified(&ill, Verification::Enabled).await;
        assert!(found == unknown && took > TIME / 2, "{status}: it may still be listed: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_stops_looks_no_longer() {
    let settings =
        Settings { verification: Verification::Enabled, verify_timeout: TIME, ..settings(Validation::Off) };
    let checks = Checks::new(Silent::default(), settings, Metrics::new().unwrap().checks);
    let stop = CancellationToken::new();
    let (job, created) = (job(HUBSPOT, "{}"), Created { id: "c-1".to_owned(), etag: None });
    let begun = Instant::now();
    let stopping = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        stop.cancel();
    };
    let (found, ()) = tokio::join!(checks.verify(&job, &created, &stop), stopping);
    assert_eq!(found, Some(verdict(None, Some(UnverifiedReason::Unavailable))));
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
}
