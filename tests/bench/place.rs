//! A place on the broker for one scenario: its queues, filled and looked into by a client of its own.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Confirmation, Consumer, PublisherConfirm};

use crate::job::{ORG, job};
use crate::program::Task;
use crate::stand::{ACCESS_TOKEN, Simulator, Stand};
use crate::support::broker::Vhost;
use crate::support::eventually::eventually;

const JOBS: &str = "connections.jobs";
const REPLIES: &str = "connections.replies";

/// Publishes that are under way at once while a queue is filled.
const WINDOW: usize = 1000;

/// For the last acknowledgements to arrive.
const SETTLED: Duration = Duration::from_secs(30);

/// For a program to begin to take jobs.
const STARTED: Duration = Duration::from_secs(30);

/// For one further reply.
const REPLIED: Duration = Duration::from_secs(30);

/// A beginning for job ids: a job whose id was seen before would be answered from memory.
pub(crate) fn unseen() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// The type of the job queue and the reply queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queues {
    Quorum,
    Classic,
}

/// A virtual host with both queues.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) vhost: Vhost,
    /// In confirm mode.
    channel: Channel,
}

/// The replies, as they come.
#[derive(Debug)]
pub(crate) struct Replies {
    channel: Channel,
    consumer: Consumer,
}

impl Place {
    /// A new one.
    pub(crate) async fn new(stand: &Stand, queues: Queues) -> Self {
        let vhost = stand.broker.vhost().await;
        for queue in [JOBS, REPLIES] {
            match queues {
                Queues::Quorum => vhost.declare_quorum(queue).await,
                Queues::Classic => vhost.declare_classic(queue).await,
            }
        }
        let channel = vhost.channel().await;
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Self { vhost, channel }
    }

    /// What a program is told that works here.
    pub(crate) fn task(&self, simulator: &Simulator, concurrency: u16) -> Task {
        Task {
            amqp_url: self.vhost.amqp_url(),
            job_queue: JOBS.to_owned(),
            reply_queue: REPLIES.to_owned(),
            flow_url: simulator.flow_url(),
            ims_url: simulator.url.clone(),
            access_token: ACCESS_TOKEN.to_owned(),
            concurrency,
            ca: None,
            env: Vec::new(),
        }
    }

    /// Puts so many jobs into the queue; returns when the broker has them.
    pub(crate) async fn fill(&self, jobs: usize) {
        self.fill_for(ORG, &unseen(), jobs).await;
    }

    /// The same for an organisation, with ids that begin so.
    pub(crate) async fn fill_for(&self, org: &str, prefix: &str, jobs: usize) {
        let mut number = 0;
        while number < jobs {
            let mut pending = Vec::with_capacity(WINDOW);
            while number < jobs && pending.len() < WINDOW {
                pending.push(self.publish_for(org, &format!("{prefix}-{number}")).await);
                number += 1;
            }
            for confirm in pending {
                assert!(matches!(confirm.await.unwrap(), Confirmation::Ack(None)));
            }
        }
    }

    /// Publishes one job; the confirm is what comes back.
    pub(crate) async fn publish(&self, id: &str) -> PublisherConfirm {
        self.publish_for(ORG, id).await
    }

    /// The same for an organisation.
    pub(crate) async fn publish_for(&self, org: &str, id: &str) -> PublisherConfirm {
        let (properties, body) = job(org, id);
        let options = BasicPublishOptions::default();
        self.channel.basic_publish("".into(), JOBS.into(), options, &body, properties).await.unwrap()
    }

    /// Waits until somebody takes jobs.
    pub(crate) async fn is_consumed(&self) {
        eventually("a consumer", STARTED, async || self.vhost.consumers(JOBS).await > 0).await;
    }

    /// Replies that lie in the queue.
    pub(crate) async fn replies(&self) -> usize {
        self.depth(REPLIES).await
    }

    /// Waits until every job is acknowledged.
    pub(crate) async fn settled(&self) {
        self.vhost.settled(JOBS, SETTLED).await;
    }

    /// Parked jobs.
    pub(crate) async fn dead(&self) -> usize {
        self.depth(&format!("{JOBS}.dead")).await
    }

    async fn depth(&self, queue: &str) -> usize {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let found = self.channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap();
        found.message_count().try_into().unwrap()
    }

    /// Takes replies as they come, which need not be acknowledged.
    pub(crate) async fn consume_replies(&self) -> Replies {
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let channel = self.vhost.channel().await;
        let (queue, arguments) = (REPLIES.into(), FieldTable::default());
        let consumer = channel.basic_consume(queue, "".into(), options, arguments).await.unwrap();
        Replies { channel, consumer }
    }

    /// Empties both queues.
    pub(crate) async fn purge(&self) {
        for queue in [JOBS, REPLIES] {
            self.channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await.unwrap();
        }
    }
}

impl Replies {
    /// The next reply.
    pub(crate) async fn next(&mut self) -> Delivery {
        self.next_within(REPLIED).await
    }

    /// The same, if it may take longer.
    pub(crate) async fn next_within(&mut self, time: Duration) -> Delivery {
        let next = tokio::time::timeout(time, self.consumer.next()).await;
        next.expect("a further reply in time").expect("the queue is there").unwrap()
    }

    /// Leaves the rest to others.
    pub(crate) async fn close(self) {
        self.channel.close(200, "OK".into()).await.unwrap();
    }
}
