//! The publisher by itself: many messages at once on few channels.

use std::collections::BTreeSet;
use std::time::Duration;

use connection_worker::broker::client::Client;
use connection_worker::broker::connection::{Endpoint, Mechanism};
use connection_worker::broker::link::Publish;
use connection_worker::broker::properties::{NewProperties, Properties};
use connection_worker::broker::publisher::PublishError;
use connection_worker::secret::SecretSource;
use futures_util::future::join_all;
use tokio::time::timeout;

use crate::support::PATIENCE;
use crate::support::corner::Corner;

const MESSAGES: usize = 20;

/// RabbitMQ closes a channel over a message that asks for direct replies where nobody waits for them.
const SPOILS: &str = "amq.rabbitmq.reply-to";

fn message(number: usize, reply_to: Option<&str>) -> Properties {
    let (message_id, reply_to) = (number.to_string(), reply_to.map(str::to_owned));
    Properties::json(NewProperties { message_id, reply_to, ..NewProperties::default() }).unwrap()
}

/// With one channel, so that those that are sent again have to wait for each other.
#[tokio::test]
async fn of_messages_side_by_side_one_that_closes_the_channel_hurts_only_itself() {
    let corner = Corner::new().await;
    let queue = corner.vhost.queue("side-by-side");
    corner.vhost.declare_classic(&queue).await;
    let endpoint = Endpoint {
        url: SecretSource::Inline(corner.vhost.amqp_url().into()),
        ca_file: None,
        identity: None,
        mechanism: Mechanism::Plain,
        heartbeat: Duration::from_secs(15),
        timeout: PATIENCE,
    };
    let client = Client::open(&endpoint, "test", 1).await.unwrap();
    let publish = async |number| {
        let properties = message(number, (number == MESSAGES / 2).then_some(SPOILS));
        client.publisher().publish(&queue, &properties, b"{}").await
    };
    let publishing = timeout(PATIENCE / 2, join_all((0..MESSAGES).map(publish)));
    let ends = publishing.await.expect("they wait for each other for ever");
    let refused: Vec<_> = (0..MESSAGES).filter(|number| ends[*number].is_err()).collect();
    assert_eq!(refused, [MESSAGES / 2], "{ends:?}");
    assert!(matches!(ends[MESSAGES / 2], Err(PublishError::Refused(Some(_)))), "{ends:?}");
    let arrived = corner.vhost.drain(&queue).await;
    let id = |number: usize| number.to_string();
    let arrived: BTreeSet<_> =
        arrived.iter().map(|message| message.properties.message_id().as_ref().unwrap().to_string()).collect();
    assert_eq!(arrived, (0..MESSAGES).filter(|number| *number != MESSAGES / 2).map(id).collect());
    client.close().await.unwrap();
}
