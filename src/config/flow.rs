//! Settings of Flow Service, and of IMS, which lets the worker in there.

use std::time::Duration;

use super::login::{Login, LoginOptions};
use super::setting::{HttpUrl, Invalid, Setting, Switch};
use super::{MILLISECOND, MINUTE};
use crate::flow::client::FlowSettings;
use crate::flow::token::ImsSettings;
use crate::loopback::is_loopback;

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
    #[command(flatten)]
    timeouts: TimeoutOptions,
    /// Base address of IMS, which issues access tokens; `/ims/token/v3` is added
    #[arg(long, env = "IMS_URL", value_name = "URL", default_value = "https://ims-na1.adobelogin.com")]
    ims_url: Setting<HttpUrl>,
    /// `on`: credentials may go to another machine over plain `http://`, where all on the way can read them. `off`:
    /// `FLOW_URL` and `IMS_URL` must begin with `https://`, unless they lead to this machine: `localhost`, `127.0.0.0/8` or `::1`
    #[arg(long, env = "ALLOW_PLAIN_HTTP", value_name = "on|off", default_value = "off")]
    allow_plain_http: Setting<Switch>,
    #[command(flatten)]
    login: LoginOptions,
}

/// [`FlowOptions`], checked.
pub(super) struct Flow {
    pub(super) settings: FlowSettings,
    pub(super) ims: ImsSettings,
    pub(super) login: Login,
}

/// How long calls may take.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Flow Service")]
pub(super) struct TimeoutOptions {
    /// Deadline of one call; a little above the 60 s after which Adobe's gateway gives up
    #[arg(long, env = "FLOW_TIMEOUT", value_name = "DURATION", default_value = "65s")]
    flow_timeout: Setting<Duration>,
    /// Deadline of connecting to Flow Service or IMS; at most nine tenths of `FLOW_TIMEOUT` count
    #[arg(long, env = "FLOW_CONNECT_TIMEOUT", value_name = "DURATION", default_value = "5s")]
    flow_connect_timeout: Setting<Duration>,
}

/// With a longer deadline a job could be in hand for too long, however low the other settings are.
const LONGEST_CALL: Duration = Duration::from_secs(3 * 60);

/// Deadline of one call to IMS, which answers in less than a second. While it is awaited, a delivery is held.
pub(super) const IMS_TIMEOUT: Duration = Duration::from_secs(15);

impl TimeoutOptions {
    /// The deadlines of a call and of its connecting, or `None` with every fault noted.
    pub(super) fn validate(self, invalid: &mut Invalid) -> Option<(Duration, Duration)> {
        let call = invalid.take_duration("FLOW_TIMEOUT", self.flow_timeout, 10 * MILLISECOND..=LONGEST_CALL);
        let connect = invalid.take_duration(
            "FLOW_CONNECT_TIMEOUT",
            self.flow_connect_timeout,
            10 * MILLISECOND..=MINUTE,
        );
        let (call, connect) = call.zip(connect)?;
        // The deadline of the call must not end the connecting: what was never sent would look as if it had been.
        Some((call, connect.min(call * 9 / 10)))
    }
}

impl FlowOptions {
    /// The settings, or `None` with every fault noted.
    pub(super) fn validate(self, invalid: &mut Invalid) -> Option<Flow> {
        let url = invalid.take("FLOW_URL", self.flow_url);
        let ims_url = invalid.take("IMS_URL", self.ims_url);
        if let Some(Switch(false)) = invalid.take("ALLOW_PLAIN_HTTP", self.allow_plain_http) {
            refuse_exposed("FLOW_URL", url.as_ref(), invalid);
            refuse_exposed("IMS_URL", ims_url.as_ref(), invalid);
        }
        let timeouts = self.timeouts.validate(invalid);
        let login = self.login.validate(invalid);
        let (timeout, connect_timeout) = timeouts?;
        let settings = FlowSettings { url: url?.0, timeout, connect_timeout, max_idle: 0 };
        let ims = ImsSettings {
            url: ims_url?.0,
            timeout: timeout.min(IMS_TIMEOUT),
            connect_timeout: connect_timeout.min(IMS_TIMEOUT),
        };
        Some(Flow { settings, ims, login: login? })
    }
}

/// Every call carries a credential: a token, a client secret, what the job holds.
fn refuse_exposed(name: &'static str, url: Option<&HttpUrl>, invalid: &mut Invalid) {
    if url.is_some_and(|HttpUrl(url)| url.scheme() == "http" && !is_loopback(url)) {
        let what = "would send credentials to another machine in the clear, expected https://; ALLOW_PLAIN_HTTP=on permits it";
        invalid.add(name, what);
    }
}
