//! Channels to publish on: so many, opened when they are needed, and used again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::broker::Error;
use crate::broker::connection::step;

pub(super) struct Pool {
    connection: Arc<Connection>,
    idle: Mutex<Vec<Channel>>,
    permits: Arc<Semaphore>,
    timeout: Duration,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("free_channels", &self.permits.available_permits())
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// At most `channels` channels on `connection`; the first is opened at once.
    pub(super) async fn new(
        connection: Arc<Connection>,
        channels: usize,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let permits = Arc::new(Semaphore::new(channels));
        let pool = Self { connection, idle: Mutex::new(Vec::with_capacity(channels)), permits, timeout };
        pool.give_back(pool.open().await?);
        Ok(pool)
    }

    /// A channel that nobody else uses, as soon as there may be one more.
    pub(super) async fn channel(&self) -> Result<(Channel, OwnedSemaphorePermit), Error> {
        let permit = self.permit().await?;
        let idle = self.take_idle();
        let channel = match idle {
            Some(channel) => channel,
            None => self.open().await?,
        };
        Ok((channel, permit))
    }

    /// Whether one more channel may be used at once.
    pub(super) fn has_room(&self) -> bool {
        self.permits.available_permits() > 0
    }

    /// The right to use one more channel.
    pub(super) async fn permit(&self) -> Result<OwnedSemaphorePermit, Error> {
        let permit = Arc::clone(&self.permits).acquire_owned();
        match tokio::time::timeout(self.timeout, permit).await {
            Ok(Ok(permit)) => Ok(permit),
            // Nobody closes the semaphore; if somebody did, the pool would be shut.
            Ok(Err(_)) => Err(Error::Closed { role: "publish" }),
            Err(_) => Err(Error::Timeout { step: "get a channel to publish on", after: self.timeout }),
        }
    }

    /// The channel can be used again.
    pub(super) fn give_back(&self, channel: Channel) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(channel);
    }

    fn take_idle(&self) -> Option<Channel> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(channel) = idle.pop() {
            if channel.status().connected() {
                return Some(channel);
            }
        }
        None
    }

    async fn open(&self) -> Result<Channel, Error> {
        let channel = step(self.timeout, "open a channel", self.connection.create_channel()).await?;
        let confirms = channel.confirm_select(ConfirmSelectOptions::default());
        step(self.timeout, "turn on publisher confirms", confirms).await?;
        Ok(channel)
    }
}
