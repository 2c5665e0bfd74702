//! A JSON object as it stands in the text: keys in order, values untouched, no key twice.
//!
//! Values stay raw so that `auth.params` reaches Flow Service exactly as the sender wrote it: a number with thirty
//! digits does not become a float on the way.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::problem::{Problems, shown};

/// Deepest nesting that is read, counted from the top of the message. No known source needs more than four.
pub(super) const MAX_DEPTH: usize = 32;

/// The kind of a JSON value, for error messages: told by its first byte.
pub(crate) fn kind(raw: &RawValue) -> &'static str {
    match raw.get().bytes().next() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// Where a value stands, such as `connection.auth.scopes[2]`. Put into words only for a problem.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Path<'a> {
    /// A place that the contract names; empty for the message as a whole.
    Known(&'static str),
    /// The member of an object, and its key.
    Member(&'a Path<'a>, &'a str),
    /// The item of an array, and its index.
    Item(&'a Path<'a>, usize),
}

impl Display for Path<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(path) => f.write_str(path),
            Self::Member(Path::Known(""), key) => f.write_str(&shown(key)),
            Self::Member(object, key) => write!(f, "{object}.{}", shown(key)),
            Self::Item(array, index) => write!(f, "{array}[{index}]"),
        }
    }
}

/// The members of one object.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    path: Path<'a>,
    members: Vec<(Text<'a>, &'a RawValue)>,
}

/// A string: a part of the message, unless it has escapes.
#[derive(Debug, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Vec<(Text<'de>, &'de RawValue)>;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
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
    /// Reads a whole message; if it is no object, or names a key twice, says so and gives `None`.
    pub(crate) fn read_message(text: &'a str, problems: &mut Problems) -> Option<Self> {
        let path = Path::Known("");
        if text.trim_ascii_start().starts_with('{') {
            return Self::read_text(text, path, problems);
        }
        match serde_json::from_str(text) {
            Ok(raw) => Self::read(raw, path, problems),
            Err(error) => {
                problems.add("", format!("invalid JSON: {error}"));
                None
            }
        }
    }

    /// Reads the object at `path`; if it is none, or names a key twice, says so and gives `None`.
    pub(crate) fn read(raw: &'a RawValue, path: Path<'a>, problems: &mut Problems) -> Option<Self> {
        if kind(raw) != "an object" {
            problems.add(path, format!("{}, expected an object", kind(raw)));
            return None;
        }
        Self::read_text(raw.get(), path, problems)
    }

    fn read_text(text: &'a str, path: Path<'a>, problems: &mut Problems) -> Option<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let members = deserializer.deserialize_map(MembersVisitor);
        match members.and_then(|members| deserializer.end().map(|()| members)) {
            Ok(members) => {
                let object = Self { path, members };
                object.has_no_key_twice(problems).then_some(object)
            }
            Err(error) => {
                problems.add(path, format!("invalid JSON: {error}"));
                None
            }
        }
    }

    fn has_no_key_twice(&self, problems: &mut Problems) -> bool {
        let mut keys: Vec<&str> = self.members.iter().map(|(key, _)| key.0.as_ref()).collect();
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

    /// The object as text, with one member replaced by another.
    pub(super) fn with(&self, key: &str, (new_key, value): (&str, &str)) -> String {
        let kept = self.members.iter().filter(|(name, _)| name.0 != new_key || new_key == key);
        let members = kept.map(|(name, raw)| {
            let (name, value) = if name.0 == key { (new_key, value) } else { (name.0.as_ref(), raw.get()) };
            format!("{}:{value}", Value::from(name))
        });
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    }

    /// The full path of a member, for a problem.
    pub(crate) fn path_of<'p>(&'p self, key: &'p str) -> Path<'p> {
        Path::Member(&self.path, key)
    }

    /// The members that are not among `known`.
    pub(crate) fn others(&self, known: &[&str]) -> impl Iterator<Item = (&str, &'a RawValue)> {
        let members = self.members.iter().map(|(key, value)| (key.0.as_ref(), *value));
        members.filter(move |(key, _)| !known.contains(key))
    }

    /// Checks the members that are not among `known`, all the way down; `depth` is how deep they stand in the message.
    pub(super) fn check_others(&self, known: &[&str], depth: usize, problems: &mut Problems) {
        for (key, value) in self.others(known) {
            check_free(value, Path::Member(&self.path, key), depth, problems);
        }
    }

    /// Refuses every member that is not among `known`, and guesses what was meant.
    pub(crate) fn refuse_others(&self, known: &[&str], problems: &mut Problems) {
        for (key, _) in self.others(known) {
            let what = match nearest(key, known) {
                Some(meant) => format!("unknown field, did you mean {meant}?"),
                None => format!("unknown field, expected one of {}", known.join(", ")),
            };
            problems.add(self.path_of(key), what);
        }
    }

    /// A member, if it is there and not null.
    pub(crate) fn get(&self, key: &str) -> Option<&'a RawValue> {
        let (_, raw) = self.members.iter().find(|(name, _)| name.0 == key)?;
        (kind(raw) != "null").then_some(*raw)
    }

    /// Refuses a member that is null. For one that decides where a connection goes: a sender that means nothing by it
    /// leaves it out, and null is what a template writes that has lost its value.
    pub(super) fn refuse_null(&self, key: &str, problems: &mut Problems) {
        if self.members.iter().any(|(name, raw)| name.0 == key && kind(raw) == "null") {
            problems
                .add(self.path_of(key), "null, expected a name, or no such field for the worker's default");
        }
    }

    /// A member that must be there.
    pub(crate) fn required(&self, key: &str, problems: &mut Problems) -> Option<&'a RawValue> {
        let raw = self.get(key);
        if raw.is_none() {
            problems.add(self.path_of(key), "missing");
        }
        raw
    }

    /// A member that is a string, if it is there.
    pub(super) fn string(&self, key: &str, problems: &mut Problems) -> Option<Cow<'a, str>> {
        let raw = self.get(key)?;
        let text = text(raw);
        if let Err(what) = &text {
            problems.add(self.path_of(key), what.clone());
        }
        text.ok()
    }

    /// A member that must be there and be a string with something in it.
    pub(crate) fn required_string(&self, key: &str, problems: &mut Problems) -> Option<String> {
        self.required(key, problems)?;
        let text = self.string(key, problems)?;
        if text.trim().is_empty() {
            problems.add(self.path_of(key), "empty, expected some text");
            return None;
        }
        Some(text.into_owned())
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

fn text(raw: &RawValue) -> Result<Cow<'_, str>, String> {
    if kind(raw) != "a string" {
        return Err(format!("{}, expected a string", kind(raw)));
    }
    if let Some(plain) = plain(raw) {
        return Ok(Cow::Borrowed(plain));
    }
    let text: Result<Text<'_>, _> = serde_json::from_str(raw.get());
    text.map(|text| text.0).map_err(|_| "a string with an invalid escape, expected text".to_owned())
}

/// What stands between the quotes of a string without escapes: nothing in there could be wrong.
fn plain(raw: &RawValue) -> Option<&str> {
    let text = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    (!text.contains('\\')).then_some(text)
}

/// The known name that an unknown one was probably meant to be: at most two slips away, upper or lower case aside.
pub(super) fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let key = shown(key).to_lowercase();
    known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&key, &name.to_lowercase()), *name))
        .filter(|(distance, _)| *distance <= 2)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Checks a free value all the way down: no key twice, no broken text, no deeper than [`MAX_DEPTH`].
pub(super) fn check_free(raw: &RawValue, path: Path<'_>, depth: usize, problems: &mut Problems) {
    if depth > MAX_DEPTH {
        problems.add(path, format!("nested too deep, expected at most {MAX_DEPTH} levels"));
        return;
    }
    match kind(raw) {
        "an object" => {
            let Some(object) = Object::read(raw, path, problems) else { return };
            object.check_others(&[], depth + 1, problems);
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

fn check_array(raw: &RawValue, path: Path<'_>, depth: usize, problems: &mut Problems) {
    match serde_json::from_str::<Vec<&RawValue>>(raw.get()) {
        Ok(items) => {
            for (index, item) in items.iter().enumerate() {
                check_free(item, Path::Item(&path, index), depth + 1, problems);
            }
        }
        Err(error) => problems.add(path, format!("invalid JSON: {error}")),
    }
}
