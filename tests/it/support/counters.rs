//! What some workers have counted together.

/// The metrics pages of all of them.
#[derive(Debug, Default)]
pub(crate) struct Counters(String);

impl Counters {
    /// Adds a worker's page.
    pub(crate) fn add(&mut self, page: &str) {
        self.0.push_str(page);
    }

    /// The sum of all series of a metric whose labels hold all these texts.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is counted is neither")]
    pub(crate) fn sum(&self, metric: &str, labels: &[&str]) -> u64 {
        let name = format!("connection_worker_{metric}");
        let values = self.0.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, given) = series.split_once('{').unwrap_or((series, ""));
            let wanted = found == name && labels.iter().all(|label| given.contains(label));
            wanted.then(|| value.parse::<f64>().expect("a number"))
        });
        values.sum::<f64>() as u64
    }

    /// Messages that the broker has confirmed.
    pub(crate) fn confirmed(&self, kind: &str) -> u64 {
        self.published(kind, "confirmed")
    }

    /// Messages of which nobody knows whether the broker has them.
    pub(crate) fn unconfirmed(&self, kind: &str) -> u64 {
        self.published(kind, "unconfirmed")
    }

    fn published(&self, kind: &str, result: &str) -> u64 {
        let labels = [format!("kind=\"{kind}\""), format!("result=\"{result}\"")];
        self.sum("messages_published_total", &labels.each_ref().map(String::as_str))
    }

    /// Deliveries that workers are done with.
    pub(crate) fn ended(&self) -> u64 {
        self.sum("jobs_completed_total", &[]) + self.sum("jobs_postponed_total", &[])
    }

    /// Jobs that were answered.
    pub(crate) fn answered(&self) -> u64 {
        self.sum("jobs_completed_total", &[]) - self.sum("jobs_completed_total", &[r#"outcome="parked""#])
    }

    /// Deliveries that were left to be delivered again, answered or not.
    pub(crate) fn abandoned(&self) -> u64 {
        self.sum("jobs_postponed_total", &[r#"outcome="abandoned""#])
    }

    /// Calls to Flow Service with this end; with any, if it is empty.
    pub(crate) fn calls(&self, status: &str) -> u64 {
        let status = if status.is_empty() { "status=".to_owned() } else { format!("status=\"{status}\"") };
        self.sum("http_requests_total", &["upstream=\"flow\"", &status])
    }

    /// Creates of which nobody knows what they did.
    pub(crate) fn unanswered(&self) -> u64 {
        self.sum("ambiguous_outcomes_total", &[]) + self.calls("no_answer") + self.calls("timeout")
    }
}

#[test]
fn series_are_added_by_name_and_labels() {
    let mut counters = Counters::default();
    counters.add("# TYPE connection_worker_a_total counter\nconnection_worker_a_total{x=\"1\",y=\"2\"} 3\n");
    counters.add("connection_worker_a_total{x=\"1\",y=\"3\"} 4\nconnection_worker_ab_total 5\n");
    assert_eq!(counters.sum("a_total", &[]), 7);
    assert_eq!(counters.sum("a_total", &["x=\"1\"", "y=\"3\""]), 4);
    assert_eq!(counters.sum("ab_total", &[]), 5);
}
