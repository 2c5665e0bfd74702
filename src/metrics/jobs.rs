//! What is counted about jobs, from delivery to settlement.

use std::time::Duration;

use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

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
            Self::HandedBack => "handed_back",
            Self::Abandoned => "abandoned",
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        let others = [Self::Created, Self::Parked, Self::Deferred, Self::HandedBack, Self::Abandoned];
        ErrorCode::ALL.map(Self::Failed).into_iter().chain(others)
    }
}

/// A delivery in flight, for as long as it lives.
#[derive(Debug)]
pub struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Counters of jobs.
#[derive(Debug, Clone)]
pub struct JobMetrics {
    received: IntCounterVec,
    completed: IntCounterVec,
    duration: HistogramVec,
    queue_wait: Histogram,
    age: Histogram,
    payload: Histogram,
    credentials: IntCounterVec,
    in_flight: IntGauge,
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
            received: counters("jobs_received_total", "Deliveries taken from the job queue.", "redelivered")?,
            completed: counters("jobs_completed_total", "Deliveries the worker is done with.", "outcome")?,
            duration: register(
                registry,
                HistogramVec::new(duration.buckets(DURATION_BUCKETS.to_vec()), &["outcome"])?,
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
            in_flight: register(
                registry,
                IntGauge::new("jobs_in_flight", "Deliveries taken and not done with.")?,
            )?,
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
        for end in JobEnd::all() {
            self.completed.with_label_values(&[end.as_str()]);
            self.duration.with_label_values(&[end.as_str()]);
        }
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
        InFlight(self.in_flight.clone())
    }

    /// The worker is done with a delivery; `age` is the time since its sender sent it.
    pub fn completed(&self, end: JobEnd, took: Duration, now: f64, age: Option<f64>) {
        self.completed.with_label_values(&[end.as_str()]).inc();
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

    /// A panic was caught.
    pub fn panicked(&self) {
        self.panics.inc();
    }
}
