//! What some workers have counted together.

/// The metrics pages of all of them.
#[derive(Debug, Default)]
pub(super) struct Counters(String);

/// Ends of a delivery after which nobody was answered.
const UNANSWERED: [&str; 4] = ["parked", "deferred", "handed_back", "abandoned"];

impl Counters {
    /// Adds a worker's page.
    pub(super) fn add(&mut self, page: &str) {
        self.0.push_str(page);
    }

    /// The sum of all series of a metric whose labels hold all these texts.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is counted is neither")]
    pub(super) fn sum(&self, metric: &str, labels: &[&str]) -> u64 {
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
    pub(super) fn confirmed(&self, kind: &str) -> u64 {
        self.published(kind, "confirmed")
    }

    /// Messages of which nobody knows whether the broker has them.
    pub(super) fn unconfirmed(&self, kind: &str) -> u64 {
        self.published(kind, "unconfirmed")
    }

    fn published(&self, kind: &str, result: &str) -> u64 {
        let labels = [format!("kind=\"{kind}\""), format!("result=\"{result}\"")];
        self.sum("messages_published_total", &labels.each_ref().map(String::as_str))
    }

    /// Deliveries that workers are done with.
    pub(super) fn completed(&self) -> u64 {
        self.sum("jobs_completed_total", &[])
    }

    /// Deliveries that were answered.
    pub(super) fn answered(&self) -> u64 {
        self.completed() - UNANSWERED.map(|end| self.ended(end)).iter().sum::<u64>()
    }

    /// Deliveries that were left to be delivered again, answered or not.
    pub(super) fn abandoned(&self) -> u64 {
        self.ended("abandoned")
    }

    fn ended(&self, outcome: &str) -> u64 {
        self.sum("jobs_completed_total", &[&format!("outcome=\"{outcome}\"")])
    }

    /// Calls to Flow Service with this end; with any, if it is empty.
    pub(super) fn calls(&self, status: &str) -> u64 {
        let status = if status.is_empty() { "status=".to_owned() } else { format!("status=\"{status}\"") };
        self.sum("http_requests_total", &["upstream=\"flow\"", &status])
    }

    /// Creates of which nobody knows what they did.
    pub(super) fn unanswered(&self) -> u64 {
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
