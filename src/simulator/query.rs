//! The query parameters of Flow Service's lists: filters, order, pages. Knows nothing of what is listed.
//!
//! Documented codes are used for documented mistakes; for the others the nearest one.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;
use url::form_urlencoded;

/// The largest page that Flow Service gives.
const MAX_LIMIT: usize = 100;
/// The page size if none is asked for. Flow Service's own is not documented.
const DEFAULT_LIMIT: usize = 20;

/// Something that can be filtered and sorted by the paths of its fields.
pub(super) trait Fields {
    /// The field at a dotted path, as text.
    fn field(&self, path: &str) -> Option<Cow<'_, str>>;
}

impl Fields for Value {
    fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        let value = path.split('.').try_fold(self, |value, key| value.get(key))?;
        match value {
            Self::String(text) => Some(Cow::Borrowed(text)),
            Self::Null => None,
            other => Some(other.to_string().into()),
        }
    }
}

/// Why a query is refused: always with status 400.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) detail: String,
}

fn refuse<T>(code: &'static str, detail: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { code, detail: detail.into() })
}

/// What a list is asked for.
#[derive(Debug, Default)]
pub(super) struct ListQuery {
    filters: Vec<Filter>,
    order: Vec<Order>,
    limit: Option<usize>,
    pub(super) count: bool,
    after: Option<u64>,
    /// The parameters but for the page, so that a continuation token is all that the next page needs.
    text: String,
}

#[derive(Debug, PartialEq, Eq)]
struct Filter {
    path: String,
    operator: Operator,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
}

#[derive(Debug)]
struct Order {
    path: String,
    descending: bool,
}

impl ListQuery {
    pub(super) fn parse(query: &str) -> Result<Self, Refusal> {
        let mut parsed = Self::default();
        let mut pairs: Vec<(String, String)> =
            form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        if let Some(at) = pairs.iter().position(|(key, _)| key == "continuationToken") {
            let (_, token) = pairs.swap_remove(at);
            let (after, rest) = token.split_once('.').unwrap_or((&token, ""));
            let Ok(after) = after.parse() else {
                return refuse("1451-400", "The continuationToken is not valid.");
            };
            parsed.after = Some(after);
            let given: Vec<String> = pairs.iter().map(|(key, _)| key.clone()).collect();
            let kept = form_urlencoded::parse(rest.as_bytes()).into_owned();
            pairs.extend(kept.filter(|(key, _)| !given.contains(key)));
        }
        for (key, value) in &pairs {
            parsed.add(key, value)?;
        }
        if parsed.count && parsed.limit.is_some() {
            return refuse("1401-400", "The query parameters count and limit cannot be used together.");
        }
        parsed.text = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
        Ok(parsed)
    }

    fn add(&mut self, key: &str, value: &str) -> Result<(), Refusal> {
        match key {
            "property" => self.filters.push(Filter::parse(value)?),
            "orderby" => {
                for field in value.split(',') {
                    self.order.push(Order::parse(field)?);
                }
            }
            "limit" => match value.parse() {
                Ok(limit) if limit > 0 => self.limit = Some(MAX_LIMIT.min(limit)),
                _ => return refuse("1451-400", "The query parameter limit is not a positive number."),
            },
            "count" => self.count = value == "true",
            other => return refuse("1451-400", format!("The query parameter {other} is not supported.")),
        }
        Ok(())
    }

    pub(super) fn matches(&self, item: &impl Fields) -> bool {
        self.filters.iter().all(|filter| filter.matches(item))
    }

    /// The value that a field must be equal to, if it is a single one.
    pub(super) fn equal_to(&self, path: &str) -> Option<&str> {
        let filter = self.filters.iter().find(|filter| {
            filter.path == path && filter.operator == Operator::Equal && filter.values.len() == 1
        });
        filter.and_then(|filter| filter.values.first()).map(String::as_str)
    }

    /// One page of the numbered items, which come newest first, and the link to the next page.
    ///
    /// In that order a page starts after an item, so that new items do not shift it; in an order of the client's, it
    /// starts after so many items.
    pub(super) fn page<T: Fields>(&self, items: impl Iterator<Item = (u64, T)>) -> (Vec<T>, Option<String>) {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        let mut page: Vec<(u64, T)> = if self.order.is_empty() {
            let left = items.filter(|(number, _)| self.after.is_none_or(|after| *number < after));
            left.take(limit + 1).collect()
        } else {
            let mut all: Vec<(u64, T)> = items.collect();
            all.sort_by(|(_, left), (_, right)| self.compare(left, right));
            let places = (1..).zip(all).map(|(place, (_, item))| (place, item));
            let left = places.skip_while(|(place, _)| self.after.is_some_and(|after| *place <= after));
            left.take(limit + 1).collect()
        };
        let more = page.len() > limit;
        page.truncate(limit);
        let next = page.last().filter(|_| more).map(|(after, _)| self.link(*after));
        (page.into_iter().map(|(_, item)| item).collect(), next)
    }

    fn link(&self, after: u64) -> String {
        let token = format!("{after}.{}", self.text);
        let token: String = form_urlencoded::byte_serialize(token.as_bytes()).collect();
        format!("/connections?continuationToken={token}")
    }

    fn compare(&self, left: &impl Fields, right: &impl Fields) -> Ordering {
        let by = self.order.iter().map(|Order { path, descending }| {
            let ordering = match (left.field(path), right.field(path)) {
                (Some(left), Some(right)) => compare(&left, &right),
                (left, right) => left.is_some().cmp(&right.is_some()),
            };
            if *descending { ordering.reverse() } else { ordering }
        });
        by.fold(Ordering::Equal, Ordering::then)
    }
}

/// Numbers as numbers, anything else as text.
fn compare(left: &str, right: &str) -> Ordering {
    match (left.parse::<i64>(), right.parse::<i64>()) {
        (Ok(left), Ok(right)) => left.cmp(&right),
        _ => left.cmp(right),
    }
}

impl Order {
    fn parse(field: &str) -> Result<Self, Refusal> {
        // A plus sign that was not escaped arrives as a space.
        let (path, descending) = match field.strip_prefix('-') {
            Some(path) => (path, true),
            None => (field.strip_prefix(['+', ' ']).unwrap_or(field), false),
        };
        if path.is_empty() {
            return refuse("1433-400", "The orderby field is not valid.");
        }
        if !path.starts_with(|first: char| first.is_ascii_alphabetic()) {
            return refuse("1432-400", format!("The orderby prefix is not valid: {field}"));
        }
        Ok(Self { path: path.to_owned(), descending })
    }
}

impl Filter {
    fn parse(property: &str) -> Result<Self, Refusal> {
        let malformed = || refuse("1448-400", format!("The property filter is not valid: {property}"));
        let Some(at) = property.find(['=', '<', '>', '!', '~']) else { return malformed() };
        let Some((path, rest)) = property.split_at_checked(at) else { return malformed() };
        let operators = [
            ("==", Operator::Equal),
            (">=", Operator::GreaterOrEqual),
            ("<=", Operator::LessOrEqual),
            (">", Operator::Greater),
            ("<", Operator::Less),
        ];
        let found = operators
            .into_iter()
            .find_map(|(sign, operator)| rest.strip_prefix(sign).map(|values| (operator, values)));
        let Some((operator, values)) = found else {
            return match rest {
                _ if rest.starts_with('~') => refuse("1440-400", "The operator ~ is not implemented."),
                _ if rest.starts_with("!>") => refuse("1450-400", "The operator !> is not valid."),
                _ => malformed(),
            };
        };
        let values: Vec<String> = values.split(',').map(|value| value.trim_matches('"').to_owned()).collect();
        if path.is_empty() || (operator != Operator::Equal && values.len() != 1) {
            return malformed();
        }
        let time = matches!(path, "createdAt" | "updatedAt");
        if time && values.iter().any(|value| value.parse::<i64>().is_err()) {
            return refuse("1452-400", format!("The value of {path} must be a time in milliseconds."));
        }
        Ok(Self { path: path.to_owned(), operator, values })
    }

    fn matches(&self, item: &impl Fields) -> bool {
        let Some(field) = item.field(&self.path) else { return false };
        self.values.iter().any(|value| match self.operator {
            Operator::Equal => field == *value,
            Operator::Greater => compare(&field, value).is_gt(),
            Operator::Less => compare(&field, value).is_lt(),
            Operator::GreaterOrEqual => compare(&field, value).is_ge(),
            Operator::LessOrEqual => compare(&field, value).is_le(),
        })
    }
}

impl<T: Fields> Fields for &T {
    fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        (*self).field(path)
    }
}
