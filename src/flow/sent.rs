//! Finds the credentials in a request body that was sent.
//!
//! A tree of its own rather than [`serde_json::Value`], because that forgets all but the last of the keys that are
//! written twice: every one of them was sent, so every one can be echoed.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Below this many digits a number is a port or a limit, not a password.
const MIN_DIGITS: usize = 6;

/// JSON as it was sent, repeated keys included.
pub(super) enum Node {
    /// A string, or a number with its digits.
    Text(String),
    /// An array.
    List(Vec<Node>),
    /// An object.
    Object(Vec<(String, Node)>),
    /// `null`, a boolean or a short number: nothing to hide.
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
    /// Every text in here. JSON that nests too deep to be walked was refused by the parser (128 levels).
    pub(super) fn texts<'a>(&'a self, found: &mut Vec<&'a str>) {
        match self {
            Self::Text(text) => found.push(text),
            Self::List(items) => items.iter().for_each(|item| item.texts(found)),
            Self::Object(fields) => fields.iter().for_each(|(_, field)| field.texts(found)),
            Self::Bare => {}
        }
    }

    fn number(number: impl fmt::Display) -> Self {
        let text = number.to_string();
        if text.len() >= MIN_DIGITS { Self::Text(text) } else { Self::Bare }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Bare)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Bare)
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::number(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::number(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Node, A::Error> {
        let mut object = Vec::new();
        while let Some(field) = fields.next_entry()? {
            object.push(field);
        }
        Ok(Node::Object(object))
    }
}
