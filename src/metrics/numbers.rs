//! All that is counted, to be looked up by name: for whoever shows it to people.

use std::collections::BTreeMap;

use prometheus::proto::{Metric, MetricFamily, MetricType};

use super::PREFIX;

/// Every number at one moment. A histogram is its `…_sum` and its `…_count`.
#[derive(Debug, Default)]
pub struct Numbers(BTreeMap<String, Vec<Series>>);

/// One number and its labels.
#[derive(Debug)]
struct Series {
    labels: Vec<(String, String)>,
    value: f64,
}

impl Numbers {
    pub(super) fn of(families: &[MetricFamily]) -> Self {
        let mut numbers = Self::default();
        for family in families {
            let name = family.name();
            let name = name.strip_prefix(PREFIX).map_or(name, |rest| rest.trim_start_matches('_'));
            for metric in family.get_metric() {
                match family.get_field_type() {
                    MetricType::HISTOGRAM => {
                        let histogram = metric.get_histogram();
                        numbers.add(format!("{name}_sum"), metric, histogram.get_sample_sum());
                        #[expect(clippy::cast_precision_loss, reason = "nobody counts that far")]
                        numbers.add(format!("{name}_count"), metric, histogram.get_sample_count() as f64);
                    }
                    MetricType::COUNTER => {
                        numbers.add(name.to_owned(), metric, metric.get_counter().get_value());
                    }
                    _ => numbers.add(name.to_owned(), metric, metric.get_gauge().get_value()),
                }
            }
        }
        numbers
    }

    fn add(&mut self, name: String, metric: &Metric, value: f64) {
        let labels = metric.get_label().iter();
        let labels = labels.map(|label| (label.name().to_owned(), label.value().to_owned())).collect();
        self.0.entry(name).or_default().push(Series { labels, value });
    }

    /// The sum of all numbers of this name, without the prefix that every name has, and with these labels at least;
    /// 0 if there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |series: &Series, (name, value): &(&str, &str)| {
            series.labels.iter().any(|(known, found)| known == name && found == value)
        };
        let series = self.0.get(name).into_iter().flatten();
        let values =
            series.filter(|series| labels.iter().all(|label| has(series, label))).map(|series| series.value);
        // `sum` of nothing is -0.
        values.fold(0.0, std::ops::Add::add)
    }

    /// The sums of the numbers of this name by the value of one label, in alphabetical order.
    pub fn by(&self, name: &str, label: &str) -> BTreeMap<&str, f64> {
        let mut sums = BTreeMap::new();
        for series in self.0.get(name).into_iter().flatten() {
            if let Some((_, value)) = series.labels.iter().find(|(known, _)| known == label) {
                *sums.entry(value.as_str()).or_default() += series.value;
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Metrics;
    use crate::contract::reply::ErrorCode;
    use crate::metrics::jobs::JobEnd;

    #[test]
    fn numbers_are_found_by_name_and_label() {
        let metrics = Metrics::new().unwrap();
        metrics.jobs.completed(JobEnd::Created, Duration::from_secs(2), 0.0, None);
        metrics.jobs.completed(JobEnd::Failed(ErrorCode::Rejected), Duration::from_secs(1), 0.0, None);
        let numbers = metrics.numbers();
        let sum = |name, labels: &[_]| format!("{}", numbers.sum(name, labels));
        assert_eq!(sum("jobs_completed_total", &[("outcome", "created")]), "1");
        assert_eq!(sum("jobs_completed_total", &[]), "2");
        assert_eq!(sum("job_duration_seconds_sum", &[]), "3");
        assert_eq!(sum("no_such_thing", &[]), "0");
        let by = numbers.by("jobs_completed_total", "outcome");
        assert_eq!((by["rejected"].to_string(), by["expired"].to_string()), ("1".to_owned(), "0".to_owned()));
    }
}
