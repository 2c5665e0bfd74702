//! Who submits: straight to the broker, each job once, whatever comes of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::client::{Line, STEP};
use super::world::World;
use crate::support::corner::job;

/// As many as it takes to keep the pace while each waits for the confirm of its job.
const SENDERS: usize = 8;

/// Between two jobs of one sender: all together, 120 a second.
const PACE: Duration = Duration::from_micros(66_667);

/// For the confirm: long enough for a cluster to find a new leader.
const CONFIRM: Duration = Duration::from_secs(10);

/// Starts submitting.
pub(super) fn start(world: &Arc<World>, stop: &CancellationToken) -> JoinSet<()> {
    (0..SENDERS).map(|number| send(Arc::clone(world), number, stop.clone())).collect()
}

async fn send(world: Arc<World>, number: usize, stop: CancellationToken) {
    let mut pace = interval(PACE);
    // What could not be sent during an outage is not made up for: that would be a load of another kind.
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for turn in number.. {
        let Some(line) = Line::open(&world.urls, turn, &stop).await else { return };
        let selected = timeout(STEP, line.channel.confirm_select(ConfirmSelectOptions::default())).await;
        if !matches!(selected, Ok(Ok(()))) {
            continue;
        }
        while stop.run_until_cancelled(pace.tick()).await.is_some() {
            if !submit(&world, &line.channel).await {
                break;
            }
        }
    }
}

/// Submits the next job; false if the line is no good any more.
async fn submit(world: &World, channel: &Channel) -> bool {
    let number = world.next_job();
    let id = world.job_id(number);
    let body = job(&id).to_string();
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    world.ledger().sent(&id, Instant::now());
    let mut properties = BasicProperties::default().with_delivery_mode(2);
    // Asked only now that the job is in the ledger: see how that queue is deleted.
    if may_want_own_reply(&id) && world.own_replies_wanted.load(Ordering::SeqCst) {
        properties = properties.with_reply_to(world.own_replies().into());
    }
    let publishing = async {
        let queue = world.corner.jobs_queue();
        channel.basic_publish("".into(), queue.into(), options, body.as_bytes(), properties).await?.await
    };
    let confirmation = timeout(CONFIRM, publishing).await;
    let mut ledger = world.ledger();
    match &confirmation {
        Ok(Ok(Confirmation::Ack(None))) => ledger.confirmed(&id),
        Ok(Ok(Confirmation::Ack(Some(_)))) => ledger.returned(&id),
        // Refused, or nobody knows: not to be counted on, and not to be repeated.
        Ok(_) | Err(_) => ledger.unconfirmed(&id),
    }
    matches!(confirmation, Ok(Ok(_)))
}

/// One in ten jobs wants its reply in a queue of the sender's own, if that is wanted at all.
pub(super) fn may_want_own_reply(job: &str) -> bool {
    job.ends_with('0')
}
