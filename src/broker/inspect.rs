//! Looks at the broker and its queues, and changes nothing. For tools, not for the worker.
//!
//! A passive declaration tells that a queue exists, and nothing of its arguments. A declaration with the wanted ones is
//! refused if it has others, and the refusal names the first that differs; so it is declared again with that one as it
//! is, until nothing differs. What a policy of the broker adds cannot be seen over AMQP.
//!
//! What the user may do is asked with an argument that the broker refuses: it looks at the rights first.

mod difference;

use std::time::Duration;

use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::uri::AMQPScheme;
use lapin::{Channel, Connection, ErrorKind};
use secrecy::ExposeSecret;

pub use self::difference::Difference;
use super::Error;
use super::connection::{Endpoint, connect, parse_url, step};
use super::error::{NOT_FOUND, PRECONDITION_FAILED};
use super::publisher::Publisher;
use super::topology::{Queues, ready};
use crate::retry::tier::Tier;

/// Keeps a queue that is not there, or was deleted meanwhile, from being created: the broker looks at a stream's arguments
/// when it creates a queue of any kind, and refuses this value, but compares them only with a stream's (seen in RabbitMQ
/// 3.10 and 4.0).
pub const UNFIT: (&str, &str) = ("x-max-age", "not to be created");

/// Keep a consumer from being registered: the broker refuses a priority that is no number, and of a stream's consumer an
/// age of zero (seen in RabbitMQ 3.10 and 4.0). A text without a number there would end the connection.
pub const UNFIT_TO_CONSUME: [(&str, &str); 2] =
    [("x-priority", "not to consume"), ("x-stream-offset", "0 not to consume")];

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

impl Wanted {
    /// Whether what it gives up goes on to another queue. To create such a queue, a user must be allowed to read it, too.
    pub fn dead_letters(&self) -> bool {
        self.arguments.contains_key("x-dead-letter-exchange")
    }

    /// What it is declared with where it must not be created.
    fn unfit(&self) -> FieldTable {
        let mut arguments = self.arguments.clone();
        arguments.insert(UNFIT.0.into(), AMQPValue::LongString(UNFIT.1.into()));
        arguments
    }
}

/// What the broker says no with.
struct Refusal {
    code: u16,
    text: String,
}

impl Refusal {
    /// Whether it is about nothing but an argument that was meant to be refused.
    fn is_about(&self, argument: &str) -> bool {
        self.code == PRECONDITION_FAILED && self.text.contains(&format!("arg '{argument}'"))
    }

    fn during(self, step: &'static str) -> Error {
        Error::Refused { step, code: self.code, text: self.text }
    }
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

    /// Whether the user may create a queue that is not there: asks the broker, which creates none. It looks at the rights
    /// first. The limits of a virtual host come after the arguments from RabbitMQ 4.0 on, so they are seen only before.
    pub async fn may_create(&self, wanted: &Wanted) -> Result<(), Error> {
        let step = "create the queue";
        match self.declare(step, wanted, QueueDeclareOptions::durable(), wanted.unfit()).await? {
            Some(refusal) if refusal.is_about(UNFIT.0) => Ok(()),
            Some(refusal) => Err(refusal.during(step)),
            // It was created meanwhile.
            None => Ok(()),
        }
    }

    /// Whether the user may consume a queue, be it there or not: asks the broker, which gives no message.
    pub async fn may_consume(&self, queue: &str) -> Result<(), Error> {
        let mut arguments = FieldTable::default();
        for (name, value) in UNFIT_TO_CONSUME {
            arguments.insert(name.into(), AMQPValue::LongString(value.into()));
        }
        let step = "consume the job queue";
        let asking = async |channel: &Channel| {
            // A broker that takes any argument gives one message, which goes back with the end of the channel.
            channel.basic_qos(1, BasicQosOptions::default()).await?;
            let options = BasicConsumeOptions::default();
            channel.basic_consume(queue.into(), "".into(), options, arguments).await
        };
        let is_unfit = |refusal: &Refusal| UNFIT_TO_CONSUME.iter().any(|(name, _)| refusal.is_about(name));
        match self.refusal(step, asking).await? {
            Some(refusal) if refusal.code == NOT_FOUND || is_unfit(&refusal) => Ok(()),
            Some(refusal) => Err(refusal.during(step)),
            None => Ok(()),
        }
    }

    async fn differences(&self, wanted: &Wanted) -> Result<Vec<Difference>, Error> {
        let step = "compare a queue";
        let mut options = QueueDeclareOptions::durable();
        let mut arguments = wanted.unfit();
        let mut found: Vec<Difference> = Vec::new();
        while found.len() < DIFFERENCES_MAX {
            let Some(refusal) = self.declare(step, wanted, options, arguments.clone()).await? else { break };
            let difference = match Difference::read(&refusal.text) {
                // Nothing else differs from the queue, which is a stream.
                Some(difference) if difference.argument == UNFIT.0 => break,
                Some(difference) if !found.iter().any(|known| known.argument == difference.argument) => {
                    difference
                }
                _ => return Err(refusal.during(step)),
            };
            difference.apply(&mut options, &mut arguments);
            found.push(difference);
        }
        Ok(found)
    }

    async fn declare(
        &self,
        step: &'static str,
        wanted: &Wanted,
        options: QueueDeclareOptions,
        arguments: FieldTable,
    ) -> Result<Option<Refusal>, Error> {
        let asking = async |channel: &Channel| {
            channel.queue_declare(wanted.name.as_str().into(), options, arguments).await
        };
        self.refusal(step, asking).await
    }

    /// The broker's no to a question, if it says no; on a channel of its own, which that closes.
    async fn refusal<T>(
        &self,
        name: &'static str,
        ask: impl AsyncFnOnce(&Channel) -> lapin::Result<T>,
    ) -> Result<Option<Refusal>, Error> {
        let channel = step(self.timeout, "open a channel", self.connection.create_channel()).await?;
        match step(self.timeout, name, async { Ok(ask(&channel).await) }).await? {
            Ok(_) => {
                step(self.timeout, "close a channel", channel.close(200, "OK".into())).await?;
                Ok(None)
            }
            Err(error) => match error.kind() {
                ErrorKind::ProtocolError(refused) => {
                    Ok(Some(Refusal { code: refused.get_id(), text: refused.get_message().to_string() }))
                }
                _ => Err(Error::lapin(name, error)),
            },
        }
    }

    /// Closes in order.
    pub async fn close(self) -> Result<(), Error> {
        step(self.timeout, "close the connection", self.connection.close(200, "OK".into())).await
    }
}
