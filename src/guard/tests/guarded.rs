//! What is looked into besides the create asks the guard too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// Counts the looks that it is asked for, and answers each as it is told.
#[derive(Clone, Default)]
struct Looks {
    asked: Arc<AtomicU32>,
    ends: Option<FailureKind>,
}

impl Looks {
    fn answer<T>(&self, answer: T) -> Result<T, Failure> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.ends.map_or(Ok(answer), |kind| Err(failure(kind)))
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl FlowApi for Looks {
    async fn create(&self, _request: &CreateRequest) -> Result<Created, Failure> {
        Err(failure(FailureKind::Refused))
    }

    async fn find(&self, _request: &FindRequest) -> Result<Option<Found>, Failure> {
        Ok(None)
    }

    async fn probe(&self, _request: &ProbeRequest) -> Result<(), Failure> {
        Ok(())
    }

    fn has_token(&self, _ims_org_id: &ImsOrgId) -> bool {
        true
    }

    async fn auth_specs(&self, _request: &SpecRequest) -> Result<Vec<AuthSpec>, Failure> {
        self.answer(Vec::new())
    }

    async fn state(&self, _request: &ConnectionRequest) -> Result<String, Failure> {
        self.answer("enabled".to_owned())
    }

    async fn test(&self, _request: &ConnectionRequest) -> Result<bool, Failure> {
        self.answer(true)
    }
}

/// Makes each kind of look; the failures that they end with.
async fn look(guarded: &Guarded<Looks>) -> [Option<FailureKind>; 3] {
    let spec =
        SpecRequest { ims_org_id: org("a"), sandbox_name: sandbox(), connection_spec_id: "spec".to_owned() };
    let connection =
        ConnectionRequest { ims_org_id: org("a"), sandbox_name: sandbox(), connection_id: "c".to_owned() };
    let specs = guarded.auth_specs(&spec).await.err();
    let state = guarded.state(&connection).await.err();
    let test = guarded.test(&connection).await.err();
    [specs, state, test].map(|failure| failure.map(|failure| failure.kind))
}

#[tokio::test(start_paused = true)]
async fn nothing_is_looked_at_while_a_breaker_is_open() {
    let (guard, flow) = (guard_with(rules()), Looks::default());
    let guarded = Guarded::new(flow.clone(), guard.clone());
    assert_eq!((look(&guarded).await, flow.asked()), ([None; 3], 3));
    calls(&guard, "a", FailureKind::ServerError).await;
    assert_eq!((look(&guarded).await, flow.asked()), ([Some(FailureKind::Unavailable); 3], 3));
}

#[tokio::test(start_paused = true)]
async fn looks_that_fail_open_a_breaker_and_a_missing_permission_does_not() {
    for (kind, opens) in [(FailureKind::ServerError, true), (FailureKind::Unauthorized, false)] {
        let guard = guard_with(rules());
        let guarded = Guarded::new(Looks { ends: Some(kind), ..Looks::default() }, guard.clone());
        for _ in 0..FAILURES {
            look(&guarded).await;
        }
        assert_eq!(reason(&guard, "a").await.is_some(), opens, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn looks_keep_to_the_pace_and_take_a_place_among_the_calls() {
    let guard = guard_with(GuardRules { rate: Some(1.0), ..rules() });
    let guarded = Guarded::new(Looks::default(), guard.clone());
    let started = Instant::now();
    assert_eq!(look(&guarded).await, [None; 3]);
    assert!(started.elapsed() > SECOND, "the second and the third had to wait");

    let guard = guard_with(GuardRules { concurrency: 1, ..rules() });
    let guarded = Guarded::new(Looks::default(), guard.clone());
    let call = ask(&guard, "a", Purpose::First).await.unwrap();
    let started = Instant::now();
    let (looked, ()) = tokio::join!(look(&guarded), async {
        tokio::time::sleep(SECOND).await;
        call.ended(None);
    });
    assert_eq!((looked, started.elapsed()), ([None; 3], SECOND));
}
