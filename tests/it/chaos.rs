//! A storm: workers killed, brokers restarted, networks cut, Flow Service ill, all at once and under load; and an exact
//! ledger of what became of every job.
//!
//! A short one is a test like any other. `make chaos` runs long ones with the ledger on the terminal: the length comes
//! from the test run's own environment, as `CHAOS_SEED`, `CHAOS_SECONDS` and `CHAOS_NODES`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::{env, tell};

mod books;
mod client;
mod evidence;
mod fleet;
mod ledger;
mod nodes;
mod readers;
mod report;
mod schedule;
mod senders;
mod storm;
mod world;

use world::World;

/// The storm of a test run that asks for none in particular.
const SEED: u64 = 1;
const SECONDS: u64 = 12;
const NODES: u64 = 1;

/// For all to be in order again after a storm: a job can wait in a retry queue, and for a slot after it.
const AFTERMATH: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_loses_nothing_and_creates_nothing_twice() {
    if env("AMQP_URL").is_some() {
        return; // it kills brokers: only those of its own
    }
    let seed = setting("CHAOS_SEED", SEED);
    let length = Duration::from_secs(setting("CHAOS_SECONDS", SECONDS));
    let nodes = usize::try_from(setting("CHAOS_NODES", NODES)).unwrap();
    let strikes = schedule::draw(seed, length, nodes);
    tell(&report::announcement(seed, length, nodes, &strikes));

    let world = Arc::new(World::start(seed, nodes).await);
    let (senders_stop, readers_stop) = (CancellationToken::new(), CancellationToken::new());
    let readers = readers::start(&world, &readers_stop);
    let began = Instant::now();
    let senders = senders::start(&world, &senders_stop);
    let storm = async {
        let raging = storm::rage(&world, strikes, began, length);
        if timeout(length + AFTERMATH, raging).await.is_err() {
            world.fleet.note("a strike did not come to its end".to_owned());
        }
        senders_stop.cancel();
        senders.join_all().await;
        let took = began.elapsed();
        (world.come_to_rest(AFTERMATH).await, took)
    };
    let (left, took) = tokio::select! {
        outcome = storm => outcome,
        () = fleet::mind(&world) => unreachable!("it goes on for ever"),
    };
    world.end_workers().await;
    readers_stop.cancel();
    readers.join_all().await;

    let connections = world.connections().await;
    let ledger = world.ledger();
    let balance = ledger.balance(&connections);
    tell(&report::report(&world, &ledger, &balance, took));
    tell(&evidence::of(&world, &ledger, &balance, &connections));
    assert!(left.is_empty(), "queues do not come to rest: {left}");
    assert!(balance.is_clean(), "the ledger is not clean, see above");
    world.fleet.books().assert_agree(&ledger, &balance);
}

fn setting(name: &str, default: u64) -> u64 {
    env(name)
        .map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}: {value:?} is no number")))
}
