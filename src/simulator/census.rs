//! Counts how many jobs the created connections stand for, and which were created more than once.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasher;

use serde_json::{Map, Value, json};

/// Duplicates beyond this many are counted, and no longer named.
const MAX_NAMED: usize = 10_000;

/// What has been created, by job. A delete takes nothing back: the second connection was made all the same.
#[derive(Debug, Default)]
pub(super) struct Census {
    hasher: RandomState,
    /// Hashes of markers and names: 64 bits are enough to tell millions apart, and small.
    seen: HashSet<u64>,
    created: u64,
    distinct: u64,
    distinct_markers: u64,
    extra: u64,
    by_marker: BTreeMap<String, u64>,
    by_name: BTreeMap<String, u64>,
}

/// What tells one job's connection from another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Identity<'a> {
    /// The job id at the end of the description.
    Marker(&'a str),
    /// The connection's name, for want of a marker.
    Name(&'a str),
}

impl<'a> Identity<'a> {
    pub(super) fn of(name: Option<&'a str>, description: Option<&'a str>) -> Self {
        description.and_then(marker).map_or(Self::Name(name.unwrap_or("")), Self::Marker)
    }
}

/// The job id in ` [job <id>]` at the end of a description.
fn marker(description: &str) -> Option<&str> {
    let (before, marker) = description.trim_end().strip_suffix(']')?.rsplit_once("[job ")?;
    ((before.is_empty() || before.ends_with(' ')) && !marker.is_empty()).then_some(marker)
}

impl Census {
    pub(super) fn add(&mut self, identity: Identity<'_>) {
        self.created += 1;
        if self.seen.insert(self.hasher.hash_one(identity)) {
            self.distinct += 1;
            self.distinct_markers += u64::from(matches!(identity, Identity::Marker(_)));
            return;
        }
        self.extra += 1;
        let (named, key) = match identity {
            Identity::Marker(marker) => (&mut self.by_marker, marker),
            Identity::Name(name) => (&mut self.by_name, name),
        };
        if let Some(count) = named.get_mut(key) {
            *count += 1;
        } else if named.len() < MAX_NAMED {
            named.insert(key.to_owned(), 2);
        }
    }

    /// The oldest connection is no longer kept: a repeat of it will look like the first.
    pub(super) fn forget(&mut self, identity: Identity<'_>) {
        let hash = self.hasher.hash_one(identity);
        self.seen.remove(&hash);
    }

    pub(super) fn add_to(&self, report: &mut Map<String, Value>) {
        report.insert("created".to_owned(), self.created.into());
        report.insert("distinct".to_owned(), self.distinct.into());
        report.insert("distinctMarkers".to_owned(), self.distinct_markers.into());
        report.insert(
            "duplicates".to_owned(),
            json!({ "extra": self.extra, "byMarker": self.by_marker, "byName": self.by_name }),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_stands_at_the_end_of_the_description() {
        assert_eq!(marker("for HubSpot [job a-1]"), Some("a-1"));
        assert_eq!(marker("[job a-1]"), Some("a-1"));
        assert_eq!(marker("x [job old] [job new]"), Some("new"));
        for none in ["", "for HubSpot", "[job ]", "x[job a]", "[job a] x", "x [job a"] {
            assert_eq!(marker(none), None, "{none}");
        }
    }
}
