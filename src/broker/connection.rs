//! Connecting: address, TLS, login, heartbeat, and a deadline on every step.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::FutureExt;
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri, SASLMechanism};
use lapin::{Connection, ConnectionProperties};
use secrecy::ExposeSecret;
use tracing::warn;
use url::{Host, Url};

use super::Error;
use crate::loopback::is_loopback;
use crate::secret::SecretSource;

/// The first step; an error in it gets a hint about the login.
pub(super) const CONNECT: &str = "connect to the broker";

/// Bytes of the largest frame that is asked for, if the address does not say: RabbitMQ's default, so that it agrees.
///
/// lapin makes its buffers for what was asked for, of memory that costs nothing until it is used. Asked for nothing it
/// makes them anew when the broker has told, and writes zeros all over them: 16 MiB for two connections.
const FRAME_MAX: u32 = 128 * 1024;

/// Where the broker is and how to log in.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// `amqp://` or `amqps://`, with user, password and virtual host. Read anew for every connection.
    pub url: SecretSource,
    /// Certificates (PEM) that are trusted besides the system's own.
    pub ca_file: Option<PathBuf>,
    /// The worker's own certificate.
    pub identity: Option<Identity>,
    /// How to log in.
    pub mechanism: Mechanism,
    /// Asked-for heartbeat interval; the smaller of this and the broker's counts. A silent peer is noticed after
    /// twice this time.
    pub heartbeat: Duration,
    /// Deadline of connecting, and of every single step after it.
    pub timeout: Duration,
}

impl Endpoint {
    /// Warns if others can read along: to be called once, by whoever is about to connect.
    pub fn warn_if_exposed(&self) {
        // An address that cannot be read is told of by connecting.
        let exposed = self.url.read().is_ok_and(|url| is_exposed(url.expose_secret()));
        if exposed {
            warn!(
                "AMQP_URL leads to another machine over plain amqp://: all on the way can read the password and every job; use amqps://"
            );
        }
    }
}

/// Whether login and messages would cross a network in the clear.
fn is_exposed(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| url.scheme() == "amqp" && !is_loopback(&url))
}

/// A client certificate and its key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate (PEM).
    pub certificate_file: PathBuf,
    /// Its private key (PEM).
    pub key_file: PathBuf,
}

/// How to log in (SASL).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// With the user and password of the address.
    Plain,
    /// With the client certificate; RabbitMQ needs its plugin `rabbitmq_auth_mechanism_ssl`.
    External,
}

/// An address that cannot be used. Never shows the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not a URL at all.
    #[error("not a URL, expected amqp://USER:PASSWORD@HOST:PORT/VHOST")]
    NotAUrl,
    /// Some other protocol.
    #[error("expected a URL that starts with amqp:// or amqps://")]
    Scheme,
    /// No host.
    #[error("the URL names no host")]
    NoHost,
    /// lapin's address parser silently turns an IPv6 literal into `localhost`.
    #[error("IPv6 literals are not supported, give a host name")]
    Ipv6Literal,
    /// The path is more than a virtual host.
    #[error("the virtual host is not a single path segment; write / as %2f")]
    VirtualHost,
    /// A parameter that the client does not know.
    #[error("the part after ? is not understood")]
    Query,
}

/// Checks an address without connecting.
pub fn check_url(text: &str) -> Result<(), UrlError> {
    parse_url(text).map(drop)
}

pub(super) fn parse_url(text: &str) -> Result<AMQPUri, UrlError> {
    let url = Url::parse(text).map_err(|_| UrlError::NotAUrl)?;
    if !matches!(url.scheme(), "amqp" | "amqps") {
        return Err(UrlError::Scheme);
    }
    // For a scheme it does not know, `Url` takes the host as opaque text; only an IPv6 literal is recognised.
    match url.host() {
        None | Some(Host::Domain("")) => return Err(UrlError::NoHost),
        Some(Host::Ipv6(_)) => return Err(UrlError::Ipv6Literal),
        Some(Host::Domain(_) | Host::Ipv4(_)) => {}
    }
    if url.path().strip_prefix('/').is_some_and(|vhost| vhost.contains('/')) {
        return Err(UrlError::VirtualHost);
    }
    text.parse::<AMQPUri>().map_err(|_| UrlError::Query)
}

/// Runs one step under the endpoint's deadline. No `async fn`, which would hold the future twice: once as its argument.
pub(super) fn step<T>(
    timeout: Duration,
    name: &'static str,
    future: impl Future<Output = lapin::Result<T>>,
) -> impl Future<Output = Result<T, Error>> {
    tokio::time::timeout(timeout, future).map(move |ended| match ended {
        Ok(result) => result.map_err(|error| Error::lapin(name, error)),
        Err(_) => Err(Error::Timeout { step: name, after: timeout }),
    })
}

/// Opens a connection; `role` is part of the name that RabbitMQ's management pages show.
///
/// lapin leaks a thread when a connect is cancelled (measured: one per attempt against a silent peer), so
/// attempts must not go on for ever.
pub(super) async fn connect(endpoint: &Endpoint, role: &str) -> Result<Connection, Error> {
    let url = endpoint.url.read()?;
    let mut uri = parse_url(url.expose_secret())?;
    uri.query.heartbeat = Some(u16::try_from(endpoint.heartbeat.as_secs()).unwrap_or(u16::MAX));
    uri.query.frame_max.get_or_insert(FRAME_MAX);
    uri.query.auth_mechanism = Some(match endpoint.mechanism {
        Mechanism::Plain => SASLMechanism::Plain,
        Mechanism::External => SASLMechanism::External,
    });
    let tls = match uri.scheme {
        AMQPScheme::AMQP => OwnedTLSConfig::default(),
        AMQPScheme::AMQPS => tls_config(endpoint)?,
    };
    let properties =
        ConnectionProperties::default().with_connection_name(format!("connection-worker {role}").into());
    let runtime = lapin::runtime::default_runtime().map_err(|error| Error::lapin(CONNECT, error))?;
    let connecting = Connection::connect_uri_with_config(uri, properties, tls, runtime);
    step(endpoint.timeout, CONNECT, connecting).await
}

fn tls_config(endpoint: &Endpoint) -> Result<OwnedTLSConfig, Error> {
    let read =
        |path: &PathBuf| std::fs::read(path).map_err(|source| Error::TlsFile { path: path.clone(), source });
    let cert_chain = match &endpoint.ca_file {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|source| Error::TlsFile { path: path.clone(), source })?;
            Some(text)
        }
        None => None,
    };
    let identity = match &endpoint.identity {
        Some(Identity { certificate_file, key_file }) => {
            Some(OwnedIdentity::PKCS8 { pem: read(certificate_file)?, key: read(key_file)? })
        }
        None => None,
    };
    Ok(OwnedTLSConfig { identity, cert_chain })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_connection_to_another_machine_is_exposed() {
        for (address, exposed) in [
            ("amqp://guest:guest@localhost:5672/%2f", false),
            ("amqp://127.0.0.1/", false),
            ("amqps://rabbit.example.com", false),
            ("amqp://rabbit.example.com", true),
            ("amqp://u:p@10.0.0.1/vhost", true),
        ] {
            assert_eq!(is_exposed(address), exposed, "{address}");
        }
    }

    #[test]
    fn addresses_are_checked() {
        for good in [
            "amqp://guest:guest@localhost:5672/%2f",
            "amqps://rabbit.example.com",
            "amqp://u:p@10.0.0.1/vhost?channel_max=100",
        ] {
            assert_eq!(check_url(good), Ok(()), "{good}");
        }
        for (bad, error) in [
            ("rabbit", UrlError::NotAUrl),
            ("http://rabbit", UrlError::Scheme),
            ("amqp://", UrlError::NoHost),
            ("amqp://u:p@[::1]:5672/", UrlError::Ipv6Literal),
            ("amqp://h/a/b", UrlError::VirtualHost),
            ("amqp://h//", UrlError::VirtualHost),
            ("amqp://h/?heartbeat=soon", UrlError::Query),
        ] {
            assert_eq!(check_url(bad), Err(error), "{bad}");
        }
    }
}
