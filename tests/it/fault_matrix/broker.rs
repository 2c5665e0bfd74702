//! The broker itself, with queues of both types on one node: short of memory, impatient, restarted, killed.

use super::case::{Case, LOAD};
use crate::support::PATIENCE;
use crate::support::broker::Broker;
use crate::support::rig::CONSUME;

const BLOCKED: &str = r#"connection_worker_amqp_connection_blocked{role="publish"}"#;

/// No more than an organisation has slots: one is kept for others.
const IN_HAND: usize = 9;

const SOME: usize = 20;

/// A case for each type, on the same node.
struct Cases {
    broker: Broker,
    quorum: Case,
    classic: Case,
}

impl Cases {
    async fn start() -> Self {
        let broker = Broker::start().await;
        let (quorum, classic) =
            tokio::join!(Case::on(&broker, "quorum", &[]), Case::on(&broker, "classic", &[]));
        Self { broker, quorum, classic }
    }

    fn both(&mut self) -> [&mut Case; 2] {
        [&mut self.quorum, &mut self.classic]
    }

    async fn begin(&mut self) {
        tokio::join!(self.quorum.begin(), self.classic.begin());
    }

    async fn check(&mut self) {
        tokio::join!(self.quorum.check(), self.classic.check());
    }

    async fn wait_failures(&mut self, at_least: u64) {
        for case in self.both() {
            case.wait_failures(at_least).await;
        }
    }

    /// The tests' own connections, after the node was away.
    async fn reconnect(&mut self) {
        let broker = self.broker.clone();
        for case in self.both() {
            case.rig.corner.vhost = case.rig.corner.vhost.through(&broker).await;
        }
    }
}

#[tokio::test]
async fn jobs_and_replies_outlive_a_broker_that_restarts_or_is_killed() {
    if !Broker::shared().await.is_ours() {
        return;
    }
    let mut cases = Cases::start().await;
    cases.begin().await;
    cases.broker.ctl(&["stop_app"]).await;
    cases.wait_failures(1).await;
    cases.broker.ctl(&["start_app"]).await;
    cases.reconnect().await;
    cases.check().await;

    // Replies that nobody reads before it, jobs in hand, and jobs that nobody has taken.
    for case in cases.both() {
        case.submit(SOME).await;
        case.rig.settled().await;
        case.hold(IN_HAND).await;
        case.submit(LOAD).await;
    }
    cases.broker.kill().await;
    cases.broker.restart().await;
    cases.reconnect().await;
    for case in cases.both() {
        case.api.restore();
    }
    cases.check().await;
}

#[tokio::test]
async fn a_broker_that_blocks_or_takes_deliveries_back_loses_nothing() {
    if !Broker::shared().await.is_ours() {
        return;
    }
    let mut cases = Cases::start().await;
    cases.begin().await;
    cases.broker.eval("rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []}).").await;
    for case in cases.both() {
        case.workers[0].wait_count(BLOCKED, 1, PATIENCE).await;
    }
    cases.broker.eval("rabbit_alarm:clear_alarm({resource_limit, memory, node()}).").await;
    cases.check().await;

    // Both hold for channels that are opened from now on.
    let impatient = "ok = application:set_env(rabbit, channel_tick_interval, 200),
                     ok = application:set_env(rabbit, consumer_timeout, 50).";
    cases.broker.eval(impatient).await;
    for case in cases.both() {
        case.rig.close_connection(CONSUME).await;
        case.wait_failures(1).await;
        case.workers[0].wait_ready().await;
        case.submit(LOAD).await;
    }
    cases.wait_failures(3).await;
    cases.broker.eval("application:set_env(rabbit, consumer_timeout, 1800000).").await;
    cases.check().await;
}
