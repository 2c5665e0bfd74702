//! What is counted about jobs, from delivery to settlement.

use std::time::Duration;

use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use super::oldest::{InHand, Oldest};
use super::{DURATION_BUCKETS, register};
use crate::contract::Form;
use crate::contract::reply::ErrorCode;

/// From milliseconds to a day: how long a job may lie in the queue and be worked on.
const AGE_BUCKETS: &[f64] = &[0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0];

/// How the worker was done with a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobEnd {
    /// Answered `created`.
    Created,
    /// Answered `failed` with this code.
    Failed(ErrorCode),
    /// Put into the dead-letter queue, because nobody could be answered.
    Parked,
    /// Put into a retry queue.
    Deferred,
    /// Moved to the overflow or to the held queue.
    Moved,
    /// Given back to the queue because the worker stops.
    HandedBack,
    /// Left to be delivered again, because the broker connection was lost.
    Abandoned,
}

impl JobEnd {
    /// The end in logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Failed(code) => code.as_str(),
            Self::Parked => "parked",
            Self::Deferred => "deferred",
            Self::Moved => "moved",
            Self::HandedBack => "handed_back",
            Self::Abandoned => "abandoned",
        }
    }

    /// Ends after which the job is delivered again.
    const POSTPONED: [Self; 4] = [Self::Deferred, Self::Moved, Self::HandedBack, Self::Abandoned];

    /// Ends after which nothing more is done for the job.
    fn completed() -> impl Iterator<Item = Self> {
        ErrorCode::ALL.map(Self::Failed).into_iter().chain([Self::Created, Self::Parked])
    }
}

/// A delivery in flight, for as long as it lives.
#[derive(Debug)]
pub struct InFlight {
    number: IntGauge,
    _in_hand: InHand,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.number.dec();
    }
}

/// Counters of jobs.
#[derive(Debug, Clone)]
pub struct JobMetrics {
    received: IntCounterVec,
    completed: IntCounterVec,
    postponed: IntCounterVec,
    duration: HistogramVec,
    timestamps_ignored: IntCounter,
    queue_wait: Histogram,
    age: Histogram,
    attempts: Histogram,
    payload: Histogram,
    credentials: IntCounterVec,
    in_flight: IntGauge,
    limit: IntGauge,
    oldest: Oldest,
    panics: IntCounter,
    last_success: Gauge,
    last_delivery: Gauge,
}

impl JobMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name, help, label| -> Result<IntCounterVec, prometheus::Error> {
            register(registry, IntCounterVec::new(Opts::new(name, help), &[label])?)
        };
        let histogram = |name, help, buckets: &[f64]| -> Result<Histogram, prometheus::Error> {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            register(registry, Histogram::with_opts(options)?)
        };
        let duration = HistogramOpts::new(
            "job_duration_seconds",
            "Time from taking a delivery to being done with it, by outcome.",
        );
        let metrics = Self {
            received: counters(
                "jobs_received_total",
                "Deliveries taken, from the job queue, the overflow and the held queue.",
                "redelivered",
            )?,
            completed: counters(
                "jobs_completed_total",
                "Jobs that were answered, or parked because nobody could be answered.",
                "outcome",
            )?,
            postponed: counters(
                "jobs_postponed_total",
                "Deliveries that ended with the job still to be done: it waits in a retry queue (deferred) or in the overflow or held queue (moved), was given back (handed_back), or its session was lost (abandoned).",
                "outcome",
            )?,
            duration: register(
                registry,
                HistogramVec::new(duration.buckets(DURATION_BUCKETS.to_vec()), &["outcome"])?,
            )?,
            timestamps_ignored: register(
                registry,
                IntCounter::new(
                    "job_timestamps_ignored_total",
                    "Deliveries whose AMQP timestamp cannot be: before 2020, or more than a day ahead, in seconds and in milliseconds.",
                )?,
            )?,
            queue_wait: histogram(
                "job_queue_wait_seconds",
                "Time from a job's AMQP timestamp to its delivery; only jobs that carry one.",
                AGE_BUCKETS,
            )?,
            age: histogram(
                "job_age_seconds",
                "Time from a job's AMQP timestamp to its confirmed reply; only jobs that carry one.",
                AGE_BUCKETS,
            )?,
            attempts: histogram(
                "job_attempts",
                "Attempts that a job took until it was answered; 0 if it was refused before the first.",
                &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0],
            )?,
            payload: histogram(
                "job_payload_bytes",
                "Size of job messages.",
                &[256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0],
            )?,
            credentials: counters(
                "job_credentials_total",
                "Jobs by how their credentials came; what is no job for another reason is not counted.",
                "form",
            )?,
            in_flight: register(registry, IntGauge::new("jobs_in_flight", "Deliveries in flight.")?)?,
            limit: register(
                registry,
                IntGauge::new("jobs_in_flight_limit", "Most deliveries in flight at a time (CONCURRENCY).")?,
            )?,
            oldest: Oldest::new(register(
                registry,
                Gauge::new(
                    "oldest_job_timestamp_seconds",
                    "When the oldest job in flight was sent, in Unix time, or delivered, if it does not say; 0 while none is in flight.",
                )?,
            )?),
            panics: register(
                registry,
                IntCounter::new("panics_total", "Panics caught at the border of a job.")?,
            )?,
            last_success: register(
                registry,
                Gauge::new(
                    "last_success_timestamp_seconds",
                    "When a connection was last created, in Unix time.",
                )?,
            )?,
            last_delivery: register(
                registry,
                Gauge::new(
                    "last_delivery_timestamp_seconds",
                    "When a job was last delivered, in Unix time.",
                )?,
            )?,
        };
        metrics.touch_every_label_set();
        Ok(metrics)
    }

    fn touch_every_label_set(&self) {
        for redelivered in ["true", "false"] {
            self.received.with_label_values(&[redelivered]);
        }
        for form in Form::ALL {
            self.credentials.with_label_values(&[form.as_str()]);
        }
        for end in JobEnd::completed() {
            self.completed.with_label_values(&[end.as_str()]);
        }
        for end in JobEnd::POSTPONED {
            self.postponed.with_label_values(&[end.as_str()]);
        }
        for end in JobEnd::completed().chain(JobEnd::POSTPONED) {
            self.duration.with_label_values(&[end.as_str()]);
        }
    }

    /// How many deliveries may be in hand at a time.
    pub fn limited_to(&self, concurrency: u16) {
        self.limit.set(i64::from(concurrency));
    }

    /// A delivery says a time at which it cannot have been sent; whether it is the first that does.
    pub fn timestamp_ignored(&self) -> bool {
        self.timestamps_ignored.inc();
        self.timestamps_ignored.get() == 1
    }

    /// A delivery was taken; `waited` is how long it lay in the queue, if its sender said when it was sent.
    ///
    /// The guard counts it as in flight until it is dropped.
    pub fn received(&self, redelivered: bool, bytes: usize, now: f64, waited: Option<f64>) -> InFlight {
        self.received.with_label_values(&[if redelivered { "true" } else { "false" }]).inc();
        self.in_flight.inc();
        self.last_delivery.set(now);
        #[expect(clippy::cast_precision_loss, reason = "a message size is far below 2^52")]
        self.payload.observe(bytes as f64);
        if let Some(waited) = waited {
            self.queue_wait.observe(waited);
        }
        InFlight {
            number: self.in_flight.clone(),
            _in_hand: self.oldest.take(now - waited.unwrap_or_default()),
        }
    }

    /// The worker is done with a delivery; `age` is the time since its sender sent it.
    pub fn completed(&self, end: JobEnd, took: Duration, now: f64, age: Option<f64>) {
        let count = if JobEnd::POSTPONED.contains(&end) { &self.postponed } else { &self.completed };
        count.with_label_values(&[end.as_str()]).inc();
        self.duration.with_label_values(&[end.as_str()]).observe(took.as_secs_f64());
        if end == JobEnd::Created {
            self.last_success.set(now);
        }
        if let (JobEnd::Created | JobEnd::Failed(_), Some(age)) = (end, age) {
            self.age.observe(age);
        }
    }

    /// A job's credentials came in this form.
    pub fn credentials(&self, form: Form) {
        self.credentials.with_label_values(&[form.as_str()]).inc();
    }

    /// A job was answered after so many attempts.
    pub fn answered(&self, attempts: u32) {
        self.attempts.observe(f64::from(attempts));
    }

    /// A panic was caught.
    pub fn panicked(&self) {
        self.panics.inc();
    }
}
