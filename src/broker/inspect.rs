//! Looks at the broker and its queues, and changes nothing. For tools, not for the worker.
//!
//! A passive declaration tells that a queue exists, and nothing of its arguments. A declaration with the wanted ones is
//! refused if it has others, and the refusal names the first that differs; so it is declared again with that one as it
//! is, until nothing differs. What a policy of the broker adds cannot be seen over AMQP.

mod difference;

use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::uri::AMQPScheme;
use lapin::{Connection, ErrorKind};
use secrecy::ExposeSecret;

pub use self::difference::Difference;
use super::Error;
use super::connection::{Endpoint, connect, parse_url, step};
use super::publisher::Publisher;
use super::topology::{Queues, ready};
use crate::retry::tier::Tier;

/// Keeps a queue that was deleted meanwhile from being created: the broker looks at a stream's arguments when it creates
/// a queue of any kind, and refuses this value, but compares them only with a stream's (seen in RabbitMQ 3.10).
pub const UNFIT: (&str, &str) = ("x-max-age", "not to be created");

/// More arguments than that are not compared by any version of RabbitMQ.
const DIFFERENCES_MAX: usize = 20;

/// Where a broker's address leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Host name or IPv4 address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether the address asks for TLS.
    pub tls: bool,
    /// Who logs in.
    pub user: String,
    /// The virtual host.
    pub vhost: String,
}

/// What a queue is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Jobs, replies or parked messages: the worker uses it as it is.
    Plain,
    /// Jobs that wait: what is in it has to come back by itself.
    Retry(Tier),
}

/// A queue that the worker wants.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    arguments: FieldTable,
}

/// A queue that was found.
#[derive(Debug)]
pub struct Queue {
    /// Messages that nobody holds.
    pub ready: u32,
    /// In what it differs from what the worker would create; an error if that cannot be told.
    pub differences: Result<Vec<Difference>, Error>,
}

/// Where an endpoint's address leads.
pub fn place(endpoint: &Endpoint) -> Result<Place, Error> {
    let uri = parse_url(endpoint.url.read()?.expose_secret())?;
    Ok(Place {
        host: uri.authority.host,
        port: uri.authority.port,
        tls: uri.scheme == AMQPScheme::AMQPS,
        user: uri.authority.userinfo.username,
        vhost: uri.vhost,
    })
}

/// Every queue that the worker wants.
pub fn wanted(queues: &Queues) -> Vec<Wanted> {
    let role = |name: &str| {
        let tier = Tier::ALL.into_iter().find(|tier| queues.retry(*tier) == name);
        tier.map_or(Role::Plain, Role::Retry)
    };
    queues.all().map(|(name, arguments)| Wanted { role: role(&name), name, arguments }).collect()
}

/// A connection that only asks.
#[derive(Debug)]
pub struct Inspection {
    connection: std::sync::Arc<Connection>,
    timeout: Duration,
}

impl Inspection {
    /// Connects and logs in.
    pub async fn open(endpoint: &Endpoint) -> Result<Self, Error> {
        let connection = connect(endpoint, "doctor").await?;
        Ok(Self { connection: connection.into(), timeout: endpoint.timeout })
    }

    /// Whether the user may publish: asks the broker with a message for nobody, as the worker does when it starts.
    pub async fn may_publish(&self) -> Result<(), Error> {
        let publisher = Publisher::new(std::sync::Arc::clone(&self.connection), 1, self.timeout).await?;
        publisher.check_permission().await
    }

    /// Looks at a queue; nothing if there is none.
    pub async fn queue(&self, wanted: &Wanted) -> Result<Option<Queue>, Error> {
        let Some(ready) = ready(&self.connection, &wanted.name, self.timeout).await? else { return Ok(None) };
        let differences = self.differences(wanted).await;
        Ok(Some(Queue { ready, differences }))
    }

    async fn differences(&self, wanted: &Wanted) -> Result<Vec<Difference>, Error> {
        let mut options = QueueDeclareOptions::durable();
        let mut arguments = wanted.arguments.clone();
        arguments.insert(UNFIT.0.into(), AMQPValue::LongString(UNFIT.1.into()));
        let mut found: Vec<Difference> = Vec::new();
        while found.len() < DIFFERENCES_MAX {
            let Some(refusal) = self.refusal(&wanted.name, options, arguments.clone()).await? else { break };
            let difference = match Difference::read(&refusal) {
                // Nothing else differs from the queue, which is a stream.
                Some(difference) if difference.argument == UNFIT.0 => break,
                Some(difference) if !found.iter().any(|known| known.argument == difference.argument) => {
                    difference
                }
                _ => return Err(Error::Refused { step: "compare a queue", code: 406, text: refusal }),
            };
            difference.apply(&mut options, &mut arguments);
            found.push(difference);
        }
        Ok(found)
    }

    /// The broker's words if it says that an existing queue has other arguments.
    async fn refusal(
        &self,
        name: &str,
        options: QueueDeclareOptions,
        arguments: FieldTable,
    ) -> Result<Option<String>, Error> {
        let channel = step(self.timeout, "open a channel", self.connection.create_channel()).await?;
        let asking = channel.queue_declare(name.into(), options, arguments);
        match step(self.timeout, "compare a queue", async { Ok(asking.await) }).await? {
            Ok(_) => {
                step(self.timeout, "close a channel", channel.close(200, "OK".into())).await?;
                Ok(None)
            }
            Err(error) => match error.kind() {
                ErrorKind::ProtocolError(refused) if refused.get_id() == 406 => {
                    Ok(Some(refused.get_message().to_string()))
                }
                _ => Err(Error::lapin("compare a queue", error)),
            },
        }
    }

    /// Closes in order.
    pub async fn close(self) -> Result<(), Error> {
        step(self.timeout, "close the connection", self.connection.close(200, "OK".into())).await
    }
}
