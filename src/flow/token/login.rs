//! What one call proves itself with: an access token, and the source that it came from.

use std::sync::Arc;

use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use super::{AccessToken, TokenSource};
use crate::flow::Failure;

/// The token of one organisation, and where another comes from if it is refused. A call that has one goes on with it
/// whatever becomes of the organisation's credentials meanwhile.
#[derive(Debug, Clone)]
pub struct Login {
    source: TokenSource,
    token: Arc<AccessToken>,
}

impl TokenSource {
    /// The token to use now, with all that a call needs besides.
    pub async fn login(&self) -> Result<Login, Failure> {
        Ok(Login { source: self.clone(), token: self.current().await? })
    }

    /// Another login than one whose token was `refused`, or `None` if there is no other that could help. If that was of
    /// other credentials, these are tried.
    pub async fn login_after(&self, refused: &Login) -> Result<Option<Login>, Failure> {
        if !Arc::ptr_eq(&self.inner, &refused.source.inner) {
            return self.login().await.map(Some);
        }
        let fresh = self.renew(&refused.token).await?;
        Ok(fresh.map(|token| Login { source: self.clone(), token }))
    }
}

impl Login {
    /// The value of `Authorization`.
    pub(in crate::flow) fn authorization(&self) -> HeaderValue {
        self.token.header()
    }

    /// The value of `x-api-key`.
    pub(in crate::flow) fn api_key(&self) -> HeaderValue {
        self.source.api_key_header()
    }

    /// What must never be seen outside: the token, and all else that this organisation's credentials hold.
    pub(in crate::flow) fn secrets(&self) -> Vec<SecretString> {
        let token = SecretString::from(self.token.value().expose_secret());
        [token].into_iter().chain(self.source.secrets()).collect()
    }
}
