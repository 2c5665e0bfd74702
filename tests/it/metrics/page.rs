//! A reader of Prometheus' text format 0.0.4 that takes nothing which `promtool check metrics` would refuse.

use std::collections::{BTreeMap, BTreeSet};

/// A page that keeps the format.
#[derive(Debug)]
pub(super) struct Page {
    /// Values by name and labels, as they stand in the page.
    pub(super) samples: BTreeMap<String, f64>,
}

/// One metric with all its series.
#[derive(Debug, Default)]
struct Family {
    name: String,
    kind: String,
    /// Suffix of the name, labels without `le`, the value of `le`, and the sample's value.
    samples: Vec<(String, String, Option<f64>, f64)>,
}

impl Page {
    /// Reads a page; fails the test at the first fault.
    pub(super) fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has no end");
        let mut samples = BTreeMap::new();
        let mut families: Vec<Family> = Vec::new();
        let mut helped = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect(line);
                assert!(!help.trim().is_empty(), "{line}");
                name.clone_into(&mut helped);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect(line);
                assert_eq!(name, helped, "HELP stands before TYPE");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(is_name(name), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                families.push(Family { name: name.to_owned(), kind: kind.to_owned(), ..Family::default() });
            } else {
                let (series, value) = line.rsplit_once(' ').expect(line);
                let value: f64 = value.parse().expect(line);
                families.last_mut().expect("TYPE stands before the samples").add(series, value);
                assert!(samples.insert(series.to_owned(), value).is_none(), "twice: {line}");
            }
        }
        let names: BTreeSet<&str> = families.iter().map(|family| family.name.as_str()).collect();
        assert_eq!(names.len(), families.len(), "a metric's series stand together");
        families.iter().for_each(Family::check);
        Self { samples }
    }

    /// The sum of all series of a metric.
    pub(super) fn sum(&self, name: &str) -> f64 {
        let of_metric = |series: &str| series.split('{').next() == Some(name);
        self.samples.iter().filter(|(series, _)| of_metric(series)).map(|(_, value)| value).sum()
    }
}

impl Family {
    fn add(&mut self, series: &str, value: f64) {
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').expect(series)),
            None => (series, ""),
        };
        let suffix =
            name.strip_prefix(self.name.as_str()).unwrap_or_else(|| panic!("{series} under {}", self.name));
        let mut rest = Vec::new();
        let mut le = None;
        for (key, value) in pairs(labels) {
            assert!(is_name(&key) && !key.starts_with("__") && !key.contains(':'), "{series}");
            if key == "le" && suffix == "_bucket" {
                le = Some(value.parse().expect(series));
            } else {
                rest.push(format!("{key}={value}"));
            }
        }
        self.samples.push((suffix.to_owned(), rest.join(","), le, value));
    }

    fn check(&self) {
        assert!(!self.samples.is_empty(), "{}: no series", self.name);
        if self.kind != "histogram" {
            assert!(self.samples.iter().all(|(suffix, ..)| suffix.is_empty()), "{}", self.name);
            return;
        }
        let sets: BTreeSet<&str> = self.samples.iter().map(|(_, labels, ..)| labels.as_str()).collect();
        for set in sets {
            let of = |wanted: &str| -> Vec<(Option<f64>, f64)> {
                self.samples
                    .iter()
                    .filter(|(suffix, labels, ..)| suffix == wanted && labels == set)
                    .map(|(_, _, le, value)| (*le, *value))
                    .collect()
            };
            let (buckets, counts) = (of("_bucket"), of("_count"));
            let in_order = buckets.is_sorted_by(|(le, value), (next, more)| le < next && value <= more);
            assert!(in_order, "{}{{{set}}}: buckets do not add up: {buckets:?}", self.name);
            assert_eq!(buckets.last(), Some(&(Some(f64::INFINITY), counts[0].1)), "{}{{{set}}}", self.name);
            assert_eq!((counts.len(), of("_sum").len()), (1, 1), "{}{{{set}}}", self.name);
        }
    }
}

/// `a="x",b="y"`; no label of ours holds a quotation mark.
fn pairs(labels: &str) -> Vec<(String, String)> {
    let pair = |text: &str| {
        let (key, value) = text.split_once('=').expect(text);
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).expect(text);
        assert!(!value.contains(['"', '\\', '\n']), "{text}");
        (key.to_owned(), value.to_owned())
    };
    labels.split(',').filter(|text| !text.is_empty()).map(pair).collect()
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

#[test]
fn a_page_that_keeps_the_format_is_read() {
    let page = Page::read(
        "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"1\"} 2\na_total{x=\"2\"} 3\n\
         # HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3.5\nh_count 2\n",
    );
    assert_eq!(page.sum("a_total"), 5.0);
    assert_eq!(page.samples["h_sum"], 3.5);
}

#[test]
fn a_page_that_breaks_the_format_is_refused() {
    for page in [
        "a 1\n",
        "# HELP a A.\n# TYPE a gauge\na 1",
        "# HELP a A.\n# TYPE a gauge\na 1\na 1\n",
        "# HELP a A.\n# TYPE a gauge\nb 1\n",
        "# HELP a A.\n# TYPE a gauge\na x\n",
        "# HELP a A.\n# TYPE a counter\na 1\n",
        "# HELP a A.\n# TYPE a gauge\n",
        "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 2\n",
        "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 2\n",
    ] {
        assert!(std::panic::catch_unwind(|| Page::read(page)).is_err(), "{page}");
    }
}
