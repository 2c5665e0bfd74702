//! The look-up: finds the connection that a job may have created before.
//!
//! `GET /connections` filters by the value of a property, of which the documentation promises equality for
//! `description` and `connectionSpec.id`, and comparison for `createdAt` (Experience Platform documentation, "Sort and
//! filter responses in the Flow Service API"). A filter only narrows the list: whether a connection carries the job's
//! mark is decided here.

use jiff::{Timestamp, ToSpan};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use url::Url;

use super::{FlowClient, Refused, unreadable, with_headers};
use crate::contract::ids::JobId;
use crate::contract::marker::is_marked;
use crate::flow::http::End;
use crate::flow::lenient::{is_id, object, optional};
use crate::flow::token::Login;
use crate::flow::{Created, Failure, FailureKind, FindRequest, Found};
use crate::metrics::http::Method;

/// The largest page that Flow Service gives ("limit" in its API reference).
const PAGE: u32 = 100;

/// A page has 100 connections of some kB; this is ten times as much.
const MAX_PAGE: usize = 4 * 1024 * 1024;

/// So many pages are read at the most. A look-up by description has one; the other kind has a page for every 100
/// connections of the same source and name.
const MAX_PAGES: u32 = 100;

/// A longer description is not searched for by its text: it has to fit into an address.
const MAX_FILTER: usize = 1000;

/// What clocks may differ by, in minutes.
const SKEW: i32 = 10;

/// A page of the list.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
    #[serde(default, rename = "_links")]
    links: Value,
}

/// Of a connection nothing else is read: its `auth` may hold credentials.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[serde(default, deserialize_with = "optional")]
    id: Option<String>,
    #[serde(default, deserialize_with = "optional")]
    etag: Option<String>,
    #[serde(default, deserialize_with = "optional")]
    description: Option<String>,
    /// Unix time in milliseconds.
    #[serde(default, deserialize_with = "optional")]
    created_at: Option<f64>,
}

/// A connection with the job's mark.
#[derive(Debug, PartialEq)]
struct Marked {
    id: String,
    etag: Option<String>,
    /// Unix time in milliseconds; infinite if it is not known.
    created_at: f64,
}

impl FlowClient {
    /// Reads every page of the list, and gives the oldest connection with the job's mark.
    pub(super) async fn search(&self, wanted: &FindRequest, login: &Login) -> Result<Option<Found>, Refused> {
        let mut query = first_query(wanted);
        let mut marked = Vec::new();
        for _ in 0..MAX_PAGES {
            let (found, next) = self.page(&query, wanted, login).await?;
            marked.extend(found);
            match next {
                None => return Ok(oldest(marked)),
                Some(next) if query_of(&next) == query => break,
                Some(next) => query = query_of(&next),
            }
        }
        let failure = Failure::new(
            FailureKind::Unreadable,
            format!("the look-up did not end within {MAX_PAGES} pages"),
        );
        Err(Refused { failure, bad_token: false })
    }

    async fn page(
        &self,
        query: &str,
        wanted: &FindRequest,
        login: &Login,
    ) -> Result<(Vec<Marked>, Option<String>), Refused> {
        let mut url: Url = self.connections.clone();
        url.set_query(Some(query));
        let get = with_headers(self.http.get(url), &wanted.ims_org_id, &wanted.sandbox_name, login)?;
        let sent = &wanted.body.0;
        let answer = self.call(Method::Get, get, MAX_PAGE, sent, login).await?;
        let page = match answer.end {
            End::Whole => read_page(&answer.body, &wanted.job_id),
            End::TooLong(_) | End::Cut(_) => None,
        };
        page.ok_or_else(|| Refused {
            failure: unreadable(&answer, "which is no list of connections", sent, login),
            bad_token: false,
        })
    }
}

/// The connections of a page that carry the job's mark, and the link to the next page. `None` if it is no page; or if it shows
/// none, and has something that cannot be read: then nobody knows whether there is one.
fn read_page(body: &[u8], job_id: &JobId) -> Option<(Vec<Marked>, Option<String>)> {
    let Page { items, links } = object(body)?;
    let (mut marked, mut is_odd) = (Vec::new(), false);
    for item in items {
        match object(item.get().as_bytes()) {
            Some(Item { id, etag, description, created_at }) => {
                if description.is_some_and(|text| is_marked(&text, job_id)) {
                    let created_at = created_at.unwrap_or(f64::INFINITY);
                    match id.filter(|id| is_id(id)) {
                        Some(id) => marked.push(Marked { id, etag, created_at }),
                        None => is_odd = true,
                    }
                }
            }
            None => is_odd |= !is_nothing(item.get()),
        }
    }
    let next = next_link(&links).unwrap_or_else(|Unreadable| {
        is_odd = true;
        None
    });
    (!is_odd || !marked.is_empty()).then_some((marked, next))
}

/// There is something where a link may be, and it is none.
struct Unreadable;

/// The link to the next page, if there is one.
fn next_link(links: &Value) -> Result<Option<String>, Unreadable> {
    let member = |value: &Value, name: &str| match value {
        Value::Object(members) => Ok(members.get(name).cloned().unwrap_or_default()),
        other if is_nothing(&other.to_string()) => Ok(Value::Null),
        _ => Err(Unreadable),
    };
    match member(&member(links, "next")?, "href")? {
        Value::String(href) if !href.is_empty() => Ok(Some(href)),
        other if is_nothing(&other.to_string()) => Ok(None),
        _ => Err(Unreadable),
    }
}

/// JSON that can hold no connection and no link.
fn is_nothing(json: &str) -> bool {
    let is_bare =
        |json: &str| json.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    is_bare(json) || ["[]", "{}", "\"\""].contains(&json)
}

/// By the whole description where that can be said in a filter; else by source, name and age, as far as they can.
fn first_query(wanted: &FindRequest) -> String {
    let value = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    if fits_a_filter(&wanted.description) {
        return format!("property=description=={}&limit={PAGE}", value(&wanted.description));
    }
    let mut source = format!("property=connectionSpec.id=={}", value(&wanted.connection_spec_id));
    if fits_a_filter(&wanted.name) {
        source = format!("{source}&property=name=={}", value(&wanted.name));
    }
    let since = wanted.since.and_then(|since| since.checked_sub(SKEW.minutes()).ok());
    match since.map(Timestamp::as_millisecond) {
        Some(since) => format!("{source}&property=createdAt%3E={since}&limit={PAGE}"),
        None => format!("{source}&limit={PAGE}"),
    }
}

/// A comma separates alternatives, quotes may enclose a value, and the rest are operators; there is no way documented to
/// escape any of them.
fn fits_a_filter(text: &str) -> bool {
    const SPECIAL: &[char] = &[',', '"', '\'', '\\', '=', '<', '>', '!', '~'];
    let plain = |character: char| !SPECIAL.contains(&character) && !character.is_control();
    text.len() <= MAX_FILTER && text.chars().all(plain) && text.trim() == text
}

/// The link to the next page is `/connections?continuationToken=…`. Only its query is used: the rest is known, and must
/// not lead a token elsewhere.
fn query_of(href: &str) -> String {
    href.split_once('?').map_or_else(String::new, |(_, query)| query.to_owned())
}

fn oldest(mut marked: Vec<Marked>) -> Option<Found> {
    marked.sort_by(|one, other| {
        one.created_at.total_cmp(&other.created_at).then_with(|| one.id.cmp(&other.id))
    });
    let mut marked = marked.into_iter();
    let Marked { id, etag, .. } = marked.next()?;
    Some(Found { connection: Created { id, etag }, duplicates: marked.map(|one| one.id).collect() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::hash_map("[a-z]{0,4}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_marked_connection_is_seen_whatever_stands_beside_it(
            (etag, created_at, links) in (any_json(), any_json(), any_json()),
            others in proptest::collection::vec(any_json(), 0..4),
        ) {
            let job = JobId::parse("a-1").unwrap();
            let ours = json!({
                "id": "c-1", "etag": etag, "createdAt": created_at, "description": "d [job a-1]"
            });
            let mut items = others;
            items.insert(items.len() / 2, ours);
            let body = json!({ "items": items, "_links": links }).to_string();
            let (marked, _) = read_page(body.as_bytes(), &job).unwrap();
            prop_assert_eq!(marked.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["c-1"]);
        }
    }
}
