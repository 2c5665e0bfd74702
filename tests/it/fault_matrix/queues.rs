//! What can go wrong between the broker and a worker that is connected to it: acks and confirms that do not get through,
//! queues that are missing or full, channels that are closed.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use super::case::{Case, on_both_types};
use crate::support::PATIENCE;
use crate::support::corner::job;
use crate::support::eventually::eventually;
use crate::support::rig::{CONSUME, PUBLISH};

/// No more than an organisation has slots: one is kept for others.
const HELD: usize = 9;

#[tokio::test]
async fn a_connection_lost_between_create_reply_and_ack_repeats_no_create() {
    on_both_types(async |queue_type| {
        let mut case = Case::start(queue_type, &[]).await;
        for way in [PUBLISH, CONSUME] {
            case.hold(HELD).await;
            case.rig.proxy.freeze_named(way);
            case.api.restore();
            if way == CONSUME {
                let replies = case.rig.reply_queue();
                let held = u32::try_from(HELD).unwrap();
                eventually("all replies are out", PATIENCE, async || {
                    case.rig.vhost.depth(&replies).await == held
                })
                .await;
            }
            case.rig.proxy.cut();
            case.wait_failures(1).await;
            case.rig.proxy.restore();
            case.check().await;
            let calls = case.rig.sim.report().await["requests"]["create"].as_u64().unwrap();
            assert_eq!(calls, case.rig.created().await, "each was called for once");
        }
        assert_eq!(case.repeated(), HELD, "those that were answered and not acked are answered again");
    })
    .await;
}

/// A queue of this case's type that has no room.
async fn full_queue(case: &Case) -> String {
    let queue = case.rig.vhost.queue("full");
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(case.queue_type.into()));
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    case.rig.vhost.declare(&queue, arguments).await;
    // A quorum queue refuses only when it is over its limit.
    for _ in 0..if case.queue_type == "quorum" { 2 } else { 1 } {
        case.rig.vhost.publish(&queue, BasicProperties::default(), b"no room for more").await;
    }
    queue
}

#[tokio::test]
async fn replies_to_queues_that_are_missing_full_or_deleted_are_parked() {
    on_both_types(async |queue_type| {
        let mut case = Case::start(queue_type, &[]).await;
        for queue in [case.rig.vhost.queue("missing"), full_queue(&case).await] {
            for number in 0..HELD {
                let id = format!("{queue}-{number}");
                let properties = BasicProperties::default().with_reply_to(queue.as_str().into());
                case.submit_as(&id, "created", properties, job(&id).to_string().as_bytes()).await;
            }
            case.undeliverable += HELD;
        }
        case.check().await;

        case.hold(HELD).await;
        case.rig.vhost.delete_queue(&case.rig.reply_queue()).await;
        case.api.restore();
        case.undeliverable += HELD;
        case.check().await;
        assert_eq!(case.workers[0].count(super::FAILURES).await, 0, "no reply costs a session");
    })
    .await;
}

/// All jobs are in hand when the queue goes, so none is lost with it.
#[tokio::test]
async fn a_job_queue_that_is_deleted_takes_no_job_along_that_is_in_hand() {
    on_both_types(async |queue_type| {
        let mut case = Case::start(queue_type, &[]).await;
        case.hold(HELD).await;
        case.rig.vhost.delete_queue(&case.rig.jobs_queue()).await;
        case.workers[0].wait_log("cancelled the consumer", PATIENCE).await;
        case.wait_failures(1).await;
        case.workers[0].wait_ready().await;
        case.api.restore();
        case.submit(HELD).await;
        case.check().await;
    })
    .await;
}

#[tokio::test]
async fn a_channel_or_connection_that_the_broker_closes_is_replaced() {
    on_both_types(async |queue_type| {
        let mut case = Case::start(queue_type, &[]).await;
        case.begin().await;
        case.rig.close_consuming_channel().await;
        case.wait_failures(1).await;
        case.check().await;
        for (failures, connection) in [(2, CONSUME), (3, PUBLISH)] {
            case.begin().await;
            case.rig.close_connection(connection).await;
            case.wait_failures(failures).await;
            case.check().await;
        }
    })
    .await;
}
