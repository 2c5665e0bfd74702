//! What can be told of an access token without showing it. For tools, not for the worker.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::Value;

use super::{AccessToken, Kind, TokenSource};
use crate::flow::Failure;

/// How a token is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFacts {
    /// Whether the worker fetches the next one by itself.
    pub renewed: bool,
    /// How long it is still good; zero if it has expired, nothing if it does not say.
    pub left: Option<Duration>,
    /// What it was issued for, if it says.
    pub scopes: Option<Vec<String>>,
}

/// What an access token of IMS says of itself: a JWT (RFC 7519), with the times in milliseconds and as text, as
/// `aio-lib-ims` reads them, in place of `exp`. Nobody checks the signature here: it decides nothing.
#[derive(Debug, Default, Deserialize)]
struct Claims {
    created_at: Option<Value>,
    expires_in: Option<Value>,
    exp: Option<u64>,
    scope: Option<String>,
}

impl TokenSource {
    /// Gets a token, as a job would, and tells what is known of it.
    pub async fn facts(&self) -> Result<TokenFacts, Failure> {
        let token = self.current().await?;
        let claims = Claims::of(&token).unwrap_or_default();
        let (renewed, told) = match &self.inner.kind {
            Kind::Fixed(_) => (false, None),
            Kind::Ims(cache) => (true, cache.left()),
        };
        let left = told.or_else(|| {
            let expiry = UNIX_EPOCH + claims.expiry()?;
            Some(expiry.duration_since(SystemTime::now()).unwrap_or_default())
        });
        let scopes = claims.scope.map(|scope| {
            let scopes = scope.split([',', ' ']).filter(|scope| !scope.is_empty());
            scopes.map(str::to_owned).collect()
        });
        Ok(TokenFacts { renewed, left, scopes })
    }
}

impl Claims {
    fn of(token: &AccessToken) -> Option<Self> {
        let payload = token.value().expose_secret().split('.').nth(1)?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?).ok()
    }

    /// When the token expires, in Unix time.
    fn expiry(&self) -> Option<Duration> {
        let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
        let created_at = self.created_at.as_ref().and_then(number);
        let expires_in = self.expires_in.as_ref().and_then(number);
        match (created_at, expires_in, self.exp) {
            (Some(at), Some(life), _) => Some(Duration::from_millis(at.saturating_add(life))),
            (_, _, exp) => exp.map(Duration::from_secs),
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;
    use serde_json::json;

    use super::*;

    fn claims(payload: &Value) -> Option<Claims> {
        let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload.to_string()));
        Claims::of(&AccessToken::new(1, SecretString::from(token)).unwrap())
    }

    #[test]
    fn a_token_tells_when_it_expires() {
        for (payload, seconds) in [
            (json!({ "created_at": "1700000000000", "expires_in": "86400000" }), Some(1_700_086_400)),
            (
                json!({ "created_at": 1_700_000_000_000_u64, "expires_in": 1000, "exp": 1 }),
                Some(1_700_000_001),
            ),
            (json!({ "exp": 1_700_000_000, "scope": "openid" }), Some(1_700_000_000)),
            (json!({ "created_at": "1700000000000" }), None),
            (json!({ "created_at": "soon", "expires_in": "late" }), None),
        ] {
            assert_eq!(claims(&payload).unwrap().expiry(), seconds.map(Duration::from_secs), "{payload}");
        }
        assert!(claims(&json!("no claims")).is_none());
        let opaque = AccessToken::new(1, SecretString::from("opaque")).unwrap();
        assert!(Claims::of(&opaque).is_none());
    }
}
