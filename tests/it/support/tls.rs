//! Certificates for one run: an authority of our own, the broker's certificate and a client's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// The broker's user that the client certificate names.
const CLIENT_NAME: &str = "guest";

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Everything that two ends of a TLS connection need, in PEM.
#[derive(Debug, Clone)]
pub(crate) struct Certificates {
    /// The authority that signed both: what a client must trust.
    pub(crate) ca: String,
    /// For `localhost` and `127.0.0.1`.
    pub(crate) server: Identity,
    /// For the user `guest`.
    pub(crate) client: Identity,
}

/// Where [`Certificates::write_to`] put what a client is configured with.
#[derive(Debug, Clone)]
pub(crate) struct ClientFiles {
    pub(crate) ca: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificates {
    /// New keys, so that nothing secret is kept in the repository and nothing expires.
    pub(crate) fn generate() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "connection-worker tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let ca = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);

        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let server = issue(&issuer, "localhost", names, ExtendedKeyUsagePurpose::ServerAuth)?;
        let client = issue(&issuer, CLIENT_NAME, Vec::new(), ExtendedKeyUsagePurpose::ClientAuth)?;
        Ok(Self { ca, server, client })
    }

    /// Trusts the authority and shows no certificate.
    pub(crate) fn trust(&self) -> OwnedTLSConfig {
        OwnedTLSConfig { identity: None, cert_chain: Some(self.ca.clone()) }
    }

    /// Trusts the authority and shows the client certificate.
    pub(crate) fn login(&self) -> OwnedTLSConfig {
        let identity = OwnedIdentity::PKCS8 {
            pem: self.client.certificate.clone().into_bytes(),
            key: self.client.key.clone().into_bytes(),
        };
        OwnedTLSConfig { identity: Some(identity), ..self.trust() }
    }

    /// Writes the broker's side to `ca.pem`, `server.pem` and `server-key.pem`.
    pub(crate) fn write_server_files(&self, dir: &Path) -> io::Result<()> {
        fs::write(dir.join("ca.pem"), &self.ca)?;
        fs::write(dir.join("server.pem"), &self.server.certificate)?;
        fs::write(dir.join("server-key.pem"), &self.server.key)
    }

    /// Writes the client's side, for processes that are configured with files.
    pub(crate) fn write_client_files(&self, dir: &Path) -> io::Result<ClientFiles> {
        let files = ClientFiles {
            ca: dir.join("client-ca.pem"),
            certificate: dir.join("client.pem"),
            key: dir.join("client-key.pem"),
        };
        fs::write(&files.ca, &self.ca)?;
        fs::write(&files.certificate, &self.client.certificate)?;
        fs::write(&files.key, &self.client.key)?;
        Ok(files)
    }
}

fn issue(
    issuer: &Issuer<'_, KeyPair>,
    common_name: &str,
    names: Vec<String>,
    purpose: ExtendedKeyUsagePurpose,
) -> Result<Identity, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?.pem();
    Ok(Identity { certificate, key: key.serialize_pem() })
}
