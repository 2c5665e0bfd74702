//! For outages: a corner whose worker reaches the broker through a proxy, many jobs, and what became of them.

use std::collections::BTreeMap;
use std::ops::{Deref, Range};
use std::time::Duration;

use connection_worker::simulator::Options;
use connection_worker::simulator::latency::Latency;
use lapin::BasicProperties;

use super::PATIENCE;
use super::broker::{Broker, Counts, Message};
use super::corner::{Corner, job};
use super::eventually::eventually;
use super::proxy::Proxy;

/// What the worker calls its two connections.
pub(crate) const CONSUME: &str = "connection-worker consume";
pub(crate) const PUBLISH: &str = "connection-worker publish";

/// A corner with a network that can fail.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) corner: Corner,
    /// Between worker and broker.
    pub(crate) proxy: Proxy,
}

/// The replies to a number of jobs, by job.
#[derive(Debug, Default)]
pub(crate) struct Replies(pub(crate) BTreeMap<String, Vec<Message>>);

impl Rig {
    /// On the broker of the run; nothing if that is a foreign one, which cannot be looked into.
    pub(crate) async fn start(latency: Duration) -> Option<Self> {
        let broker = Broker::shared().await;
        if broker.is_ours() { Some(Self::on(&broker, latency).await) } else { None }
    }

    /// On any node of our own; every answer of the simulator takes `latency`.
    pub(crate) async fn on(broker: &Broker, latency: Duration) -> Self {
        let ms = u64::try_from(latency.as_millis()).unwrap();
        Self::with(broker, Options { latency: Latency::Fixed { ms }, ..Options::default() }).await
    }

    /// On any node of our own, with a simulator that behaves in its own way.
    pub(crate) async fn with(broker: &Broker, options: Options) -> Self {
        let mut corner = Corner::on(broker, options).await;
        let proxy = Proxy::start(broker.addr().await).await.unwrap();
        corner.amqp_url = corner.vhost.amqp_url_at(proxy.addr());
        Self { corner, proxy }
    }

    /// Publishes the jobs `job-<n>`; the queue has to be there.
    pub(crate) async fn load(&self, numbers: Range<usize>) {
        let jobs = numbers.map(|number| {
            let properties = BasicProperties::default()
                .with_delivery_mode(2)
                .with_correlation_id(format!("correlation-{number}").into());
            (properties, job(&job_id(number)).to_string().into_bytes())
        });
        self.vhost.publish_all(&self.jobs_queue(), jobs).await;
    }

    /// How many connections the simulator has created.
    pub(crate) async fn created(&self) -> u64 {
        self.sim.report().await["created"].as_u64().unwrap()
    }

    /// Waits until this many connections exist: by then, jobs are under way. Gives how many there are.
    pub(crate) async fn wait_created(&self, at_least: u64) -> u64 {
        eventually("connections are created", PATIENCE, async || {
            let created = self.created().await;
            if created >= at_least { Ok(created) } else { Err(created) }
        })
        .await
    }

    /// Waits until this many creates have arrived.
    pub(crate) async fn wait_called(&self, number: u64) {
        eventually("creates arrive", PATIENCE, async || {
            let arrived = self.sim.report().await["requests"]["create"].as_u64().unwrap();
            if arrived == number { Ok(()) } else { Err(arrived) }
        })
        .await;
    }

    /// Waits until the job queue is just so.
    pub(crate) async fn wait_counts(&self, ready: u64, unacked: u64) {
        eventually("the job queue is as expected", PATIENCE, async || {
            let counts = self.vhost.counts(&self.jobs_queue()).await;
            if counts == (Counts { ready, unacked }) { Ok(()) } else { Err(counts) }
        })
        .await;
    }

    /// Closes a connection of the worker as an operator does with `rabbitmqctl close_connection`. Those of other tests
    /// come and go meanwhile.
    pub(crate) async fn close_connection(&self, name: &str) {
        let vhost = self.vhost.name();
        let closed = self
            .vhost
            .broker()
            .eval(&format!(
                r#"length([rabbit_networking:close_connection(Pid, "closed by the test") ||
                       Pid <- rabbit_networking:connections(),
                       [{{vhost, <<"{vhost}">>}}, {{client_properties, Properties}}] <-
                           [catch rabbit_networking:connection_info(Pid, [vhost, client_properties])],
                       lists:keymember(<<"{name}">>, 3, Properties)])."#
            ))
            .await;
        assert_eq!(closed, "1", "connections closed");
    }

    /// Lets the broker believe that the worker acknowledged what it never got, which ends its channel.
    pub(crate) async fn close_consuming_channel(&self) {
        let vhost = self.vhost.name();
        let closed = self
            .vhost
            .broker()
            .eval(&format!(
                r#"length([rabbit_channel:do(Pid, {{'basic.ack', 1000000, false}}) ||
                       Pid <- rabbit_channel:list_local(),
                       [{{vhost, <<"{vhost}">>}}, {{consumer_count, Consumers}}] <-
                           [catch rabbit_channel:info(Pid, [vhost, consumer_count])],
                       Consumers > 0])."#
            ))
            .await;
        assert_ne!(closed, "0", "channels closed");
    }

    /// Adds a user of this test's virtual host, with patterns for what it may configure, write and read.
    pub(crate) async fn add_user(
        &self,
        user: &str,
        password: &str,
        configure: &str,
        write: &str,
        read: &str,
    ) {
        let vhost = self.vhost.name();
        self.vhost
            .broker()
            .eval(&format!(
                r#"ok = rabbit_auth_backend_internal:add_user(<<"{user}">>, <<"{password}">>, <<"tests">>),
                   rabbit_auth_backend_internal:set_permissions(<<"{user}">>, <<"{vhost}">>,
                       <<"{configure}">>, <<"{write}">>, <<"{read}">>, <<"tests">>)."#
            ))
            .await;
    }

    /// The worker's way to the broker, as another user.
    pub(crate) fn url_of(&self, user: &str, password: &str) -> String {
        let mut url = url::Url::parse(&self.amqp_url).unwrap();
        url.set_username(user).unwrap();
        url.set_password(Some(password)).unwrap();
        url.into()
    }

    /// Takes replies until each of the jobs has at least one.
    pub(crate) async fn wait_answered(&self, numbers: Range<usize>, replies: &mut Replies) {
        eventually("every job is answered", PATIENCE, async || {
            replies.add(self.vhost.drain(&self.reply_queue()).await);
            let missing: Vec<_> = numbers.clone().filter(|number| replies.of(*number).is_empty()).collect();
            if missing.is_empty() { Ok(()) } else { Err(missing) }
        })
        .await;
    }
}

impl Deref for Rig {
    type Target = Corner;

    fn deref(&self) -> &Corner {
        &self.corner
    }
}

impl Replies {
    /// Sorts messages by the job that they answer.
    pub(crate) fn add(&mut self, messages: Vec<Message>) {
        for message in messages {
            let job_id = message.json()["jobId"].as_str().expect("a reply names its job").to_owned();
            self.0.entry(job_id).or_default().push(message);
        }
    }

    /// All replies to one job.
    pub(crate) fn of(&self, number: usize) -> &[Message] {
        self.0.get(&job_id(number)).map_or(&[], Vec::as_slice)
    }

    /// Fails the test unless every reply says `created`.
    pub(crate) fn assert_all_created(&self) {
        for message in self.0.values().flatten() {
            let reply = message.json();
            assert_eq!(reply["status"], "created", "{reply}");
        }
    }
}

pub(crate) fn job_id(number: usize) -> String {
    format!("job-{number}")
}
