//! When a token is fetched, on a paused clock: no socket in here.

use std::collections::VecDeque;

use secrecy::ExposeSecret;
use tokio::time::{advance, sleep};

use super::*;
use crate::metrics::Metrics;

const DAY: Duration = Duration::from_secs(24 * 3600);
const UNTIL_DUE: Duration = Duration::from_secs(24 * 3600 - 5 * 60);
const BEFORE_DUE: Duration = Duration::from_secs(24 * 3600 - 5 * 60 - 1);

/// Takes a second for each answer, then gives the next of the script.
#[derive(Default)]
struct ScriptedIssuer {
    script: Mutex<VecDeque<Result<Issued, Failure>>>,
    asked: Mutex<usize>,
}

impl Issue for ScriptedIssuer {
    async fn issue(&self) -> Result<Issued, Failure> {
        *self.asked.lock().unwrap() += 1;
        sleep(Duration::from_secs(1)).await;
        self.script.lock().unwrap().pop_front().expect("a token that the script has not")
    }
}

#[allow(clippy::unnecessary_wraps, reason = "as the script has it")]
fn token(value: &str, lifetime: Duration) -> Result<Issued, Failure> {
    Ok(Issued { value: value.into(), lifetime })
}

fn down() -> Result<Issued, Failure> {
    Err(Failure::new(FailureKind::TokenUnavailable, "IMS is down".to_owned()))
}

fn cache(script: impl IntoIterator<Item = Result<Issued, Failure>>) -> Cache<ScriptedIssuer> {
    let issuer = ScriptedIssuer { script: Mutex::new(script.into_iter().collect()), asked: Mutex::new(0) };
    Cache::new(issuer, Metrics::new().unwrap().http, None)
}

impl Cache<ScriptedIssuer> {
    fn asked(&self) -> usize {
        *self.issuer.asked.lock().unwrap()
    }

    async fn value(&self) -> String {
        self.current().await.unwrap().value.expose_secret().to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_callers_cost_one_fetch() {
    let cache = cache([token("one", DAY)]);
    let values = futures_util::future::join_all((0..100).map(|_| cache.value())).await;
    assert_eq!(values, vec!["one"; 100]);
    assert_eq!(cache.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_kept_until_five_minutes_before_its_end() {
    let cache = cache([token("one", DAY), token("two", DAY)]);
    assert_eq!(cache.value().await, "one");
    advance(BEFORE_DUE).await;
    assert_eq!(cache.value().await, "one");
    advance(Duration::from_secs(1)).await;
    assert_eq!(cache.value().await, "two");
    assert_eq!(cache.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_with_a_short_life_is_kept_for_most_of_it() {
    let lifetime = Duration::from_secs(100);
    let cache = cache([token("one", lifetime), token("two", lifetime)]);
    cache.value().await;
    advance(Duration::from_secs(79)).await;
    assert_eq!(cache.value().await, "one");
    advance(Duration::from_secs(1)).await;
    assert_eq!(cache.value().await, "two");
}

#[tokio::test(start_paused = true)]
async fn while_one_caller_renews_early_the_others_do_not_wait() {
    let cache = cache([token("one", DAY), token("two", DAY)]);
    cache.value().await;
    advance(UNTIL_DUE).await;
    let others = async {
        let started = Instant::now();
        let values = futures_util::future::join_all((0..10).map(|_| cache.value())).await;
        (values, started.elapsed())
    };
    let (first, (others, waited)) = tokio::join!(cache.value(), others);
    assert_eq!(first, "two");
    assert_eq!(others, vec!["one"; 10]);
    assert_eq!(waited, Duration::ZERO);
    assert_eq!(cache.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failed_early_renewal_keeps_the_old_token_until_it_expires() {
    let cache = cache([token("one", DAY), down(), down(), token("two", DAY)]);
    cache.value().await;
    advance(UNTIL_DUE).await;
    assert_eq!(cache.value().await, "one");
    assert_eq!(cache.value().await, "one");
    assert_eq!(cache.asked(), 2, "the second caller must not try again at once");
    advance(Duration::from_secs(5 * 60 - 2)).await;
    assert_eq!(cache.value().await, "one");
    assert_eq!(cache.asked(), 3);
    advance(Duration::from_secs(2)).await;
    assert_eq!(cache.value().await, "two");
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_shared_by_those_who_waited_and_then_tried_again() {
    let cache = cache([down(), token("one", DAY)]);
    let failures = futures_util::future::join_all((0..100).map(|_| cache.current())).await;
    assert!(failures.iter().all(Result::is_err));
    assert_eq!(cache.asked(), 1);
    advance(PAUSE_AFTER_FAILURE).await;
    assert_eq!(cache.value().await, "one");
}

#[tokio::test(start_paused = true)]
async fn ims_is_left_alone_for_as_long_as_it_asks_but_not_forever() {
    let asks = |seconds| {
        down().map_err(|failure| Failure { retry_after: Some(Duration::from_secs(seconds)), ..failure })
    };
    let cache = cache([asks(30), asks(999_999_999_999), token("one", DAY)]);
    cache.current().await.unwrap_err();
    advance(Duration::from_secs(29)).await;
    assert_eq!(cache.current().await.unwrap_err().retry_after, Some(Duration::from_secs(1)));
    assert_eq!(cache.asked(), 1);
    advance(Duration::from_secs(1)).await;
    cache.current().await.unwrap_err();
    assert_eq!(cache.asked(), 2);
    advance(MAX_PAUSE).await;
    assert_eq!(cache.value().await, "one");
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_once_for_all_who_used_it() {
    let cache = cache([token("one", DAY), token("two", DAY)]);
    let refused = cache.current().await.unwrap();
    let renewed = futures_util::future::join_all((0..100).map(|_| cache.renew(&refused))).await;
    for token in renewed {
        assert_eq!(token.unwrap().unwrap().value.expose_secret(), "two");
    }
    assert_eq!(cache.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn where_every_token_is_refused_ims_is_not_flooded() {
    let cache = cache([token("one", DAY), token("two", DAY), token("three", DAY)]);
    let one = cache.current().await.unwrap();
    let two = cache.renew(&one).await.unwrap().unwrap();
    assert!(cache.renew(&two).await.unwrap().is_none());
    advance(RENEWAL_INTERVAL).await;
    let three = cache.renew(&two).await.unwrap().unwrap();
    assert_eq!(three.value.expose_secret(), "three");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_failed_may_be_tried_again() {
    let cache = cache([token("one", DAY), down(), token("two", DAY)]);
    let one = cache.current().await.unwrap();
    assert_eq!(cache.renew(&one).await.unwrap_err().kind, FailureKind::TokenUnavailable);
    advance(PAUSE_AFTER_FAILURE).await;
    assert_eq!(cache.renew(&one).await.unwrap().unwrap().value.expose_secret(), "two");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_while_it_fetches_leaves_the_next_to_fetch() {
    let cache = cache([token("one", DAY)]);
    assert!(tokio::time::timeout(Duration::from_millis(500), cache.current()).await.is_err());
    assert_eq!(cache.value().await, "one");
    assert_eq!(cache.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expires_at_once_is_used_at_least_for_a_moment() {
    let cache = cache([token("one", Duration::ZERO), token("two", DAY)]);
    assert_eq!(cache.value().await, "one");
    assert_eq!(cache.value().await, "one");
    advance(MIN_LIFETIME).await;
    assert_eq!(cache.value().await, "two");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_stand_in_a_header_is_no_token() {
    let cache = cache([token("one\r\nX-Evil: 1", DAY)]);
    let failure = cache.current().await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::TokenUnavailable);
    assert!(!failure.message.contains("Evil"));
}
