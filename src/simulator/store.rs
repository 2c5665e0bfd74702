//! The connections. Knows nothing of HTTP.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::census::{Census, Identity};
use super::item::Connection;

/// Strings that many connections have in common are kept once, up to this many.
const MAX_SHARED: usize = 4_096;

/// Whose connections: nobody sees another's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) org: &'a str,
    pub(super) sandbox: &'a str,
}

/// A connection to be stored.
#[derive(Debug)]
pub(super) struct NewConnection<'a> {
    pub(super) id: Uuid,
    pub(super) created_at: i64,
    /// When it is ready for use.
    pub(super) enabled_at: i64,
    pub(super) client: &'a str,
    pub(super) scope: Scope<'a>,
    pub(super) name: Option<&'a str>,
    pub(super) description: Option<&'a str>,
    pub(super) spec_id: &'static str,
    pub(super) spec_version: &'a str,
    /// JSON, without its secrets.
    pub(super) auth: Option<&'a str>,
    /// What a test of the connection says.
    pub(super) usable: bool,
}

/// The connections, in order of creation.
#[derive(Debug)]
pub(super) struct Store {
    max: usize,
    /// The number of the connection at the front of `connections`.
    first: u64,
    connections: VecDeque<Connection>,
    by_id: HashMap<Uuid, u64>,
    /// The latest connection with such a name or description, by hash: lookups by those must not walk a million.
    latest: HashMap<u64, u64>,
    hasher: RandomState,
    shared: HashSet<Arc<str>>,
    census: Census,
}

/// An indexed text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Text<'a> {
    Name(&'a str),
    Description(&'a str),
}

impl Store {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max: max.max(1),
            first: 0,
            connections: VecDeque::new(),
            by_id: HashMap::new(),
            latest: HashMap::new(),
            hasher: RandomState::new(),
            shared: HashSet::new(),
            census: Census::default(),
        }
    }

    pub(super) fn add(&mut self, new: &NewConnection<'_>) {
        let number = self.first + self.connections.len() as u64;
        self.census.add(Identity::of(new.name, new.description));
        self.by_id.insert(new.id, number);
        let connection = Connection {
            id: new.id,
            created_at: new.created_at,
            enabled_at: new.enabled_at,
            usable: new.usable,
            client: self.share(new.client),
            org: self.share(new.scope.org),
            sandbox: self.share(new.scope.sandbox),
            name: new.name.map(Box::from),
            description: new.description.map(Box::from),
            spec_id: new.spec_id,
            spec_version: self.share(new.spec_version),
            auth: new.auth.map(|auth| self.share(auth)),
            deleted: false,
            same_name: new.name.and_then(|name| self.index(Text::Name(name), number)),
            same_description: new.description.and_then(|text| self.index(Text::Description(text), number)),
        };
        self.connections.push_back(connection);
        if self.connections.len() > self.max {
            self.forget_oldest();
        }
    }

    fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(shared) = self.shared.get(text) {
            return Arc::clone(shared);
        }
        let shared: Arc<str> = text.into();
        if self.shared.len() < MAX_SHARED {
            self.shared.insert(Arc::clone(&shared));
        }
        shared
    }

    fn index(&mut self, text: Text<'_>, number: u64) -> Option<u64> {
        self.latest.insert(self.hasher.hash_one(text), number)
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.connections.pop_front() else { return };
        let number = self.first;
        self.first += 1;
        self.by_id.remove(&oldest.id);
        self.census.forget(Identity::of(oldest.name.as_deref(), oldest.description.as_deref()));
        let texts =
            [oldest.name.as_deref().map(Text::Name), oldest.description.as_deref().map(Text::Description)];
        for text in texts.into_iter().flatten() {
            let hash = self.hasher.hash_one(text);
            if self.latest.get(&hash) == Some(&number) {
                self.latest.remove(&hash);
            }
        }
    }

    pub(super) fn get(&self, id: &str, scope: Scope<'_>) -> Option<&Connection> {
        let number = *self.by_id.get(&Uuid::parse_str(id).ok()?)?;
        self.numbered(number).filter(|connection| connection.is_in(scope))
    }

    pub(super) fn delete(&mut self, id: &str, scope: Scope<'_>) -> bool {
        let Some(id) = self.get(id, scope).map(|connection| connection.id) else { return false };
        let number = self.by_id.remove(&id);
        let at = number.and_then(|number| usize::try_from(number - self.first).ok());
        if let Some(connection) = at.and_then(|at| self.connections.get_mut(at)) {
            connection.deleted = true;
        }
        true
    }

    fn numbered(&self, number: u64) -> Option<&Connection> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.connections.get(at).filter(|connection| !connection.deleted)
    }

    /// The connections of a scope with their numbers, newest first; with `text`, at least all those that have it.
    pub(super) fn newest_first<'a>(
        &'a self,
        scope: Scope<'a>,
        text: Option<Text<'_>>,
    ) -> impl Iterator<Item = (u64, &'a Connection)> {
        let end = self.first + self.connections.len() as u64;
        let mut next = match text {
            Some(text) => self.latest.get(&self.hasher.hash_one(text)).copied(),
            None => end.checked_sub(1),
        };
        let by_name = text.map(|text| matches!(text, Text::Name(_)));
        std::iter::from_fn(move || {
            let number = next.filter(|number| *number >= self.first)?;
            let connection = self.connections.get(usize::try_from(number - self.first).ok()?)?;
            next = match by_name {
                Some(true) => connection.same_name,
                Some(false) => connection.same_description,
                None => number.checked_sub(1),
            };
            Some((number, connection))
        })
        .filter(move |(_, connection)| !connection.deleted && connection.is_in(scope))
    }

    /// Forgets everything.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.max);
    }

    pub(super) fn add_to(&self, report: &mut Map<String, Value>) {
        self.census.add_to(report);
        report.insert("stored".to_owned(), self.by_id.len().into());
    }
}
