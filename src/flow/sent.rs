//! Finds the credentials in a request body that was sent.
//!
//! A tree of its own rather than [`serde_json::Value`], because that forgets all but the last of the keys that are
//! written twice, and how numbers were written: what was sent is what can be echoed.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Number, from_str};

/// Levels of nesting that are read; serde's own parser goes as deep.
const MAX_DEPTH: usize = 128;

/// JSON as it was sent, repeated keys included.
pub(super) enum Node {
    /// A string, or a number as it was written.
    Text(String),
    /// An array; or a number in several spellings.
    List(Vec<Node>),
    /// An object.
    Object(Vec<(String, Node)>),
    /// `null` or a boolean: nothing to hide.
    Bare,
}

/// The credentials in the body of a create: every text under `auth`, but the names of the kind of authentication.
pub(super) fn secrets_in(request: &Node) -> Vec<&str> {
    let mut secrets = Vec::new();
    let Node::Object(fields) = request else { return secrets };
    for (_, auth) in fields.iter().filter(|(key, _)| key == "auth") {
        match auth {
            Node::Object(fields) => fields
                .iter()
                .filter(|(key, _)| key != "specName" && key != "type")
                .for_each(|(_, node)| node.texts(&mut secrets)),
            other => other.texts(&mut secrets),
        }
    }
    secrets
}

impl Node {
    /// Reads JSON; `None` if it is none, or nests too deep.
    pub(super) fn read(json: &str) -> Option<Self> {
        Self::at(json.trim(), MAX_DEPTH)
    }

    fn at(json: &str, depth: usize) -> Option<Self> {
        let depth = depth.checked_sub(1)?;
        let read = |raw: &RawValue| Self::at(raw.get(), depth);
        match json.as_bytes().first()? {
            b'{' => {
                let Fields(fields) = from_str(json).ok()?;
                let fields = fields.into_iter().map(|(name, raw)| Some((name, read(raw)?)));
                Some(Self::Object(fields.collect::<Option<_>>()?))
            }
            b'[' => {
                let items: Vec<&RawValue> = from_str(json).ok()?;
                Some(Self::List(items.into_iter().map(read).collect::<Option<_>>()?))
            }
            b'"' => from_str(json).ok().map(Self::Text),
            b't' | b'f' | b'n' => from_str::<Option<bool>>(json).ok().map(|_| Self::Bare),
            // Whoever has read a number may write it in another way.
            _ => {
                let number = from_str::<Number>(json).ok()?;
                let plain = number.as_f64().map(|number| number.to_string());
                let spellings = [json.to_owned(), number.to_string()].into_iter().chain(plain);
                Some(Self::List(spellings.map(Self::Text).collect()))
            }
        }
    }

    /// Every text in here.
    pub(super) fn texts<'a>(&'a self, found: &mut Vec<&'a str>) {
        match self {
            Self::Text(text) => found.push(text),
            Self::List(items) => items.iter().for_each(|item| item.texts(found)),
            Self::Object(fields) => fields.iter().for_each(|(_, field)| field.texts(found)),
            Self::Bare => {}
        }
    }
}

/// The members of an object, in their order.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Fields<'de>, A::Error> {
        let mut object = Vec::new();
        while let Some(field) = fields.next_entry()? {
            object.push(field);
        }
        Ok(Fields(object))
    }
}
