//! `submit`: puts jobs on the queue as any sender would, and shows what comes back.

pub(super) mod input;
mod report;

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use tracing::error;

use self::input::{InputError, Message, Template};
use self::report::Report;
use super::Exit;
use super::run::exit_of_broker;
use crate::broker;
use crate::broker::client::{Client, Replies};
use crate::broker::connection::Endpoint;
use crate::broker::link::Publish;
use crate::broker::properties::{NewProperties, Properties};
use crate::broker::publisher::{PublishError, Publisher};
use crate::config::{BrokerOptions, Invalid, LogOptions, LogSettings, Setting};
use crate::contract::reply::Reply;
use crate::telemetry::Chain;

/// Messages on their way to the broker at the same time.
const IN_FLIGHT: usize = 64;

/// What `--timeout` may be: up to a day, the longest that a job is likely to be retried.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 60 * 60);

/// Options of `submit`.
#[derive(Debug, Clone, clap::Args)]
pub struct SubmitOptions {
    /// Jobs as JSON, a JSON array or JSON Lines; `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// Take the one job in the file as a template and send it so many times; `{n}` in it becomes 1, 2, 3 …
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Wait for the replies and print them: a table on a terminal, JSON Lines elsewhere
    #[arg(long)]
    wait: bool,
    /// With --wait: give up when no reply came for this long
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    timeout: Setting<Duration>,
    #[command(flatten)]
    broker: BrokerOptions,
    #[command(flatten)]
    log: LogOptions,
}

/// What `submit` needs, checked.
#[derive(Debug)]
pub struct SubmitConfig {
    file: PathBuf,
    count: Option<u64>,
    wait: bool,
    timeout: Duration,
    endpoint: Endpoint,
    job_queue: String,
}

impl SubmitOptions {
    /// The configuration, or every fault at once.
    pub fn validate(self) -> Result<(SubmitConfig, LogSettings), Invalid> {
        let mut invalid = Invalid::default();
        let log = self.log.validate(&mut invalid);
        let broker = self.broker.validate(&mut invalid);
        let timeout = invalid.take_duration("TIMEOUT", self.timeout, TIMEOUTS);
        match (broker, log, timeout) {
            (Some((endpoint, queues)), Some(log), Some(timeout)) if invalid.0.is_empty() => {
                let config = SubmitConfig {
                    file: self.file,
                    count: self.count,
                    wait: self.wait,
                    timeout,
                    endpoint,
                    job_queue: queues.jobs,
                };
                Ok((config, log))
            }
            _ => Err(invalid),
        }
    }
}

/// Why jobs were not submitted, or replies not received.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot read the jobs")]
    Input(#[from] InputError),
    #[error("the broker failed")]
    Broker(#[from] broker::Error),
    #[error("job {job} could not be put on the queue {queue}")]
    Publish { job: String, queue: String, source: PublishError },
    #[error("cannot write the results")]
    Output(#[from] std::io::Error),
}

/// Submits the jobs; with `--wait`, succeeds only if every one was created.
pub async fn run(config: SubmitConfig) -> Exit {
    config.endpoint.warn_if_exposed();
    match submit(&config).await {
        Ok(true) => Exit::Ok,
        Ok(false) => Exit::Incomplete,
        Err(failure) => {
            error!(error = %Chain(&failure), "could not submit");
            match failure {
                Error::Input(_) => Exit::Data,
                Error::Broker(error) => exit_of_broker(&error),
                Error::Publish { source: PublishError::Returned { .. }, .. } => Exit::Config,
                Error::Publish { .. } => Exit::Unavailable,
                Error::Output(_) => Exit::Software,
            }
        }
    }
}

async fn submit(config: &SubmitConfig) -> Result<bool, Error> {
    let template = Template::read(&config.file, config.count)?;
    let client = Client::open(&config.endpoint, "submit", IN_FLIGHT).await?;
    let mut report = Report::new(template.len(), config.wait);
    let all_well = if config.wait {
        let replies = client.replies().await?;
        let queue = replies.queue().to_owned();
        let (expected, ids) = (template.len(), HashSet::new());
        let publishing = publish_all(client.publisher(), config, &template, Some(&queue), |_| {});
        let collecting = Collecting { replies, ids, timeout: config.timeout };
        let ((), all_created) = tokio::try_join!(publishing, collecting.all(expected, &mut report))?;
        all_created
    } else {
        publish_all(client.publisher(), config, &template, None, |message| report.sent(message)).await?;
        true
    };
    report.finish()?;
    client.close().await?;
    Ok(all_well)
}

async fn publish_all(
    publisher: &Publisher,
    config: &SubmitConfig,
    template: &Template,
    reply_to: Option<&str>,
    mut sent: impl FnMut(&Message),
) -> Result<(), Error> {
    let mut publishing = stream::iter(template.messages())
        .map(|message| async {
            let message = message?;
            publish(publisher, &config.job_queue, &message, reply_to).await?;
            Ok::<_, Error>(message)
        })
        .buffer_unordered(IN_FLIGHT);
    while let Some(message) = publishing.try_next().await? {
        sent(&message);
    }
    Ok(())
}

async fn publish(
    publisher: &Publisher,
    queue: &str,
    message: &Message,
    reply_to: Option<&str>,
) -> Result<(), Error> {
    let properties = Properties::json(NewProperties {
        message_id: message.id.clone(),
        correlation_id: Some(message.id.clone()),
        kind: "",
        timestamp: u64::try_from(Timestamp::now().as_second()).unwrap_or_default(),
        reply_to: reply_to.map(str::to_owned),
        headers: Vec::new(),
    })?;
    publisher.publish(queue, &properties, message.body.as_bytes()).await.map_err(|source| Error::Publish {
        job: message.id.clone(),
        queue: queue.to_owned(),
        source,
    })
}

/// Collects one reply a job.
struct Collecting {
    replies: Replies,
    ids: HashSet<String>,
    timeout: Duration,
}

impl Collecting {
    /// Reports replies until there is one for every job; tells whether all were created.
    async fn all(mut self, expected: u64, report: &mut Report) -> Result<bool, Error> {
        let mut all_created = true;
        for _ in 0..expected {
            let Some((id, body)) = self.next_new().await? else {
                error!(
                    missing = report.missing(),
                    "no further reply came in time: is a worker running, and does its REPLY_TO_ALLOW allow amq.*?"
                );
                return Ok(false);
            };
            let reply = serde_json::from_slice::<Reply>(&body);
            all_created &= report.reply(&id, &body, reply.ok().as_ref())?;
        }
        Ok(all_created)
    }

    /// The next reply to a job that had none yet; `None` if it does not come in time.
    async fn next_new(&mut self) -> Result<Option<(String, Vec<u8>)>, Error> {
        loop {
            let Ok(next) = tokio::time::timeout(self.timeout, self.replies.next()).await else {
                return Ok(None);
            };
            let (properties, body) = next?;
            let id = properties.correlation_id().unwrap_or_default().to_owned();
            if self.ids.insert(id.clone()) {
                return Ok(Some((id, body)));
            }
        }
    }
}
