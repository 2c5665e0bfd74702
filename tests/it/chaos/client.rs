//! Clients of the broker that outlive it: each error ends a line, and the next is opened on the next node.

use std::time::Duration;

use lapin::tcp::OwnedTLSConfig;
use lapin::{Channel, Connection, ConnectionProperties};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// One step with a broker that may be dying. Short, because there are others to try.
pub(super) const STEP: Duration = Duration::from_secs(5);

/// Between two attempts.
pub(super) const PAUSE: Duration = Duration::from_millis(200);

/// A channel on a connection of its own.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) channel: Channel,
    _connection: Connection,
}

impl Line {
    /// Tries one node after the other, beginning with the one of this number, until there is a line or `stop` says that
    /// none is needed any more.
    pub(super) async fn open(urls: &[String], first: usize, stop: &CancellationToken) -> Option<Self> {
        for url in urls.iter().cycle().skip(first) {
            if stop.is_cancelled() {
                break;
            }
            match timeout(STEP, connect(url)).await {
                Ok(Ok(line)) => return Some(line),
                Ok(Err(_)) | Err(_) => sleep(PAUSE).await,
            }
        }
        None
    }
}

async fn connect(url: &str) -> lapin::Result<Line> {
    let runtime = lapin::runtime::default_runtime()?;
    let (properties, tls) = (ConnectionProperties::default(), OwnedTLSConfig::default());
    let connection = Connection::connect_with_config(url, properties, tls, runtime).await?;
    let channel = connection.create_channel().await?;
    Ok(Line { channel, _connection: connection })
}
