//! The broker of a storm, and what is done to its nodes.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::sleep;

use super::schedule::{BrokerFault, Node};
use crate::support::broker::Broker;

/// See the module.
#[derive(Debug)]
pub(super) struct Nodes {
    broker: Broker,
}

impl Nodes {
    pub(super) async fn start(_number: usize) -> Self {
        Self { broker: Broker::start().await }
    }

    pub(super) fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Where the nodes listen.
    pub(super) async fn addrs(&self) -> Vec<SocketAddr> {
        vec![self.broker.addr().await]
    }

    /// Where a worker's own network to the broker leads.
    pub(super) async fn addr_for(&self, _worker: usize) -> SocketAddr {
        self.broker.addr().await
    }

    /// Strikes a node; returns when it serves again.
    pub(super) async fn strike(&self, _node: Node, _fault: BrokerFault, lasts: Duration, _jobs_queue: &str) {
        self.broker.ctl(&["stop_app"]).await;
        sleep(lasts).await;
        self.broker.ctl(&["start_app"]).await;
    }
}
