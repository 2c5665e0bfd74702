//! Settings of Flow Service, and of IMS, which lets the worker in there.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::credential::Given;
use super::setting::{HttpUrl, Invalid, Setting};
use super::{MILLISECOND, MINUTE};
use crate::flow::client::FlowSettings;
use crate::flow::token::{Credentials, ImsCredentials};

/// Where Flow Service is and how to log in there.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Flow Service")]
pub(super) struct FlowOptions {
    /// Base address of Flow Service
    #[arg(
        long,
        env = "FLOW_URL",
        value_name = "URL",
        default_value = "https://platform.adobe.io/data/foundation/flowservice"
    )]
    flow_url: Setting<HttpUrl>,
    /// Deadline of one call; a little above the 60 s after which Adobe's gateway gives up
    #[arg(long, env = "FLOW_TIMEOUT", value_name = "DURATION", default_value = "65s")]
    flow_timeout: Setting<Duration>,
    /// Deadline of connecting to Flow Service or IMS; at most nine tenths of `FLOW_TIMEOUT` count
    #[arg(long, env = "FLOW_CONNECT_TIMEOUT", value_name = "DURATION", default_value = "5s")]
    flow_connect_timeout: Setting<Duration>,
    /// Base address of IMS, which issues access tokens; `/ims/token/v3` is added
    #[arg(long, env = "IMS_URL", value_name = "URL", default_value = "https://ims-na1.adobelogin.com")]
    ims_url: Setting<HttpUrl>,
    /// Client id of the OAuth Server-to-Server credential; required unless `ACCESS_TOKEN` is given
    #[arg(long, env = "IMS_CLIENT_ID", value_name = "ID")]
    ims_client_id: Option<String>,
    /// Its client secret
    #[arg(long, env = "IMS_CLIENT_SECRET", value_name = "SECRET")]
    ims_client_secret: Option<SecretString>,
    /// A file that holds the client secret instead; read again when IMS refuses the secret
    #[arg(long, env = "IMS_CLIENT_SECRET_FILE", value_name = "FILE")]
    ims_client_secret_file: Option<PathBuf>,
    /// Its scopes, separated by commas
    #[arg(
        long,
        env = "IMS_SCOPES",
        value_name = "SCOPES",
        default_value = "openid,session,AdobeID,read_organizations,additional_info.projectedProductContext"
    )]
    ims_scopes: String,
    /// A fixed access token instead of IMS credentials, as in Adobe's tutorial
    #[arg(long, env = "ACCESS_TOKEN", value_name = "TOKEN")]
    access_token: Option<SecretString>,
    /// A file that holds the access token instead; read again when the token is refused
    #[arg(long, env = "ACCESS_TOKEN_FILE", value_name = "FILE")]
    access_token_file: Option<PathBuf>,
    /// The API key (client id) that the fixed access token was issued to
    #[arg(long, env = "API_KEY", value_name = "KEY")]
    api_key: Option<SecretString>,
    /// A file that holds the API key instead
    #[arg(long, env = "API_KEY_FILE", value_name = "FILE")]
    api_key_file: Option<PathBuf>,
}

/// With a longer deadline a job could be in hand for too long, however low the other settings are.
const LONGEST_CALL: Duration = Duration::from_secs(3 * 60);

/// Deadline of one call to IMS, which answers in less than a second. While it is awaited, a delivery is held.
pub(super) const IMS_TIMEOUT: Duration = Duration::from_secs(15);

impl FlowOptions {
    /// The settings, or `None` with every fault noted.
    pub(super) fn validate(self, invalid: &mut Invalid) -> Option<(FlowSettings, Credentials)> {
        let url = invalid.take("FLOW_URL", self.flow_url);
        let ims_url = invalid.take("IMS_URL", self.ims_url);
        let timeout =
            invalid.take_duration("FLOW_TIMEOUT", self.flow_timeout, 10 * MILLISECOND..=LONGEST_CALL);
        let connect_timeout = invalid.take_duration(
            "FLOW_CONNECT_TIMEOUT",
            self.flow_connect_timeout,
            10 * MILLISECOND..=MINUTE,
        );
        // The deadline of the call must not end the connecting: what was never sent would look as if it had been.
        let connect_timeout = connect_timeout.zip(timeout).map(|(connect, call)| connect.min(call * 9 / 10));
        let access_token = Given::read(
            ["ACCESS_TOKEN", "ACCESS_TOKEN_FILE"],
            self.access_token,
            self.access_token_file,
            invalid,
        );
        let api_key = Given::read(["API_KEY", "API_KEY_FILE"], self.api_key, self.api_key_file, invalid);
        let client_secret = Given::read(
            ["IMS_CLIENT_SECRET", "IMS_CLIENT_SECRET_FILE"],
            self.ims_client_secret,
            self.ims_client_secret_file,
            invalid,
        );
        let credentials = match (access_token.is_given(), self.ims_client_id) {
            (true, Some(_)) => {
                invalid.add("ACCESS_TOKEN", "given besides IMS_CLIENT_ID, expected one of the two");
                None
            }
            (true, None) => {
                let access_token = access_token.required("ACCESS_TOKEN", invalid);
                let given = access_token.zip(api_key.required("API_KEY", invalid));
                given.map(|((access_token, _), (_, api_key))| Credentials::Fixed { access_token, api_key })
            }
            (false, Some(client_id)) => {
                let client_secret = client_secret.required("IMS_CLIENT_SECRET", invalid);
                (|| {
                    Some(Credentials::Ims(ImsCredentials {
                        url: ims_url?.0,
                        client_id,
                        client_secret: client_secret?.0,
                        scopes: self.ims_scopes,
                        timeout: timeout?.min(IMS_TIMEOUT),
                        connect_timeout: connect_timeout?.min(IMS_TIMEOUT),
                    }))
                })()
            }
            (false, None) => {
                invalid.add("IMS_CLIENT_ID", "missing, and so is ACCESS_TOKEN: one of the two is needed");
                None
            }
        };
        let flow =
            FlowSettings { url: url?.0, timeout: timeout?, connect_timeout: connect_timeout?, max_idle: 0 };
        Some((flow, credentials?))
    }
}
