//! Does what the schedule says, and notes when each fault is over.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::client::{Line, PAUSE, STEP};
use super::schedule::{Ends, Fault, Ill, LANES, Peer, ServiceFault, Strike};
use super::senders::may_want_own_reply;
use super::world::{Links, Struck, World};
use crate::support::proxy::Proxy;

/// For the answers to jobs that name a reply queue which is about to go. One that is lost must not stop the storm.
const UNANSWERED: Duration = Duration::from_secs(20);

/// Returns when every strike is over, and not before the storm's time is.
pub(super) async fn rage(world: &World, strikes: Vec<Strike>, began: Instant, length: Duration) {
    let mut lanes: [Vec<Strike>; LANES] = Default::default();
    for strike in strikes {
        lanes[strike.fault.lane()].push(strike);
    }
    join_all(lanes.iter().map(async |lane| {
        for strike in lane {
            sleep_until(began + strike.at).await;
            let began = Instant::now();
            world.strike(strike).await;
            let struck = Struck { fault: strike.fault, began, healed: Instant::now() };
            world.struck.lock().unwrap().push(struck);
        }
    }))
    .await;
    sleep_until(began + length).await;
}

impl World {
    /// Returns when the fault is over.
    async fn strike(&self, strike: &Strike) {
        match strike.fault {
            Fault::Worker(number, fault) => self.strike_worker(number, fault, strike.lasts).await,
            Fault::Broker(node, fault) => self.strike_node(node, fault, strike.lasts).await,
            Fault::Link(ends, ill) => self.strike_link(ends, ill, strike.lasts).await,
            Fault::Service(fault) => {
                self.corner.sim.fault(rules(fault)).await;
                sleep(strike.lasts).await;
                self.corner.sim.clear_faults().await;
            }
            Fault::ReplyQueue => self.strike_reply_queue(strike.lasts).await,
        }
    }

    async fn strike_link(&self, ends: Ends, ill: Ill, lasts: Duration) {
        let proxies: Vec<&Proxy> = match ends {
            Ends::One(worker, peer) => vec![self.links[worker].to(peer)],
            Ends::AllToService => self.links.iter().map(|links| &links.service).collect(),
        };
        for proxy in &proxies {
            match ill {
                Ill::Cut => proxy.cut(),
                Ill::Freeze => proxy.freeze(),
                Ill::Delay(delay) => proxy.delay(delay),
            }
        }
        sleep(lasts).await;
        for proxy in &proxies {
            // What was held back is gone, as it is in a network that drops packets. Let through, a create could arrive
            // long after the worker had looked for its connection: a call that outlives its caller by seconds is the
            // one thing that no look-up can see, and no part of the promise.
            if ill == Ill::Freeze {
                proxy.cut();
            }
            proxy.restore();
        }
    }

    /// Deletes the queue when no reply is under way to it: RabbitMQ confirms what arrives while a queue goes, and drops
    /// it, which would be this test's own doing. What is answered afterwards cannot be delivered.
    async fn strike_reply_queue(&self, lasts: Duration) {
        let queue = self.own_replies();
        self.own_replies_wanted.store(false, Ordering::SeqCst);
        let moment = Instant::now();
        while self.ledger().open_before(moment).any(may_want_own_reply) {
            if moment.elapsed() > UNANSWERED {
                let open: Vec<String> = self.ledger().open_before(moment).map(str::to_owned).collect();
                self.fleet
                    .note(format!("a reply queue was left alone: no answer for {UNANSWERED:?} to {open:?}"));
                self.own_replies_wanted.store(true, Ordering::SeqCst);
                return;
            }
            sleep(PAUSE).await;
        }
        let if_empty = QueueDeleteOptions { if_empty: true, ..QueueDeleteOptions::default() };
        self.insist(async |line: &Line| {
            line.channel.queue_delete(queue.as_str().into(), if_empty).await.is_ok()
        })
        .await;
        self.own_replies_wanted.store(true, Ordering::SeqCst);
        sleep(lasts).await;
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.insist(async |line: &Line| {
            let declaring = line.channel.queue_declare(queue.as_str().into(), durable, FieldTable::default());
            declaring.await.is_ok()
        })
        .await;
    }

    /// Asks the broker for something until it is done.
    async fn insist(&self, ask: impl AsyncFn(&Line) -> bool) {
        let never = CancellationToken::new();
        for turn in 0.. {
            let Some(line) = Line::open(&self.urls, turn, &never).await else { return };
            if timeout(STEP, ask(&line)).await == Ok(true) {
                return;
            }
            sleep(PAUSE).await;
        }
    }
}

impl Links {
    fn to(&self, peer: Peer) -> &Proxy {
        match peer {
            Peer::Broker => &self.broker,
            Peer::Service => &self.service,
            Peer::Ims => &self.ims,
        }
    }
}

/// What the simulator is told.
fn rules(fault: ServiceFault) -> Value {
    match fault {
        ServiceFault::BrownOut => json!({ "rate": 0.3, "fault": { "kind": "status", "status": 503 } }),
        ServiceFault::Throttle => {
            json!({ "endpoint": "any", "rate": 0.6, "fault": { "kind": "throttle", "retryAfter": "1" } })
        }
        ServiceFault::CloseAfter => json!({ "rate": 0.4, "when": "after", "fault": { "kind": "close" } }),
        ServiceFault::Hang => json!([
            { "rate": 0.1, "fault": { "kind": "hang" } },
            { "rate": 0.1, "when": "after", "fault": { "kind": "hang" } },
        ]),
    }
}
