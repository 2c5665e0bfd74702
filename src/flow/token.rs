//! The access token: a fixed one, or one that IMS issues to the worker and that is renewed before it expires.
//!
//! Whoever calls Flow Service asks the [`Keyring`] for the organisation's source, which gives a [`Login`] with the token to
//! use now, and another by [`TokenSource::login_after`] when that one was refused. Knows nothing about Flow Service.

mod cache;
mod facts;
mod fixed;
mod ims;
mod keyring;
mod login;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use self::cache::Cache;
pub use self::facts::TokenFacts;
use self::fixed::FixedToken;
pub use self::ims::ImsClient;
use self::ims::Issuer;
pub use self::keyring::Keyring;
pub use self::login::Login;
use super::Failure;
use super::http::BuildError;
use crate::contract::ids::ImsOrgId;
use crate::secret::SecretSource;

/// How the worker proves who it is.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A token that someone else issues and renews, as in Adobe's tutorials.
    Fixed {
        /// The token. If it is in a file, the file is read again when the token is refused.
        access_token: SecretSource,
        /// Sent as `x-api-key`: the client id that the token was issued to.
        api_key: SecretString,
    },
    /// OAuth Server-to-Server credentials, for which IMS issues a token that lives for a day.
    Ims(ImsCredentials),
}

/// OAuth Server-to-Server credentials, as the Adobe Developer Console shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImsCredentials {
    /// The client id; also sent to Flow Service as `x-api-key`.
    pub client_id: String,
    /// The client secret. If it is in a file, the file is read again when IMS refuses the secret.
    pub client_secret: SecretSource,
    /// The scopes, separated by commas. Spaces are taken out.
    pub scopes: String,
}

/// Where IMS is, and how long it may take.
#[derive(Debug, Clone)]
pub struct ImsSettings {
    /// The base address of IMS, to which `/ims/token/v3` is added.
    pub url: Url,
    /// How long a call to IMS may take, from connecting to the end of the answer.
    pub timeout: Duration,
    /// How long connecting to IMS may take.
    pub connect_timeout: Duration,
}

/// An access token, ready to be sent. Tokens are told apart by their number, never by their value.
pub struct AccessToken {
    number: u64,
    value: SecretString,
    header: HeaderValue,
}

/// The token holds characters that cannot stand in an HTTP header.
#[derive(Debug, thiserror::Error)]
#[error("the access token holds characters that cannot be sent in an HTTP header")]
struct UnfitToken;

/// Hands out the access token. Clones share it.
#[derive(Clone)]
pub struct TokenSource {
    inner: Arc<Inner>,
}

struct Inner {
    api_key: SecretString,
    api_key_header: HeaderValue,
    kind: Kind,
}

enum Kind {
    Fixed(FixedToken),
    Ims(Box<Cache<Issuer>>),
}

/// Whether both prove the same: the worker need not log in anew.
impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ims(one), Self::Ims(other)) => one == other,
            (
                Self::Fixed { access_token, api_key },
                Self::Fixed { access_token: other_token, api_key: other_key },
            ) => access_token == other_token && api_key.expose_secret() == other_key.expose_secret(),
            (Self::Fixed { .. } | Self::Ims(_), _) => false,
        }
    }
}

impl TokenSource {
    /// Reads the secrets, so that one that is missing is found at start-up. Calls nobody. The `owner` is the organisation
    /// that the credentials are for, if they are for one alone: so the log can say whose token it is.
    pub fn new(
        credentials: Credentials,
        ims: &ImsClient,
        owner: Option<ImsOrgId>,
    ) -> Result<Self, BuildError> {
        let (name, api_key, kind) = match credentials {
            Credentials::Fixed { access_token, api_key } => {
                ("API_KEY", api_key, Kind::Fixed(FixedToken::new(access_token)?))
            }
            Credentials::Ims(credentials) => {
                let api_key = SecretString::from(credentials.client_id.as_str());
                let cache = Cache::new(Issuer::new(credentials, ims.clone())?, ims.metrics(), owner);
                ("IMS_CLIENT_ID", api_key, Kind::Ims(Box::new(cache)))
            }
        };
        let api_key_header = sensitive(api_key.expose_secret()).ok_or(BuildError::Header(name))?;
        Ok(Self { inner: Arc::new(Inner { api_key, api_key_header, kind }) })
    }

    /// The token to use now. Asks IMS for one if there is none that is still good.
    pub async fn current(&self) -> Result<Arc<AccessToken>, Failure> {
        match &self.inner.kind {
            Kind::Fixed(fixed) => Ok(fixed.current()),
            Kind::Ims(cache) => cache.current().await,
        }
    }

    /// Whether there is a token that is still good.
    pub fn is_ready(&self) -> bool {
        match &self.inner.kind {
            Kind::Fixed(_) => true,
            Kind::Ims(cache) => cache.is_ready(),
        }
    }

    /// Another token than `refused`, or `None` if there is no other that could help.
    pub async fn renew(&self, refused: &AccessToken) -> Result<Option<Arc<AccessToken>>, Failure> {
        match &self.inner.kind {
            Kind::Fixed(fixed) => fixed.renew(refused),
            Kind::Ims(cache) => cache.renew(refused).await,
        }
    }

    /// The value of `x-api-key`.
    fn api_key_header(&self) -> HeaderValue {
        self.inner.api_key_header.clone()
    }

    /// What must never be seen outside, beside the tokens that were handed out.
    fn secrets(&self) -> Vec<SecretString> {
        let client_secret = match &self.inner.kind {
            Kind::Fixed(_) => None,
            Kind::Ims(cache) => Some(cache.issuer().client_secret()),
        };
        [self.inner.api_key.clone()].into_iter().chain(client_secret).collect()
    }
}

impl AccessToken {
    fn new(number: u64, value: SecretString) -> Result<Self, UnfitToken> {
        let header = sensitive(&format!("Bearer {}", value.expose_secret())).ok_or(UnfitToken)?;
        Ok(Self { number, value, header })
    }

    /// The value of `Authorization`.
    fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// The token itself, to be kept out of texts.
    fn value(&self) -> &SecretString {
        &self.value
    }
}

/// A header value that no `Debug` shows.
fn sensitive(value: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(value).ok()?;
    header.set_sensitive(true);
    Some(header)
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AccessToken").field("number", &self.number).finish_non_exhaustive()
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.inner.kind {
            Kind::Fixed(_) => "fixed",
            Kind::Ims(_) => "ims",
        };
        formatter.debug_struct("TokenSource").field("kind", &kind).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
