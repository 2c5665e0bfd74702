//! Who reads: everything that comes out of the worker, from whichever queue, into the ledger; and only then acks.

use std::sync::Arc;

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Consumer};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::client::{Line, PAUSE, STEP};
use super::ledger::{Answer, Found, Ledger, Says};
use super::world::World;

/// What is read without being acked.
const PREFETCH: u16 = 100;

/// What a queue holds.
#[derive(Debug, Clone, Copy)]
enum Holds {
    Replies(Found),
    DeadJobs,
}

/// Starts reading every queue that something can come out of.
pub(super) fn start(world: &Arc<World>, stop: &CancellationToken) -> JoinSet<()> {
    let queues = [
        (world.corner.reply_queue(), Holds::Replies(Found::Delivered)),
        (world.own_replies(), Holds::Replies(Found::Delivered)),
        (world.corner.undeliverable_queue(), Holds::Replies(Found::Undeliverable)),
        (world.corner.dead_queue(), Holds::DeadJobs),
    ];
    queues.into_iter().map(|(queue, holds)| read(Arc::clone(world), queue, holds, stop.clone())).collect()
}

async fn read(world: Arc<World>, queue: String, holds: Holds, stop: CancellationToken) {
    for turn in 0.. {
        let Some(line) = Line::open(&world.urls, turn, &stop).await else { return };
        if let Ok(Ok(consumer)) = timeout(STEP, consume(&line.channel, &queue)).await {
            let reading = read_on(&world, consumer, holds);
            stop.run_until_cancelled(reading).await;
        }
        // The queue may be away, and so may the broker.
        sleep(PAUSE).await;
    }
}

async fn consume(channel: &Channel, queue: &str) -> lapin::Result<Consumer> {
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await
}

/// Reads until the consumer is cancelled or lost.
async fn read_on(world: &World, mut consumer: Consumer, holds: Holds) {
    while let Some(Ok(delivery)) = consumer.next().await {
        note(&mut world.ledger(), &delivery, holds);
        if !delivery.acker.ack(BasicAckOptions::default()).await.is_ok_and(|acked| acked) {
            return;
        }
    }
}

fn note(ledger: &mut Ledger, delivery: &Delivery, holds: Holds) {
    let message: Value = serde_json::from_slice(&delivery.data).unwrap_or_default();
    let again = delivery.redelivered;
    let Some(job) = message["jobId"].as_str() else {
        return ledger.stranger(format!("{holds:?}: {}", String::from_utf8_lossy(&delivery.data)));
    };
    match holds {
        Holds::DeadJobs => ledger.dead_lettered(job, &reason(&delivery.properties), again),
        Holds::Replies(found) => match answer(&delivery.properties, &message) {
            Some(answer) => ledger.answered(job, answer, found, again),
            None => ledger.stranger(format!("a reply that says nothing: {message}")),
        },
    }
}

fn answer(properties: &BasicProperties, reply: &Value) -> Option<Answer> {
    let says = match reply["status"].as_str()? {
        "created" => Says::Created {
            connection: reply["connection"]["id"].as_str()?.to_owned(),
            recovered: reply["connection"]["recovered"].as_bool()?,
        },
        "failed" => Says::Failed { code: reply["error"]["code"].as_str()?.to_owned() },
        _ => return None,
    };
    Some(Answer {
        read: Instant::now(),
        message_id: properties.message_id().as_ref()?.to_string(),
        says,
        completed_at: reply["completedAt"].as_str()?.to_owned(),
    })
}

fn reason(properties: &BasicProperties) -> String {
    let headers = properties.headers().as_ref();
    match headers.and_then(|headers| headers.inner().get("dead-reason")) {
        Some(AMQPValue::LongString(reason)) => reason.to_string(),
        _ => "by the broker".to_owned(),
    }
}
