//! HTTPS: the certificate and its key, and the handshake. Knows nothing of requests.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, fs, io};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, InconsistentKeys, ServerConfig};
use tokio_rustls::server::TlsStream;
use tracing::debug;

/// A client that has not finished its handshake by then is let go.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// HTTP/2, as ALPN calls it.
const H2: &[u8] = b"h2";

/// HTTP/1.1, as ALPN calls it.
const HTTP_1_1: &[u8] = b"http/1.1";

/// Which versions of HTTP are offered; the client chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// HTTP/2, and HTTP/1.1 for who does not know it.
    Both,
    /// HTTP/1.1 only.
    Http1,
}

/// A certificate with its key, to speak HTTPS with.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive() // it holds a private key
    }
}

/// Why HTTPS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is no PEM.
    #[error("{} is not PEM", path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// Where it goes wrong.
        source: pem::Error,
    },
    /// Something else is in the file, if anything.
    #[error("{} holds no certificate: a line must say BEGIN CERTIFICATE", .0.display())]
    NoCertificate(PathBuf),
    /// Something else is in the file, if anything.
    #[error("{} holds no private key: a line must say BEGIN PRIVATE KEY, without ENCRYPTED", .0.display())]
    NoKey(PathBuf),
    /// Each is good, but they are no pair.
    #[error("the key in {} is not that of the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The certificate or the key is of a kind that is not understood.
    #[error("cannot use the certificate in {} with the key in {}", certificate.display(), key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong with them.
        source: rustls::Error,
    },
}

impl Tls {
    /// Reads both files, in PEM: the certificate, with those that lead to its authority after it, and its private key.
    pub fn load(certificate: &Path, key: &Path, versions: Versions) -> Result<Self, Error> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read(certificate)?)
            .collect::<Result<_, _>>()
            .map_err(|source| Error::Pem { path: certificate.to_owned(), source })?;
        if chain.is_empty() {
            return Err(Error::NoCertificate(certificate.to_owned()));
        }
        let secret = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|source| match source {
            pem::Error::NoItemsFound => Error::NoKey(key.to_owned()),
            source => Error::Pem { path: key.to_owned(), source },
        })?;
        let mut config = config(chain, secret).map_err(|source| {
            let (certificate, key) = (certificate.to_owned(), key.to_owned());
            match source {
                rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    Error::Mismatch { certificate, key }
                }
                source => Error::Unusable { certificate, key, source },
            }
        })?;
        config.alpn_protocols = match versions {
            Versions::Both => vec![H2.to_vec(), HTTP_1_1.to_vec()],
            Versions::Http1 => vec![HTTP_1_1.to_vec()],
        };
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Shakes hands; nothing if that fails or takes too long, which the client knows itself.
    pub(super) async fn accept<I>(&self, stream: I) -> Option<TlsStream<I>>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        match timeout(HANDSHAKE, self.0.accept(stream)).await {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => debug!(%error, "a TLS handshake failed"),
            Err(_) => debug!(timeout = ?HANDSHAKE, "a TLS handshake took too long"),
        }
        None
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// The crypto provider is named: which one is the default depends on what else is in the program.
fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
}

/// Whether client and server agreed on HTTP/2.
pub(super) fn is_http2<I>(stream: &TlsStream<I>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(H2)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::telemetry::Chain;

    /// A directory with `cert.pem`, `key.pem` and `other.pem`, a key of nobody's.
    fn files() -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        for (name, text) in [
            ("cert.pem", cert.pem()),
            ("key.pem", signing_key.serialize_pem()),
            ("other.pem", rcgen::KeyPair::generate().unwrap().serialize_pem()),
            ("empty.pem", String::new()),
            ("broken.pem", "-----BEGIN PRIVATE KEY-----\nAAAA".to_owned()),
            ("nonsense.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_owned()),
        ] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    fn load(dir: &TempDir, certificate: &str, key: &str) -> Result<Tls, Error> {
        Tls::load(&dir.path().join(certificate), &dir.path().join(key), Versions::Both)
    }

    #[test]
    fn what_is_wrong_with_the_files_is_said_with_their_names() {
        let dir = files();
        load(&dir, "cert.pem", "key.pem").unwrap();
        for (certificate, key, said) in [
            ("gone.pem", "key.pem", "cannot read DIR/gone.pem: No such file or directory (os error 2)"),
            ("cert.pem", "gone.pem", "cannot read DIR/gone.pem: No such file or directory (os error 2)"),
            ("empty.pem", "key.pem", "DIR/empty.pem holds no certificate: a line must say BEGIN CERTIFICATE"),
            ("key.pem", "key.pem", "DIR/key.pem holds no certificate: a line must say BEGIN CERTIFICATE"),
            (
                "cert.pem",
                "cert.pem",
                "DIR/cert.pem holds no private key: a line must say BEGIN PRIVATE KEY, without ENCRYPTED",
            ),
            (
                "cert.pem",
                "other.pem",
                "the key in DIR/other.pem is not that of the certificate in DIR/cert.pem",
            ),
        ] {
            let error = load(&dir, certificate, key).unwrap_err();
            let shown = Chain(&error).to_string().replace(dir.path().to_str().unwrap(), "DIR");
            assert_eq!(shown, said);
        }
        assert!(matches!(load(&dir, "cert.pem", "broken.pem"), Err(Error::Pem { .. })));
        assert!(matches!(load(&dir, "cert.pem", "nonsense.pem"), Err(Error::Unusable { .. })));
    }

    #[test]
    fn the_key_is_not_shown() {
        let dir = files();
        assert_eq!(format!("{:?}", load(&dir, "cert.pem", "key.pem").unwrap()), "Tls { .. }");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_is_let_go() {
        let tls = load(&files(), "cert.pem", "key.pem").unwrap();
        let (_silent, stream) = tokio::io::duplex(64);
        let begin = tokio::time::Instant::now();
        assert!(tls.accept(stream).await.is_none());
        assert_eq!(begin.elapsed(), HANDSHAKE);
    }
}
