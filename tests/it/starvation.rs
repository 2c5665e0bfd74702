//! A consumer that gets nothing although its queue holds jobs is replaced, and one that has enough to do is not.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use connection_worker::app;
use connection_worker::broker::watchdog::Timing;
use connection_worker::cli::{Cli, Command};
use connection_worker::simulator::Options;
use connection_worker::simulator::latency::Latency;
use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Consumer};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::PATIENCE;
use crate::support::corner::{CLIENT_ID, CLIENT_SECRET, Corner, ORG, SANDBOX, job};
use crate::support::eventually::eventually;
use crate::support::http;
use crate::support::load::FAILURES;
use crate::support::worker::find_metric;

/// A look as often as the worker sees to its session at all.
const TIMING: Timing = Timing { quiet: Duration::from_millis(300), pause: Duration::from_millis(300) };

/// A worker inside the test's process: there, it can be made impatient.
struct InProcess {
    addr: SocketAddr,
    stop: CancellationToken,
    running: JoinHandle<Result<usize, app::Error>>,
}

impl InProcess {
    async fn start(corner: &Corner, args: &[&str]) -> Self {
        // Free by now, and not taken in between: nobody else asks for a certain port.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        drop(listener);
        let told = [
            ("--amqp-url", corner.amqp_url.clone()),
            ("--job-queue", corner.jobs_queue()),
            ("--reply-queue", corner.reply_queue()),
            ("--flow-url", corner.sim.flow_url()),
            ("--ims-url", corner.sim.url()),
            ("--ims-client-id", CLIENT_ID.to_owned()),
            ("--ims-client-secret", CLIENT_SECRET.to_owned()),
            ("--ims-org-id", ORG.to_owned()),
            ("--sandbox-name", SANDBOX.to_owned()),
            ("--admin-addr", addr.to_string()),
        ];
        let told = told.iter().flat_map(|(name, value)| [*name, value.as_str()]);
        let line = ["connection-worker", "run"].into_iter().chain(told).chain(args.iter().copied());
        let Command::Run(options) = Cli::try_parse_from(line).unwrap().command else { panic!("it is run") };
        let (mut config, _) = options.validate().unwrap();
        config.session.intake.watch = TIMING;
        let stop = CancellationToken::new();
        let running = tokio::spawn(app::run(config, stop.clone()));
        Self { addr, stop, running }
    }

    /// Sessions that failed so far.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter is neither")]
    async fn failures(&self) -> Option<u64> {
        let metrics = http::get(self.addr, "/metrics").await.ok()?.body;
        let failures = find_metric(&metrics, FAILURES)?;
        Some(failures as u64)
    }

    async fn stop(self) {
        self.stop.cancel();
        assert_eq!(self.running.await.unwrap().unwrap(), 0, "no job is left behind");
    }
}

/// Somebody else's consumer, which takes one message and keeps it.
async fn hold_one(corner: &Corner) -> (Channel, Consumer) {
    let channel = corner.vhost.channel().await;
    channel.basic_qos(1, BasicQosOptions::default()).await.unwrap();
    let queue = corner.jobs_queue();
    let options = BasicConsumeOptions::default();
    let consuming =
        channel.basic_consume(queue.as_str().into(), "other".into(), options, FieldTable::default());
    let mut consumer = consuming.await.unwrap();
    corner.submit(&job("held")).await;
    consumer.next().await.unwrap().unwrap();
    (channel, consumer)
}

/// With a single active consumer, all others get nothing: as good as a consumer that the broker has forgotten.
#[tokio::test]
async fn a_consumer_that_starves_is_replaced() {
    let corner = Corner::new().await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    corner.vhost.declare(&corner.jobs_queue(), arguments).await;
    let (active, _consumer) = hold_one(&corner).await;
    let worker = InProcess::start(&corner, &[]).await;
    corner.submit_all(["one", "two"].map(job)).await;
    eventually("the session is replaced, and the next one, too", PATIENCE, async || {
        let failures = worker.failures().await;
        if failures >= Some(2) { Ok(()) } else { Err(failures) }
    })
    .await;

    active.close(200, "OK".into()).await.unwrap();
    corner.replies(3).await;
    corner.settled().await;
    worker.stop().await;
    corner.remove().await;
}

/// One job at a time, each of which takes several looks' time, and always another one that waits.
#[tokio::test]
async fn a_worker_that_is_busy_is_left_alone() {
    let options = Options { latency: Latency::Fixed { ms: 1_500 }, ..Options::default() };
    let corner = Corner::with(options).await;
    let worker = InProcess::start(&corner, &["--concurrency", "1"]).await;
    eventually("the queue is there", PATIENCE, async || corner.vhost.exists(&corner.jobs_queue()).await)
        .await;
    corner.submit_all(["one", "two", "three"].map(job)).await;
    corner.replies(3).await;
    assert_eq!(worker.failures().await, Some(0));
    worker.stop().await;
    corner.remove().await;
}
