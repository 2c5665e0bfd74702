//! What is counted about the process from within: whether its event loop keeps up.
//!
//! A late event loop sends late heartbeats, and a broker that misses two of them closes the connection.

use std::time::Duration;

use prometheus::{Counter, Histogram, HistogramOpts, IntGauge, Registry};
use tokio::runtime::{Handle, RuntimeMetrics as Tokio};
use tokio::time::Instant;

use super::register;

/// How often the event loop is asked to be on time. What it is late by is observed, down to the timer's millisecond.
const TICK: Duration = Duration::from_millis(250);

/// From the timer's own precision to what costs a heartbeat.
const LAG_BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Gauges of the event loop.
#[derive(Debug, Clone)]
pub struct RuntimeMetrics {
    lag: Histogram,
    workers: IntGauge,
    tasks: IntGauge,
    queue: IntGauge,
    busy: Counter,
}

impl RuntimeMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name, help| register(registry, IntGauge::new(name, help)?);
        let lag = HistogramOpts::new(
            "event_loop_lag_seconds",
            "How late the event loop wakes a task that wanted to be woken, four times in a second.",
        );
        Ok(Self {
            lag: register(registry, Histogram::with_opts(lag.buckets(LAG_BUCKETS.to_vec()))?)?,
            workers: gauge("runtime_worker_threads", "Threads of the event loop.")?,
            tasks: gauge("runtime_tasks", "Tasks that are alive.")?,
            queue: gauge(
                "runtime_global_queue_tasks",
                "Tasks that wait for a thread of the event loop, in the queue that all threads share.",
            )?,
            busy: register(
                registry,
                Counter::new(
                    "runtime_busy_seconds_total",
                    "Time that the threads of the event loop have spent not waiting, all together.",
                )?,
            )?,
        })
    }

    /// Looks at the runtime that this is called on. Never ends.
    pub async fn watch(&self) {
        let runtime = Handle::current().metrics();
        loop {
            let due = Instant::now() + TICK;
            tokio::time::sleep_until(due).await;
            self.lag.observe(due.elapsed().as_secs_f64());
            self.read(&runtime);
        }
    }

    fn read(&self, runtime: &Tokio) {
        let whole = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.workers.set(whole(runtime.num_workers()));
        self.tasks.set(whole(runtime.num_alive_tasks()));
        self.queue.set(whole(runtime.global_queue_depth()));
        let busy: Duration =
            (0..runtime.num_workers()).map(|worker| runtime.worker_total_busy_duration(worker)).sum();
        // It only grows, and so does its sum.
        self.busy.inc_by((busy.as_secs_f64() - self.busy.get()).max(0.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thread_that_blocks_is_seen() {
        let metrics = RuntimeMetrics::new(&Registry::new()).unwrap();
        let blocking = async {
            while metrics.lag.get_sample_count() == 0 {
                tokio::time::sleep(TICK).await;
            }
            // The only thread of the event loop, for longer than a tick.
            std::thread::sleep(TICK * 4);
            while metrics.lag.get_sample_sum() < TICK.as_secs_f64() {
                tokio::time::sleep(TICK).await;
            }
        };
        tokio::select! {
            () = metrics.watch() => {}
            () = blocking => {}
        }
        assert_eq!(metrics.workers.get(), 1);
        assert!(metrics.busy.get() > 0.0);
    }
}
