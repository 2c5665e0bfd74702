//! What the broker's user may do: asked without a trace.

use std::time::Duration;

use connection_worker::broker::inspect::{UNFIT, UNFIT_TO_CONSUME};
use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};

use super::{PASSWORD, Report, doctor};
use crate::support::corner::{Corner, job};
use crate::support::rig::Rig;

/// What doctor says where the user may configure, write and read just so.
async fn asked_as(rig: &Rig, role: &str, [configure, write, read]: [&str; 3]) -> Report {
    let user = format!("{}-{role}", rig.vhost.name());
    rig.add_user(&user, PASSWORD, configure, write, read).await;
    doctor(&rig.corner, &[("AMQP_URL", &rig.url_of(&user, PASSWORD))]).await
}

fn text<'a>(check: &'a Value, field: &str) -> &'a str {
    check[field].as_str().unwrap_or_default()
}

fn of_type(queue_type: &str) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(queue_type.into()));
    arguments
}

/// A queue can be deleted between the look and the comparison; then that must not create it. Nor must the question
/// whether it may be created.
#[tokio::test]
async fn a_comparison_creates_nothing() {
    let corner = Corner::new().await;
    for queue_type in ["quorum", "classic"] {
        let queue = corner.vhost.queue(&format!("gone.{queue_type}"));
        let mut arguments = of_type(queue_type);
        arguments.insert(UNFIT.0.into(), AMQPValue::LongString(UNFIT.1.into()));
        let options = QueueDeclareOptions::durable();
        let declared =
            corner.vhost.channel().await.queue_declare(queue.as_str().into(), options, arguments).await;
        let error = declared.expect_err("it was created").to_string();
        assert!(error.contains(&format!("invalid arg '{}'", UNFIT.0)), "{error}");
        assert!(!corner.vhost.exists(&queue).await, "{queue} was created");
    }
}

#[tokio::test]
async fn asking_for_the_right_to_consume_takes_no_job() {
    let corner = Corner::new().await;
    let jobs = corner.jobs_queue();
    for queue_type in ["quorum", "classic"] {
        corner.vhost.declare(&jobs, of_type(queue_type)).await;
        corner.submit(&job("only")).await;
        let report = doctor(&corner, &[]).await;
        assert_eq!(report.of("broker.consume")[0]["status"], "ok", "{:#?}", report.checks);
        assert!(text(report.queue(&jobs), "message").starts_with("1 ready"), "{:#?}", report.checks);
        assert_eq!(corner.vhost.consumers(&jobs).await, 0, "{queue_type}");
        let [taken] = &corner.vhost.drain(&jobs).await[..] else { panic!("one job went in") };
        assert!(!taken.redelivered, "somebody had it: {queue_type}");
        corner.vhost.delete_queue(&jobs).await;
    }
}

/// What keeps the question from being more than that.
#[tokio::test]
async fn no_kind_of_queue_takes_a_consumer_that_only_asks() {
    let corner = Corner::new().await;
    let mut unfit = FieldTable::default();
    for (name, value) in UNFIT_TO_CONSUME {
        unfit.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    for (queue_type, refused) in
        [("quorum", "x-priority"), ("classic", "x-priority"), ("stream", "x-stream-offset")]
    {
        let queue = corner.vhost.queue(queue_type);
        corner.vhost.declare(&queue, of_type(queue_type)).await;
        let channel = corner.vhost.channel().await;
        // Without a limit a stream would refuse it anyway.
        channel.basic_qos(1, BasicQosOptions::default()).await.unwrap();
        let options = BasicConsumeOptions::default();
        let consumed = channel.basic_consume(queue.as_str().into(), "".into(), options, unfit.clone()).await;
        let error = consumed.expect_err("it consumes").to_string();
        assert!(error.contains(&format!("invalid arg '{refused}'")), "{queue_type}: {error}");
        corner.vhost.delete_queue(&queue).await;
    }
}

/// The worker needs no right to configure a queue that is there.
#[tokio::test]
async fn a_user_who_may_not_configure_is_no_fault() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    rig.declare_queues().await;
    let report = asked_as(&rig, "reader", ["^$", ".*", ".*"]).await;
    assert_eq!(report.code, Some(0), "{:#?}", report.checks);
    let said = report.queue(&rig.jobs_queue());
    assert!(text(said, "message").contains("the user may not configure it"), "{said}");
    let report = asked_as(&rig, "mute", [".*", "^$", ".*"]).await;
    assert!(report.ended("failed").contains(&"broker.publish".to_owned()), "{:#?}", report.checks);
}

#[tokio::test]
async fn a_user_who_may_not_create_what_is_missing_is_found() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    rig.vhost.declare_quorum(&rig.reply_queue()).await;
    let report = asked_as(&rig, "guest", ["^$", ".*", ".*"]).await;
    assert_eq!(
        (report.code, report.ended("failed")),
        (Some(1), vec!["queue".to_owned(); 9]),
        "{:#?}",
        report.checks
    );
    assert_eq!(report.queue(&rig.reply_queue())["status"], "warning");
    for (queue, rights) in [(rig.dead_queue(), "configure"), (rig.jobs_queue(), "configure and read")] {
        let said = report.queue(&queue);
        assert!(text(said, "message").starts_with("missing, and could not create the queue: "), "{said}");
        assert!(text(said, "message").contains("403"), "{said}");
        let expected = format!("give it {rights} permission on the queue");
        assert!(text(said, "remedy").starts_with(&expected), "{said}");
        assert!(!rig.vhost.exists(&queue).await, "{queue} was created");
    }
    let report = doctor(&rig.corner, &[]).await;
    assert_eq!((report.code, report.ended("failed").len()), (Some(0), 0), "{:#?}", report.checks);
}

#[tokio::test]
async fn a_user_who_may_not_read_is_found() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    // Without queues: those that dead-letter want the right to read when they are created.
    let report = asked_as(&rig, "blind", [".*", ".*", "^$"]).await;
    let failed = report.ended("failed");
    assert_eq!(
        (report.code, failed[0].as_str(), failed.len()),
        (Some(1), "broker.consume", 10),
        "{:#?}",
        report.checks
    );
    assert_eq!(report.queue(&rig.dead_queue())["status"], "ok");
    assert!(!rig.vhost.exists(&rig.jobs_queue()).await);

    let worker = rig.worker(&[]).await;
    let report = asked_as(&rig, "blinder", [".*", ".*", "^$"]).await;
    assert_eq!(report.ended("failed"), ["broker.consume"; 3], "{:#?}", report.checks);
    let sources = [rig.jobs_queue(), rig.overflow_queue(), rig.held_queue()];
    for (said, queue) in report.of("broker.consume").into_iter().zip(sources) {
        assert_eq!((&said["subject"], text(said, "remedy")), (&json!(queue), "give it read permission"));
        assert!(text(said, "message").contains("403"), "{said}");
    }
    rig.corner.end(worker).await;
}
