//! A history as it happens: virtual time, one thread, and all chance from one seed.

mod replica;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use connection_worker::clock;
use connection_worker::config::RunConfig;
use fastrand::Rng;
use jiff::Timestamp;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use self::replica::Replica;
use crate::broker::Broker;
use crate::flow::Flow;
use crate::job::{Fate, Job, Kills};
use crate::ledger::{Broken, Ledger};
use crate::parts;
use crate::plan::Plan;
use crate::trace::Trace;

/// When all histories begin: Unix time in seconds.
const BEGINNING: i64 = 1_900_000_000;

/// After the last reply a copy of a job may still come: so long is looked whether one does.
const COPIES: Duration = Duration::from_secs(11 * 60);

/// A history that has happened.
pub(crate) struct Happened {
    /// What does not hold.
    pub(crate) faults: Vec<Broken>,
    pub(crate) trace: Trace,
    /// Jobs that have more than one connection.
    pub(crate) several: usize,
}

/// What workers and senders share.
#[derive(Clone)]
struct World {
    broker: Broker,
    flow: Flow,
    config: Arc<RunConfig>,
    killers: Arc<BTreeMap<u32, Kills>>,
    began: Instant,
}

/// Lets a history happen.
pub(crate) fn run(seed: u64, plan: Plan) -> Happened {
    fastrand::seed(seed);
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(happen(seed, plan))
}

async fn happen(seed: u64, plan: Plan) -> Happened {
    clock::tie(Timestamp::from_second(BEGINNING).unwrap());
    let (trace, began) = (Trace::new(), Instant::now());
    let Plan { args, stays, jobs, mut weather, unkind, healed: _, done_by, in_a_window, checks } = plan;
    let are_refused = unkind.refused > 0.0;
    let broker = Broker::new(seed, unkind, trace.clone());
    let hopeless = (0..).zip(&jobs).filter(|(_, job)| job.fate == Fate::Exhausted);
    weather.hopeless = hopeless.map(|(number, _)| number).collect();
    let flow = Flow::new(seed, weather, trace.clone());
    let killers = (0..).zip(&jobs).filter(|(_, job)| job.kills != Kills::Never);
    let killers = Arc::new(killers.map(|(number, job)| (number, job.kills)).collect());
    let config = Arc::new(parts::settings(&args));
    let concurrency = usize::from(config.session.intake.prefetch);
    let world = World { broker: broker.clone(), flow: flow.clone(), config, killers, began };
    tokio::spawn(broker.clone().run());
    let mut random = Rng::with_seed(seed ^ 0x0123_4567);
    let workers = Arc::default();
    for stay in stays {
        let replica = Replica::new(world.clone(), stay, random.fork(), Arc::clone(&workers));
        tokio::spawn(replica.live());
    }
    tokio::spawn(send(world.clone(), jobs.clone()));
    wait(&world, jobs.len(), began + done_by).await;
    let ended = trace.now();
    trace.end();
    let (taken, queue_names) = broker.state().taken();
    let mut truth = flow.truth();
    let ledger = Ledger {
        jobs,
        seen: taken,
        queue_names,
        connections: std::mem::take(&mut truth.connections),
        of_job: std::mem::take(&mut truth.of_job),
        made: std::mem::take(&mut truth.made),
        attempts: std::mem::take(&mut truth.attempts),
        concurrency,
        in_a_window,
        are_refused,
        ended,
    };
    drop(truth);
    let figures = checks.iter().map(|check| check(&ledger));
    let faults = figures.chain(ledger.balance()).filter_map(Result::err).collect();
    let several = ledger.of_job.values().filter(|connections| connections.len() > 1).count();
    Happened { faults, trace, several }
}

async fn send(world: World, jobs: Vec<Job>) {
    for (number, job) in (0..).zip(&jobs) {
        if world.began + job.at > Instant::now() {
            sleep_until(world.began + job.at).await;
        }
        let unix = u64::try_from(BEGINNING).unwrap() + world.began.elapsed().as_secs();
        let (properties, body) = job.message(number, unix);
        for copy in 0..job.copies {
            let (broker, properties, body) = (world.broker.clone(), properties.clone(), body.clone());
            let apart = job.apart * u32::from(copy);
            if apart.is_zero() {
                broker.state().send(number, properties, body);
                continue;
            }
            tokio::spawn(async move {
                sleep(apart).await;
                broker.state().send(number, properties, body);
            });
        }
    }
}

/// Waits until all are answered and no copy is left, but no longer than that.
async fn wait(world: &World, jobs: usize, done_by: Instant) {
    while world.broker.state().seen.answered.len() < jobs {
        if timeout_at(done_by, world.broker.comes()).await.is_err() {
            return;
        }
    }
    let until = Instant::now() + COPIES;
    while Instant::now() < until && !world.broker.state().is_quiet() {
        sleep(Duration::from_secs(1)).await;
    }
    // What is under way at Flow Service takes effect.
    sleep(Duration::from_secs(1)).await;
}
