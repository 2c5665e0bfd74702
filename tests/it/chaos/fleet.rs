//! The workers, and somebody who starts them again, as Kubernetes would.

use std::sync::Mutex;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, sleep};

use super::books::Books;
use super::schedule::{WORKERS, WorkerFault};
use super::world::World;
use crate::support::PATIENCE;
use crate::support::eventually::eventually;
use crate::support::worker::{WorkerProcess, find_metric};

/// `DRAIN_GRACE`, the close after it, and what a loaded machine adds.
const DRAIN: Duration = Duration::from_secs(20);

/// Between two looks at a process.
const LOOK: Duration = Duration::from_millis(50);

/// See the module. A worker is locked while something is done to it.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    slots: [AsyncMutex<Option<WorkerProcess>>; WORKERS],
    /// Every process that is gone.
    gone: Mutex<Vec<Gone>>,
    /// What a worker should not do: end by itself, or not end when it is asked to.
    notes: Mutex<Vec<String>>,
}

/// What a process leaves behind.
#[derive(Debug)]
struct Gone {
    /// The number of its worker.
    worker: usize,
    log: String,
    /// What it had counted, if it could be asked.
    counted: Option<String>,
}

impl World {
    /// Starts all workers and waits until they are ready.
    pub(super) async fn start_workers(&self) {
        for (number, slot) in self.fleet.slots.iter().enumerate() {
            *slot.lock().await = Some(self.worker(number));
        }
        for slot in &self.fleet.slots {
            slot.lock().await.as_mut().expect("it was started").wait_ready().await;
        }
    }

    /// Does something to a worker, and has it running again.
    pub(super) async fn strike_worker(&self, number: usize, fault: WorkerFault, lasts: Duration) {
        let mut slot = self.fleet.slots[number].lock().await;
        let worker = slot.as_mut().expect("workers run until the end");
        match fault {
            WorkerFault::Stop => {
                worker.signal(Signal::SIGSTOP);
                sleep(lasts).await;
                worker.signal(Signal::SIGCONT);
                return;
            }
            WorkerFault::Kill => worker.signal(Signal::SIGKILL),
            WorkerFault::Term => worker.signal(Signal::SIGTERM),
        }
        self.fleet.end(number, worker, None).await;
        *slot = Some(self.worker(number));
    }

    /// Ends all workers in order.
    pub(super) async fn end_workers(&self) {
        for (number, slot) in self.fleet.slots.iter().enumerate() {
            let Some(mut worker) = slot.lock().await.take() else { continue };
            let counted = idle(&worker).await;
            worker.signal(Signal::SIGTERM);
            let code = self.fleet.end(number, &mut worker, Some(counted)).await;
            if code != Some(0) {
                self.fleet.note(format!("worker {} ended with {code:?} when all was done", number + 1));
            }
        }
    }
}

impl Fleet {
    /// What went wrong with workers as such.
    pub(super) fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }

    /// All that was logged about a job, by all workers that are gone; each line after the number of its worker.
    pub(super) fn lines_about(&self, job: &str) -> Vec<String> {
        let wanted = format!(r#""job_id":"{job}""#);
        let gone = self.gone.lock().unwrap();
        let lines = gone.iter().flat_map(|gone| gone.log.lines().map(move |line| (gone.worker, line)));
        let found = lines.filter(|(_, line)| line.contains(&wanted));
        let mut found: Vec<(&str, usize)> = found.map(|(number, line)| (line, number + 1)).collect();
        found.sort_unstable(); // by time, with which a line begins
        found.into_iter().map(|(line, number)| format!("worker {number}: {line}")).collect()
    }

    /// What all processes together have counted: those that are gone by their logs, as far as these go.
    pub(super) fn books(&self) -> Books {
        let mut books = Books::default();
        for gone in self.gone.lock().unwrap().iter() {
            match &gone.counted {
                Some(page) => books.add_page(page),
                None => books.add_log(&gone.log),
            }
        }
        books
    }

    pub(super) fn note(&self, what: String) {
        self.notes.lock().unwrap().push(what);
    }

    /// Waits for the end of a process that was asked to, and keeps its log.
    async fn end(&self, number: usize, worker: &mut WorkerProcess, counted: Option<String>) -> Option<i32> {
        let deadline = Instant::now() + DRAIN;
        while worker.ended().is_none() {
            if Instant::now() > deadline {
                self.note(format!("worker {} did not end within {DRAIN:?}", number + 1));
                worker.signal(Signal::SIGKILL);
                break;
            }
            sleep(LOOK).await;
        }
        let code = worker.wait(PATIENCE).await.code();
        self.gone.lock().unwrap().push(Gone { worker: number, log: worker.logs(), counted });
        code
    }
}

/// What a worker has counted when it has nothing in hand.
async fn idle(worker: &WorkerProcess) -> String {
    eventually("the worker is idle", PATIENCE, async || {
        let page = worker.metrics().await;
        let in_hand = find_metric(&page, "connection_worker_jobs_in_flight");
        if in_hand == Some(0.0) { Ok(page) } else { Err(in_hand) }
    })
    .await
}

/// Starts every worker again that ends by itself, for ever.
pub(super) async fn mind(world: &World) {
    loop {
        sleep(LOOK).await;
        for (number, slot) in world.fleet.slots.iter().enumerate() {
            // Busy: something is done to it.
            let Ok(mut slot) = slot.try_lock() else { continue };
            let Some(worker) = slot.as_mut() else { continue };
            let Some(status) = worker.ended() else { continue };
            world.fleet.end(number, worker, None).await;
            let log = worker.logs();
            let last = log.lines().last().unwrap_or_default();
            world.fleet.note(format!("worker {} ended by itself with {status}: {last}", number + 1));
            *slot = Some(world.worker(number));
        }
    }
}
