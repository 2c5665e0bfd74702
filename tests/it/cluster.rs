//! A cluster that loses a node: the worker goes on with the others.

use crate::support::PATIENCE;
use crate::support::broker::Broker;
use crate::support::cluster::Cluster;
use crate::support::eventually::eventually;
use crate::support::load::{LATENCY, Load};
use crate::support::rig::Rig;

/// The node that dies leads the job queue and has the worker's connections: the worst of the three.
#[tokio::test]
async fn no_job_is_lost_when_the_node_that_leads_the_queue_dies() {
    if !Broker::shared().await.is_ours() {
        return;
    }
    let cluster = Cluster::start().await;
    let [first, other, third] = cluster.nodes() else { panic!("three nodes") };
    let rig = Rig::on(other, LATENCY).await;
    // A queue is led by the node on which it was created.
    rig.proxy.aim(first.addr().await);
    let mut load = Load::on(rig).await;
    let queue = load.rig.jobs_queue();
    assert_eq!(cluster.leader(&load.rig.vhost, &queue).await.name(), first.name());
    assert_eq!(cluster.members(&load.rig.vhost, &queue).await, 3);

    load.begin().await;
    first.kill().await;
    load.worker.wait_unready().await;
    load.rig.proxy.aim(other.addr().await);
    wait_led_by_others(&cluster, &load.rig, first).await;
    load.worker.wait_ready().await;
    let before = load.submitted;
    load.submit().await;
    load.rig.wait_answered(before..load.submitted, &mut load.replies).await;
    assert_ne!(load.failures().await, 0);

    // It comes back; only then the queue knows for sure that the consumers there are gone, and lets go of what those hold that
    // had been cancelled.
    first.restart().await;
    load.answers().await;
    eventually("the lost session's consumer is gone", PATIENCE, async || {
        let consumers = load.rig.vhost.consumers(&queue).await;
        if consumers == 1 { Ok(()) } else { Err(consumers) }
    })
    .await;
    // Without it, there is no majority when another one dies.
    load.begin().await;
    third.kill().await;
    wait_led_by_others(&cluster, &load.rig, third).await;
    load.answers().await;
}

/// Waits until no queue is led by a node that is down: until then, who takes from it is sent away or not answered.
async fn wait_led_by_others(cluster: &Cluster, rig: &Rig, down: &Broker) {
    for queue in [rig.jobs_queue(), rig.reply_queue()] {
        eventually("another node leads the queue", PATIENCE, async || {
            cluster.leader(&rig.vhost, &queue).await.name() != down.name()
        })
        .await;
    }
}
