//! `dead-letters`: what an operator does about parked jobs. One file an action.

mod body;
mod drop;
mod letter;
mod list;
mod replay;
mod selection;
mod show;
mod survey;

use std::io::{self, IsTerminal, Write};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::error;

use self::selection::{Selection, SelectionOptions};
use super::run::exit_of_broker;
use super::{Exit, until_signalled};
use crate::broker;
use crate::broker::connection::Endpoint;
use crate::broker::parked::Walk;
use crate::broker::publisher::PublishError;
use crate::broker::topology::Queues;
use crate::config::{BrokerOptions, Invalid, LogOptions, LogSettings};
use crate::telemetry::Chain;

/// What holds for every action.
const ABOUT_LOOKING: &str = "The dead-letter queue is JOB_QUEUE with `.dead` at its end. Workers may run meanwhile; \
    messages that are looked at are held until the command ends, and then go back to their places. Quorum queues count \
    each look as a delivery: the queue that the worker creates allows 1,000,000 of them, but one of your own on RabbitMQ \
    4.x only 20 unless it has an x-delivery-limit, and then drops the message.";

/// How messages can be chosen.
const SOME: &str = "by job ids, or by a filter such as --reason exhausted";
const SOME_OR_ALL: &str = "by job ids, by a filter such as --reason exhausted, or --all";

/// Options of `dead-letters`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_long_help = ABOUT_LOOKING)]
pub struct DeadLettersOptions {
    /// What to do.
    #[command(subcommand)]
    action: ActionOptions,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum ActionOptions {
    /// One line a message: job, reason, age, attempts, source, last error; never credentials
    List {
        /// JSON Lines on a terminal, too
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        common: CommonOptions,
    },
    /// All about some messages, with every credential left out
    Show(CommonOptions),
    /// Put messages back on the job queue, for fresh attempts; can be interrupted and repeated
    Replay {
        /// Every message
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        common: CommonOptions,
    },
    /// Delete messages, after a question
    Drop {
        /// Every message
        #[arg(long)]
        all: bool,
        /// Delete without a question
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        common: CommonOptions,
    },
}

#[derive(Debug, Clone, clap::Args)]
#[command(after_long_help = ABOUT_LOOKING)]
struct CommonOptions {
    #[command(flatten)]
    selection: SelectionOptions,
    #[command(flatten)]
    broker: BrokerOptions,
    #[command(flatten)]
    log: LogOptions,
}

#[derive(Debug, Clone, Copy)]
enum Action {
    List { json: bool },
    Show,
    Replay,
    Drop { yes: bool },
}

/// What `dead-letters` needs, checked.
#[derive(Debug)]
pub struct DeadLettersConfig {
    action: Action,
    selection: SelectionOptions,
    endpoint: Endpoint,
    queues: Queues,
}

/// Why a command line cannot be acted on.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// Settings that cannot be used.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Nothing says which messages are meant.
    #[error("dead-letters {action}: say which messages: {ways}")]
    Unqualified {
        /// The action.
        action: &'static str,
        /// How they can be said.
        ways: &'static str,
    },
    /// All messages, and only some.
    #[error("dead-letters {0}: --all cannot be combined with job ids or filters")]
    AllAndSome(&'static str),
    /// There is nobody to ask.
    #[error("dead-letters drop: standard input is no terminal, so nobody can be asked; to delete, say --yes")]
    NobodyToAsk,
}

impl DeadLettersOptions {
    /// The configuration, or what is wrong with it.
    pub fn validate(self) -> Result<(DeadLettersConfig, LogSettings), Unfit> {
        let (action, all, common) = match self.action {
            ActionOptions::List { json, common } => (Action::List { json }, None, common),
            ActionOptions::Show(common) => (Action::Show, Some(("show", false)), common),
            ActionOptions::Replay { all, common } => (Action::Replay, Some(("replay", all)), common),
            ActionOptions::Drop { all, yes, common } => (Action::Drop { yes }, Some(("drop", all)), common),
        };
        let CommonOptions { selection, broker, log } = common;
        match (all, selection.is_empty()) {
            (Some((action, false)), true) => {
                let ways = if action == "show" { SOME } else { SOME_OR_ALL };
                return Err(Unfit::Unqualified { action, ways });
            }
            (Some((name, true)), false) => return Err(Unfit::AllAndSome(name)),
            _ => {}
        }
        if matches!(action, Action::Drop { yes: false }) && !io::stdin().is_terminal() {
            return Err(Unfit::NobodyToAsk);
        }
        let mut invalid = Invalid::default();
        let log = log.validate(&mut invalid);
        match (broker.validate(&mut invalid), log) {
            (Some((endpoint, queues)), Some(log)) if invalid.0.is_empty() => {
                Ok((DeadLettersConfig { action, selection, endpoint, queues }, log))
            }
            _ => Err(invalid.into()),
        }
    }
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the broker failed")]
    Broker(#[from] broker::Error),
    #[error(
        "the AMQP client cannot read a message in {queue}, after {seen} that it could read; look at it and delete it \
         with RabbitMQ's management page, or with another client"
    )]
    Unreadable { queue: String, seen: u64, source: Box<broker::Error> },
    #[error("a message could not be put on the job queue; it is still in the dead-letter queue")]
    Publish(#[source] PublishError),
    #[error("cannot write the results")]
    Output(#[from] io::Error),
}

/// Acts on parked messages. Succeeds only if all was done that was asked for.
pub async fn run(config: DeadLettersConfig) -> Exit {
    config.endpoint.warn_if_exposed();
    let end = match until_signalled(async |stop: CancellationToken| act(config, &stop).await).await {
        Ok(end) => end,
        Err(exit) => return exit,
    };
    match end {
        Ok(true) => Exit::Ok,
        Ok(false) => Exit::Incomplete,
        // Whoever closed the pipe has seen enough.
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
        Err(failure) => {
            error!(error = %Chain(&failure), "dead letters could not be handled");
            exit_of(&failure)
        }
    }
}

fn exit_of(failure: &Error) -> Exit {
    match failure {
        Error::Broker(error) => exit_of_broker(error),
        Error::Unreadable { .. } => Exit::Data,
        Error::Publish(PublishError::Returned { .. }) => Exit::Config,
        Error::Publish(PublishError::Refused(Some(error)) | PublishError::Unconfirmed(error)) => {
            exit_of_broker(error)
        }
        Error::Publish(PublishError::Refused(None)) => Exit::Incomplete,
        Error::Output(_) => Exit::Software,
    }
}

async fn act(config: DeadLettersConfig, stop: &CancellationToken) -> Result<bool, Error> {
    let DeadLettersConfig { action, selection, endpoint, queues } = config;
    let mut selection = selection.at(Timestamp::now());
    let mut walk = Walk::open(&endpoint, &queues.dead()).await?;
    let acted = match action {
        Action::List { json } => list::run(&mut walk, &mut selection, json, stop).await,
        Action::Show => show::run(&mut walk, &mut selection, stop).await,
        Action::Drop { yes } => drop::run(&mut walk, &mut selection, yes, stop).await,
        Action::Replay => {
            let to = replay::Target { endpoint: &endpoint, queue: &queues.jobs };
            replay::run(&mut walk, &mut selection, &to, stop).await
        }
    };
    // In any case: what was looked at goes back to its place.
    let (seen, finished) = (walk.total() - walk.left(), walk.finish().await);
    let done = acted.and_then(|done| finished.map(|()| done).map_err(Error::from));
    let unreadable = |error| Error::Unreadable { queue: queues.dead(), seen, source: Box::new(error) };
    let done = done.map_err(|error| match error {
        Error::Broker(error @ broker::Error::Unreadable { .. }) => unreadable(error),
        other => other,
    })?;
    Ok(done & all_found(&selection)?)
}

/// Tells which of the job ids are not in the queue.
fn all_found(selection: &Selection) -> io::Result<bool> {
    let missing: Vec<_> = selection.missing().iter().map(String::as_str).collect();
    if !missing.is_empty() {
        writeln!(io::stderr(), "not found: {}", super::terminal::plain(&missing.join(", ")))?;
    }
    Ok(missing.is_empty())
}
