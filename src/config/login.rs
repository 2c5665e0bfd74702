//! Settings of how the worker logs in: with one credential for every organisation, or with a file of many.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::credential::Given;
use super::setting::Invalid;
use crate::flow::token::{Credentials, ImsCredentials};

/// How to log in. Shown among the options of Flow Service.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct LoginOptions {
    /// Client id of the OAuth Server-to-Server credential; required unless `ACCESS_TOKEN` or `ORGS_FILE` is given
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
    /// A file (JSON) with the organisations to work for and the credentials of each, in place of the settings above; read
    /// again when it changes and on SIGHUP
    #[arg(long, env = "ORGS_FILE", value_name = "FILE")]
    orgs_file: Option<PathBuf>,
}

/// How to log in.
pub(super) enum Login {
    /// With one credential for all.
    One(Credentials),
    /// As a file says, which is still to be read; the scopes are those of entries that name none.
    File { path: PathBuf, scopes: String },
}

impl LoginOptions {
    /// The settings, or `None` with every fault noted.
    pub(super) fn validate(self, invalid: &mut Invalid) -> Option<Login> {
        match self.orgs_file {
            Some(_) => self.many(invalid),
            None => self.one(invalid).map(Login::One),
        }
    }

    /// The file has all that could be given besides, but for the scopes, which are those of entries that name none.
    fn many(self, invalid: &mut Invalid) -> Option<Login> {
        let given = [
            ("IMS_CLIENT_ID", self.ims_client_id.is_some()),
            ("IMS_CLIENT_SECRET", self.ims_client_secret.is_some()),
            ("IMS_CLIENT_SECRET_FILE", self.ims_client_secret_file.is_some()),
            ("ACCESS_TOKEN", self.access_token.is_some()),
            ("ACCESS_TOKEN_FILE", self.access_token_file.is_some()),
            ("API_KEY", self.api_key.is_some()),
            ("API_KEY_FILE", self.api_key_file.is_some()),
        ];
        for (name, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
            invalid.add(name, "given besides ORGS_FILE, which holds the credentials of each organisation");
        }
        Some(Login::File { path: self.orgs_file?, scopes: self.ims_scopes })
    }

    fn one(self, invalid: &mut Invalid) -> Option<Credentials> {
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
        // No secret, but read as one: it comes from the same place.
        let client_id = self.ims_client_id.map(SecretString::from);
        let client_id = Given::read(["IMS_CLIENT_ID"; 2], client_id, None, invalid);
        match (access_token.is_given(), client_id.is_given()) {
            (true, true) => {
                invalid.add("ACCESS_TOKEN", "given besides IMS_CLIENT_ID, expected one of the two");
                None
            }
            (true, false) => {
                let access_token = access_token.required("ACCESS_TOKEN", invalid);
                let given = access_token.zip(api_key.required("API_KEY", invalid));
                given.map(|((access_token, _), (_, api_key))| Credentials::Fixed { access_token, api_key })
            }
            (false, true) => {
                let client_secret = client_secret.required("IMS_CLIENT_SECRET", invalid);
                let given = client_id.required("IMS_CLIENT_ID", invalid).zip(client_secret);
                given.map(|((_, client_id), (client_secret, _))| {
                    let client_id = client_id.expose_secret().to_owned();
                    let scopes = self.ims_scopes;
                    Credentials::Ims(ImsCredentials { client_id, client_secret, scopes })
                })
            }
            (false, false) => {
                let what = "missing, and so are ACCESS_TOKEN and ORGS_FILE: one of the three is needed";
                invalid.add("IMS_CLIENT_ID", what);
                None
            }
        }
    }
}
