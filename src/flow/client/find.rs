//! The look-up: finds the connection that a job may have created before.
//!
//! `GET /connections` filters by the value of a property, of which the documentation promises equality for
//! `description` and `connectionSpec.id`, and comparison for `createdAt` (Experience Platform documentation, "Sort and
//! filter responses in the Flow Service API"). A filter only narrows the list: whether a connection carries the job's
//! mark is decided here.

use jiff::{Timestamp, ToSpan};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use url::Url;

use super::{FlowClient, NOTHING, Refused, unreadable, with_headers};
use crate::contract::marker::is_marked;
use crate::flow::http::{Answer, End};
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

/// A page of the list. Of a connection nothing else is read: its `auth` may hold credentials.
#[derive(Deserialize)]
struct Page {
    items: Vec<Item>,
    #[serde(default, rename = "_links")]
    links: Links,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    id: String,
    etag: Option<String>,
    description: Option<String>,
    /// Unix time in milliseconds.
    #[serde(default)]
    created_at: i64,
}

#[derive(Deserialize, Default)]
struct Links {
    next: Option<Link>,
}

#[derive(Deserialize)]
struct Link {
    href: Option<String>,
}

impl FlowClient {
    /// Reads every page of the list, and gives the oldest connection with the job's mark.
    pub(super) async fn search(&self, wanted: &FindRequest, login: &Login) -> Result<Option<Found>, Refused> {
        let mut query = first_query(wanted);
        let mut marked = Vec::new();
        for _ in 0..MAX_PAGES {
            let page = self.page(&query, wanted, login).await?;
            let is_wanted =
                |item: &Item| item.description.as_deref().is_some_and(|text| is_marked(text, &wanted.job_id));
            marked.extend(page.items.into_iter().filter(is_wanted));
            match page.links.next.and_then(|link| link.href) {
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

    async fn page(&self, query: &str, wanted: &FindRequest, login: &Login) -> Result<Page, Refused> {
        let mut url: Url = self.connections.clone();
        url.set_query(Some(query));
        let get = with_headers(self.http.get(url), &wanted.ims_org_id, &wanted.sandbox_name, login)?;
        let answer = self.call(Method::Get, get, MAX_PAGE, &NOTHING, login).await?;
        page_in(&answer).ok_or_else(|| Refused {
            failure: unreadable(&answer, "which is no list of connections", &NOTHING, login),
            bad_token: false,
        })
    }
}

fn page_in(answer: &Answer) -> Option<Page> {
    match answer.end {
        End::Whole => serde_json::from_slice(&answer.body).ok(),
        End::TooLong(_) | End::Cut(_) => None,
    }
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

fn oldest(mut marked: Vec<Item>) -> Option<Found> {
    marked.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
    let mut marked = marked.into_iter();
    let Item { id, etag, .. } = marked.next()?;
    Some(Found { connection: Created { id, etag }, duplicates: marked.map(|item| item.id).collect() })
}
