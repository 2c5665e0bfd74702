//! A JSON object as it stands in the text: keys in order, values untouched, no key twice.
//!
//! Values stay raw so that `auth.params` reaches Flow Service exactly as the sender wrote it: a number with thirty
//! digits does not become a float on the way.

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::problem::{Problems, shown};

/// Deepest nesting that is read, counted from the top of the message. No known source needs more than four.
pub(super) const MAX_DEPTH: usize = 32;

/// The kind of a JSON value, for error messages: told by its first byte.
pub(super) fn kind(raw: &RawValue) -> &'static str {
    match raw.get().bytes().next() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// The members of one object.
#[derive(Debug)]
pub(super) struct Object<'a> {
    path: String,
    members: Vec<(String, &'a RawValue)>,
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

impl<'a> Object<'a> {
    /// Reads the object at `path`; if it is none, or names a key twice, says so and gives `None`.
    pub(super) fn read(raw: &'a RawValue, path: &str, problems: &mut Problems) -> Option<Self> {
        if kind(raw) != "an object" {
            problems.add(path, format!("{}, expected an object", kind(raw)));
            return None;
        }
        let mut deserializer = serde_json::Deserializer::from_str(raw.get());
        match deserializer.deserialize_map(MembersVisitor) {
            Ok(members) => {
                let object = Self { path: path.to_owned(), members };
                object.has_no_key_twice(problems).then_some(object)
            }
            Err(error) => {
                // Only a key that is no valid text is left to be found here: the syntax was checked before.
                problems.add(path, format!("invalid JSON: {error}"));
                None
            }
        }
    }

    fn has_no_key_twice(&self, problems: &mut Problems) -> bool {
        let mut keys: Vec<&str> = self.members.iter().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        let mut unique = true;
        let mut reported = None;
        for (key, next) in keys.iter().zip(keys.iter().skip(1)) {
            if key == next && reported != Some(key) {
                problems.add(self.path_of(key), "given more than once, expected once");
                reported = Some(key);
                unique = false;
            }
        }
        unique
    }

    /// The full path of a member.
    pub(super) fn path_of(&self, key: &str) -> String {
        let key = shown(key);
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }

    /// The members that are not among `known`.
    pub(super) fn others(&self, known: &[&str]) -> impl Iterator<Item = &(String, &'a RawValue)> {
        self.members.iter().filter(move |(key, _)| !known.contains(&key.as_str()))
    }

    /// Refuses every member that is not among `known`, and guesses what was meant.
    pub(super) fn refuse_others(&self, known: &[&str], problems: &mut Problems) {
        for (key, _) in self.others(known) {
            let what = match nearest(key, known) {
                Some(meant) => format!("unknown field, did you mean {meant}?"),
                None => format!("unknown field, expected one of {}", known.join(", ")),
            };
            problems.add(self.path_of(key), what);
        }
    }

    /// A member, if it is there and not null.
    pub(super) fn get(&self, key: &str) -> Option<&'a RawValue> {
        let (_, raw) = self.members.iter().find(|(name, _)| name == key)?;
        (kind(raw) != "null").then_some(*raw)
    }

    /// Refuses a member that is null. For one that decides where a connection goes: a sender that means nothing by it
    /// leaves it out, and null is what a template writes that has lost its value.
    pub(super) fn refuse_null(&self, key: &str, problems: &mut Problems) {
        if self.members.iter().any(|(name, raw)| name == key && kind(raw) == "null") {
            problems
                .add(self.path_of(key), "null, expected a name, or no such field for the worker's default");
        }
    }

    /// A member that must be there.
    pub(super) fn required(&self, key: &str, problems: &mut Problems) -> Option<&'a RawValue> {
        let raw = self.get(key);
        if raw.is_none() {
            problems.add(self.path_of(key), "missing");
        }
        raw
    }

    /// A member that is a string, if it is there.
    pub(super) fn string(&self, key: &str, problems: &mut Problems) -> Option<String> {
        let raw = self.get(key)?;
        let text = text(raw);
        if let Err(what) = &text {
            problems.add(self.path_of(key), what.clone());
        }
        text.ok()
    }

    /// A member that must be there and be a string with something in it.
    pub(super) fn required_string(&self, key: &str, problems: &mut Problems) -> Option<String> {
        self.required(key, problems)?;
        let text = self.string(key, problems)?;
        if text.trim().is_empty() {
            problems.add(self.path_of(key), "empty, expected some text");
            return None;
        }
        Some(text)
    }

    /// A member that is a string and passes `parse`, if it is there.
    pub(super) fn parsed<T>(
        &self,
        key: &str,
        problems: &mut Problems,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.string(key, problems)?;
        parse(&text).map_err(|what| problems.add(self.path_of(key), what)).ok()
    }
}

fn text(raw: &RawValue) -> Result<String, String> {
    if kind(raw) != "a string" {
        return Err(format!("{}, expected a string", kind(raw)));
    }
    serde_json::from_str(raw.get()).map_err(|_| "a string with an invalid escape, expected text".to_owned())
}

/// The known name that an unknown one was probably meant to be: at most two slips away, upper or lower case aside.
fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let key = shown(key).to_lowercase();
    known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&key, &name.to_lowercase()), *name))
        .filter(|(distance, _)| *distance <= 2)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Checks a free value all the way down: no key twice, no broken text, no deeper than [`MAX_DEPTH`].
pub(super) fn check_free(raw: &RawValue, path: &str, depth: usize, problems: &mut Problems) {
    if depth > MAX_DEPTH {
        problems.add(path, format!("nested too deep, expected at most {MAX_DEPTH} levels"));
        return;
    }
    match kind(raw) {
        "an object" => {
            let Some(object) = Object::read(raw, path, problems) else { return };
            for (key, value) in &object.members {
                check_free(value, &object.path_of(key), depth + 1, problems);
            }
        }
        "an array" => check_array(raw, path, depth, problems),
        "a string" => {
            if let Err(what) = text(raw) {
                problems.add(path, what);
            }
        }
        _ => {}
    }
}

fn check_array(raw: &RawValue, path: &str, depth: usize, problems: &mut Problems) {
    match serde_json::from_str::<Vec<&RawValue>>(raw.get()) {
        Ok(items) => {
            for (index, item) in items.iter().enumerate() {
                check_free(item, &format!("{path}[{index}]"), depth + 1, problems);
            }
        }
        Err(error) => problems.add(path, format!("invalid JSON: {error}")),
    }
}
