//! The broker of a storm: one node or a cluster, and what is done to it.

use std::net::SocketAddr;
use std::slice;
use std::time::Duration;

use tokio::time::sleep;

use super::schedule::{BrokerFault, Node};
use super::world::World;
use crate::support::broker::Broker;
use crate::support::cluster::Cluster;

/// See the module.
#[derive(Debug)]
pub(super) enum Nodes {
    One(Broker),
    Three(Cluster),
}

impl Nodes {
    pub(super) async fn start(number: usize) -> Self {
        match number {
            1 => Self::One(Broker::start().await),
            3 => Self::Three(Cluster::start().await),
            _ => panic!("CHAOS_NODES is 1 or 3"),
        }
    }

    pub(super) fn all(&self) -> &[Broker] {
        match self {
            Self::One(broker) => slice::from_ref(broker),
            Self::Three(cluster) => cluster.nodes(),
        }
    }

    /// The one that is asked, while all are up.
    pub(super) fn first(&self) -> &Broker {
        &self.all()[0]
    }

    /// Where a worker's own network to the broker leads: to another node for each, as far as there are.
    pub(super) async fn addr_for(&self, worker: usize) -> SocketAddr {
        let nodes = self.all();
        nodes[worker % nodes.len()].addr().await
    }
}

impl World {
    /// Strikes a node; returns when it serves again. Who connects meanwhile is led to the next one, as by a load
    /// balancer.
    pub(super) async fn strike_node(&self, node: Node, fault: BrokerFault, lasts: Duration) {
        let nodes = self.nodes.all();
        let number = self.number_of(node).await;
        let ill = &nodes[number];
        let next = nodes[(number + 1) % nodes.len()].addr().await;
        let led_there = self.links.iter().enumerate().filter(|(worker, _)| worker % nodes.len() == number);
        for (_, links) in led_there.clone() {
            links.broker.aim(next);
        }
        match fault {
            BrokerFault::Restart => {
                ill.ctl(&["stop_app"]).await;
                sleep(lasts).await;
                ill.ctl(&["start_app"]).await;
            }
            BrokerFault::Kill => {
                ill.kill().await;
                sleep(lasts).await;
                ill.restart().await;
            }
        }
        for (_, links) in led_there {
            links.broker.aim(ill.addr().await);
        }
    }

    async fn number_of(&self, node: Node) -> usize {
        match (node, &self.nodes) {
            (Node::Number(number), _) => number,
            (Node::Leader, Nodes::One(_)) => 0,
            (Node::Leader, Nodes::Three(cluster)) => {
                let leader = cluster.leader(&self.corner.vhost, &self.corner.jobs_queue()).await;
                let is_leader = |node: &Broker| node.name() == leader.name();
                cluster.nodes().iter().position(is_leader).expect("it is one of them")
            }
        }
    }
}
