//! A cluster of three RabbitMQ nodes, each of which can be killed and started again.
//!
//! Each node is a [`Broker`], with all that one can do. A worker reaches the cluster through a
//! [`Proxy`](super::proxy::Proxy) that is aimed at one node and then at another.

use super::broker::{Broker, Vhost};

/// The least of which a majority is left when one is gone.
const NODES: usize = 3;

/// A cluster of a test's own; it stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: Vec<Broker>,
}

impl Cluster {
    /// Starts one. It costs twice as much as a node.
    pub(crate) async fn start() -> Self {
        Self { nodes: Broker::start_cluster(NODES).await }
    }

    /// Its nodes. Each speaks for all in [`Broker::ctl`] and [`Broker::eval`], as long as it is up.
    pub(crate) fn nodes(&self) -> &[Broker] {
        &self.nodes
    }

    /// The node that leads a quorum queue, as the node of `vhost` knows it.
    pub(crate) async fn leader(&self, vhost: &Vhost, queue: &str) -> &Broker {
        let leader = self.ask(vhost, queue, "element(2, amqqueue:get_pid(Q))").await;
        let known = self.nodes.iter().find(|node| node.name() == leader);
        known.unwrap_or_else(|| panic!("{queue} is led by {leader}, which is no node of ours"))
    }

    /// How many nodes hold a quorum queue, whether they are up or not.
    pub(crate) async fn members(&self, vhost: &Vhost, queue: &str) -> usize {
        let nodes = "integer_to_binary(length(maps:get(nodes, amqqueue:get_type_state(Q))))";
        self.ask(vhost, queue, nodes).await.parse().unwrap()
    }

    async fn ask(&self, vhost: &Vhost, queue: &str, question: &str) -> String {
        let name = vhost.name();
        let lookup = format!(
            r#"{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{name}">>, queue, <<"{queue}">>)),
               Answer = {question},
               if is_atom(Answer) -> atom_to_binary(Answer); true -> Answer end."#
        );
        vhost.broker().eval(&lookup).await
    }
}
