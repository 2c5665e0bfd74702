//! Connection specs as Flow Service publishes them, remembered for a while: one job asks, and the others wait for it.
//!
//! Nobody needs them: where a spec cannot be had, the catalogue has to do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;
use uuid::Uuid;

use super::schema::{Schema, Unusable};
use crate::flow::AuthSpec;

/// Specs that are remembered: more than there are sources in the catalogue.
const REMEMBERED: usize = 64;

/// Adobe changes a spec now and then; nobody expects that to be noticed at once.
const FOR: Duration = Duration::from_secs(60 * 60);

/// A spec that could not be had is not asked for again for so long: jobs must not all wait for a service that is ill.
const PAUSE: Duration = Duration::from_secs(60);

/// So many kinds of authentication of a spec are read; no known source has more than three.
const KINDS: usize = 16;

/// What a spec says of authentication.
#[derive(Debug)]
pub(super) struct Spec {
    kinds: Vec<(String, Result<Schema, Unusable>)>,
}

impl Spec {
    pub(super) fn new(specs: Vec<AuthSpec>) -> Self {
        let kinds = specs.into_iter().take(KINDS);
        Self { kinds: kinds.map(|AuthSpec { name, schema }| (name, Schema::compile(schema))).collect() }
    }

    /// The kind of authentication with this name; nothing if the spec has none.
    pub(super) fn kind(&self, name: &str) -> Option<&Result<Schema, Unusable>> {
        self.kinds.iter().find(|(known, _)| known == name).map(|(_, schema)| schema)
    }

    /// The names that it has.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.kinds.iter().map(|(name, _)| name.as_str())
    }

    /// The first kind whose schema is of no use, and why.
    pub(super) fn unusable(&self) -> Option<(&str, Unusable)> {
        self.kinds.iter().find_map(|(name, schema)| Some((name.as_str(), *schema.as_ref().err()?)))
    }
}

/// The specs that were asked for last.
#[derive(Debug, Default)]
pub(super) struct Specs {
    held: Mutex<HashMap<Uuid, Arc<Entry>>>,
}

/// A spec that is being fetched, or was.
#[derive(Debug)]
struct Entry {
    since: Instant,
    fetched: OnceCell<Fetched>,
}

#[derive(Debug)]
struct Fetched {
    spec: Option<Arc<Spec>>,
    until: Instant,
}

impl Specs {
    /// A spec; nothing if it cannot be had. Safe to drop half-way: then somebody else who waits fetches it.
    pub(super) async fn get(&self, id: Uuid, fetch: impl Future<Output = Option<Spec>>) -> Option<Arc<Spec>> {
        let entry = self.entry(id);
        let fetched = entry.fetched.get_or_init(async || {
            let spec = fetch.await.map(Arc::new);
            let until = Instant::now() + if spec.is_some() { FOR } else { PAUSE };
            Fetched { spec, until }
        });
        fetched.await.spec.clone()
    }

    fn entry(&self, id: Uuid) -> Arc<Entry> {
        let now = Instant::now();
        let is_good = |entry: &Arc<Entry>| entry.fetched.get().is_none_or(|fetched| now < fetched.until);
        let mut held = self.held();
        if let Some(entry) = held.get(&id).filter(|entry| is_good(entry)) {
            return Arc::clone(entry);
        }
        if held.len() >= REMEMBERED
            && let Some(oldest) = held.iter().min_by_key(|(_, entry)| entry.since).map(|(id, _)| *id)
        {
            held.remove(&oldest);
        }
        let entry = Arc::new(Entry { since: now, fetched: OnceCell::new() });
        held.insert(id, Arc::clone(&entry));
        entry
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Entry>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use serde_json::json;

    use super::*;

    fn spec() -> Spec {
        Spec::new(vec![AuthSpec { name: "Basic".to_owned(), schema: json!({}) }])
    }

    /// Fetches that are counted, and take a second.
    struct Fetches(Cell<u32>);

    impl Fetches {
        async fn next(&self, spec: Option<Spec>) -> Option<Spec> {
            self.0.set(self.0.get() + 1);
            tokio::time::sleep(Duration::from_secs(1)).await;
            spec
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_fetches_and_the_others_wait() {
        let (specs, fetches, id) = (Specs::default(), Fetches(Cell::new(0)), Uuid::from_u128(1));
        let (one, other) = tokio::join!(
            specs.get(id, fetches.next(Some(spec()))),
            specs.get(id, fetches.next(Some(spec())))
        );
        assert!(Arc::ptr_eq(&one.unwrap(), &other.unwrap()));
        assert_eq!(fetches.0.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_is_given_up_is_taken_over() {
        let (specs, fetches, id) = (Specs::default(), Fetches(Cell::new(0)), Uuid::from_u128(1));
        let hasty =
            tokio::time::timeout(Duration::from_millis(500), specs.get(id, fetches.next(Some(spec()))));
        let (hasty, patient) = tokio::join!(hasty, specs.get(id, fetches.next(Some(spec()))));
        assert!(hasty.is_err() && patient.is_some());
        assert_eq!(fetches.0.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_is_asked_for_again_after_its_time() {
        let (specs, fetches) = (Specs::default(), Fetches(Cell::new(0)));
        for (id, found, time) in [(1, true, FOR), (2, false, PAUSE)] {
            fetches.0.set(0);
            let ask = async || {
                let known = found.then(spec);
                specs.get(Uuid::from_u128(id), fetches.next(known)).await.is_some()
            };
            assert_eq!(ask().await, found);
            tokio::time::advance(time / 2).await;
            assert_eq!((ask().await, fetches.0.get()), (found, 1));
            tokio::time::advance(time / 2).await;
            assert_eq!((ask().await, fetches.0.get()), (found, 2));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_is_forgotten_for_a_new_one() {
        let (specs, fetches) = (Specs::default(), Fetches(Cell::new(0)));
        for id in 0..1_000 {
            specs.get(Uuid::from_u128(id), fetches.next(None)).await;
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(specs.held().len() <= REMEMBERED);
        }
        assert_eq!(fetches.0.get(), 1_000);
        specs.get(Uuid::from_u128(999), fetches.next(None)).await;
        assert_eq!(fetches.0.get(), 1_000);
    }
}
