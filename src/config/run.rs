//! Settings of the worker.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::broker::{BrokerOptions, missing, secret};
use super::setting::{Bytes, HttpUrl, Invalid, Setting, Value};
use crate::broker::session::SessionSettings;
use crate::broker::topology::TopologyMode;
use crate::contract::ids::{ImsOrgId, SandboxName};
use crate::contract::{Defaults, Limits};
use crate::flow::client::FlowSettings;
use crate::flow::token::{Credentials, ImsCredentials};
use crate::retry::policy::Policy;
use crate::telemetry::{LogFormat, check_filter};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// RabbitMQ takes a delivery back after 30 minutes (`consumer_timeout`); a job must be done well before.
const LONGEST_JOB: Duration = Duration::from_secs(20 * 60);

/// Options of `run`.
#[derive(Debug, Clone, clap::Args)]
pub struct RunOptions {
    #[command(flatten)]
    broker: BrokerOptions,
    #[command(flatten)]
    work: WorkOptions,
    #[command(flatten)]
    flow: FlowOptions,
    #[command(flatten)]
    retry: RetryOptions,
    #[command(flatten)]
    log: LogOptions,
}

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Work")]
struct WorkOptions {
    /// Jobs worked on at the same time; also the prefetch limit
    #[arg(long, env = "CONCURRENCY", value_name = "NUMBER", default_value = "256")]
    concurrency: Setting<u16>,
    /// Channels to publish replies on; each carries one message at a time
    #[arg(long, env = "PUBLISH_CHANNELS", value_name = "NUMBER", default_value = "64")]
    publish_channels: Setting<u16>,
    /// Missing queues: `create` them, or only `verify` and refuse to start
    #[arg(long, env = "TOPOLOGY", value_name = "MODE", default_value = "create")]
    topology: Setting<TopologyMode>,
    /// Queues that a job's `reply_to` may name: patterns with `*` and `?`, separated by commas
    #[arg(long, env = "REPLY_TO_ALLOW", value_name = "PATTERNS", default_value = "*")]
    reply_to_allow: String,
    /// Largest job message
    #[arg(long, env = "MAX_JOB_SIZE", value_name = "SIZE", default_value = "1MiB")]
    max_job_size: Setting<Bytes>,
    /// The organisation of jobs that name none, such as `1234@AdobeOrg`
    #[arg(long, env = "IMS_ORG_ID", value_name = "ORG")]
    ims_org_id: Option<Setting<ImsOrgId>>,
    /// The sandbox of jobs that name none; without it such jobs are refused
    #[arg(long, env = "SANDBOX_NAME", value_name = "NAME")]
    sandbox_name: Option<Setting<SandboxName>>,
    /// Address of `/metrics`, `/livez` and `/readyz`
    #[arg(long, env = "ADMIN_ADDR", value_name = "IP:PORT", default_value = "127.0.0.1:9464")]
    admin_addr: Setting<SocketAddr>,
    /// How long running jobs may take to finish after SIGTERM or SIGINT
    #[arg(long, env = "DRAIN_GRACE", value_name = "DURATION", default_value = "25s")]
    drain_grace: Setting<Duration>,
    /// Give up (exit 69) after this long without a working broker session
    #[arg(long, env = "BROKER_GIVE_UP", value_name = "DURATION", default_value = "10m")]
    broker_give_up: Setting<Duration>,
}

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Flow Service")]
struct FlowOptions {
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
    /// Deadline of connecting to Flow Service or IMS
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

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Retry")]
#[expect(clippy::struct_field_names, reason = "a field's name is the flag's name")]
struct RetryOptions {
    /// Calls for one job at the most, the first included
    #[arg(long, env = "RETRY_ATTEMPTS", value_name = "NUMBER", default_value = "5")]
    retry_attempts: Setting<u32>,
    /// Ceiling of the first delay; it doubles each time, and the delay is drawn from zero to it
    #[arg(long, env = "RETRY_BASE", value_name = "DURATION", default_value = "500ms")]
    retry_base: Setting<Duration>,
    /// Highest ceiling of a delay
    #[arg(long, env = "RETRY_MAX", value_name = "DURATION", default_value = "30s")]
    retry_max: Setting<Duration>,
    /// Longest Retry-After that is waited for
    #[arg(long, env = "RETRY_AFTER_MAX", value_name = "DURATION", default_value = "60s")]
    retry_after_max: Setting<Duration>,
    /// Time after a job's first call in which further ones may start
    #[arg(long, env = "RETRY_DEADLINE", value_name = "DURATION", default_value = "5m")]
    retry_deadline: Setting<Duration>,
}

/// Options of logging.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Logs")]
pub struct LogOptions {
    /// `text` or `json`; unless set, text on a terminal and JSON elsewhere
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT")]
    log_format: Option<Setting<LogFormat>>,
    /// What is logged: a level, or directives such as `connection_worker=debug`
    #[arg(long, env = "RUST_LOG", value_name = "FILTER", default_value = "info")]
    rust_log: String,
}

/// How to log.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// The format; by default it depends on the terminal.
    pub format: Option<LogFormat>,
    /// The filter, in the syntax of `RUST_LOG`.
    pub filter: String,
}

/// Everything `run` needs, checked.
#[derive(Debug, Clone)]
pub struct RunConfig {
    /// The broker and the queues.
    pub session: SessionSettings,
    /// Patterns of allowed reply queues.
    pub reply_to_allow: Vec<String>,
    /// What jobs may leave out.
    pub defaults: Defaults,
    /// What is accepted at all.
    pub limits: Limits,
    /// Flow Service.
    pub flow: FlowSettings,
    /// How to log in there.
    pub credentials: Credentials,
    /// How often to try.
    pub policy: Policy,
    /// Where to serve metrics.
    pub admin_addr: SocketAddr,
    /// How long a drain may take.
    pub drain_grace: Duration,
    /// How long to go on without a broker.
    pub broker_give_up: Duration,
}

impl Value for TopologyMode {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "create" => Ok(Self::Create),
            "verify" => Ok(Self::Verify),
            _ => Err("expected create or verify".to_owned()),
        }
    }
}

impl Value for LogFormat {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("expected text or json".to_owned()),
        }
    }
}

impl LogOptions {
    /// The settings, or `None` with every fault noted.
    pub fn validate(self, invalid: &mut Invalid) -> Option<LogSettings> {
        let format = invalid.take_optional("LOG_FORMAT", self.log_format);
        check_filter(&self.rust_log).map_err(|error| invalid.add("RUST_LOG", error.to_string())).ok()?;
        Some(LogSettings { format, filter: self.rust_log })
    }
}

impl RunOptions {
    /// The configuration, or every fault at once.
    pub fn validate(self) -> Result<(RunConfig, LogSettings), Invalid> {
        let mut invalid = Invalid::default();
        let log = self.log.validate(&mut invalid);
        let broker = self.broker.validate(&mut invalid);
        let flow = self.flow.validate(&mut invalid);
        let policy = self.retry.validate(&mut invalid);
        let work = self.work.validate(&mut invalid);
        let config = (|| {
            let (endpoint, queues) = broker?;
            let (mut flow, credentials) = flow?;
            let work = work?;
            flow.max_idle = usize::from(work.concurrency);
            let session = SessionSettings {
                endpoint,
                queues,
                topology: work.topology,
                prefetch: work.concurrency,
                publish_channels: work.publish_channels,
            };
            Some(RunConfig {
                session,
                reply_to_allow: work.reply_to_allow,
                defaults: work.defaults,
                limits: work.limits,
                flow,
                credentials,
                policy: policy?,
                admin_addr: work.admin_addr,
                drain_grace: work.drain_grace,
                broker_give_up: work.broker_give_up,
            })
        })();
        match (config, log) {
            (Some(config), Some(log)) if invalid.0.is_empty() => Ok((config, log)),
            _ => Err(invalid),
        }
    }
}

/// [`WorkOptions`], checked.
struct Work {
    concurrency: u16,
    publish_channels: usize,
    topology: TopologyMode,
    reply_to_allow: Vec<String>,
    limits: Limits,
    defaults: Defaults,
    admin_addr: SocketAddr,
    drain_grace: Duration,
    broker_give_up: Duration,
}

impl WorkOptions {
    fn validate(self, invalid: &mut Invalid) -> Option<Work> {
        // RabbitMQ takes a prefetch of 0 for no limit, and quorum queues one of more than 2,000 for 2,000.
        let concurrency = invalid.take_number("CONCURRENCY", self.concurrency, 1..=2000);
        // RabbitMQ allows 2,047 channels a connection by default.
        let publish_channels = invalid.take_number("PUBLISH_CHANNELS", self.publish_channels, 1..=1000);
        let topology = invalid.take("TOPOLOGY", self.topology);
        let most = Bytes(128 << 20);
        let max_job_size = invalid.take_number("MAX_JOB_SIZE", self.max_job_size, Bytes(1024)..=most);
        let defaults = Defaults {
            ims_org_id: invalid.take_optional("IMS_ORG_ID", self.ims_org_id),
            sandbox_name: invalid.take_optional("SANDBOX_NAME", self.sandbox_name),
        };
        let admin_addr = invalid.take("ADMIN_ADDR", self.admin_addr);
        let drain_grace =
            invalid.take_duration("DRAIN_GRACE", self.drain_grace, Duration::ZERO..=LONGEST_JOB);
        let broker_give_up =
            invalid.take_duration("BROKER_GIVE_UP", self.broker_give_up, SECOND..=MINUTE * 60 * 24);
        let patterns = self.reply_to_allow.split(',').map(str::trim).filter(|pattern| !pattern.is_empty());
        Some(Work {
            concurrency: concurrency?,
            publish_channels: usize::from(publish_channels?),
            topology: topology?,
            reply_to_allow: patterns.map(str::to_owned).collect(),
            limits: Limits { max_bytes: max_job_size?.0 },
            defaults,
            admin_addr: admin_addr?,
            drain_grace: drain_grace?,
            broker_give_up: broker_give_up?,
        })
    }
}

impl FlowOptions {
    fn validate(self, invalid: &mut Invalid) -> Option<(FlowSettings, Credentials)> {
        let url = invalid.take("FLOW_URL", self.flow_url);
        let ims_url = invalid.take("IMS_URL", self.ims_url);
        let timeout =
            invalid.take_duration("FLOW_TIMEOUT", self.flow_timeout, 10 * MILLISECOND..=MINUTE * 10);
        let connect_timeout = invalid.take_duration(
            "FLOW_CONNECT_TIMEOUT",
            self.flow_connect_timeout,
            10 * MILLISECOND..=MINUTE,
        );
        let access_token = secret("ACCESS_TOKEN", self.access_token, self.access_token_file, invalid);
        let api_key = secret("API_KEY", self.api_key, self.api_key_file, invalid);
        let client_secret =
            secret("IMS_CLIENT_SECRET", self.ims_client_secret, self.ims_client_secret_file, invalid);
        if access_token.is_some() && self.ims_client_id.is_some() {
            invalid.add("ACCESS_TOKEN", "given besides IMS_CLIENT_ID, expected one of the two");
        }
        let credentials = if let Some(access_token) = access_token {
            let api_key = api_key.or_else(|| missing("API_KEY", invalid)).and_then(|key| key.read().ok());
            api_key.map(|api_key| Credentials::Fixed { access_token, api_key })
        } else {
            let client_id = self.ims_client_id.or_else(|| {
                invalid.add("IMS_CLIENT_ID", "missing, and so is ACCESS_TOKEN: one of the two is needed");
                None
            });
            let client_secret = match client_id {
                Some(_) => client_secret.or_else(|| missing("IMS_CLIENT_SECRET", invalid)),
                None => None,
            };
            (|| {
                Some(Credentials::Ims(ImsCredentials {
                    url: ims_url?.0,
                    client_id: client_id?,
                    client_secret: client_secret?,
                    scopes: self.ims_scopes,
                    timeout: timeout?,
                    connect_timeout: connect_timeout?,
                }))
            })()
        };
        let flow =
            FlowSettings { url: url?.0, timeout: timeout?, connect_timeout: connect_timeout?, max_idle: 0 };
        Some((flow, credentials?))
    }
}

impl RetryOptions {
    fn validate(self, invalid: &mut Invalid) -> Option<Policy> {
        let max_attempts = invalid.take_number("RETRY_ATTEMPTS", self.retry_attempts, 1..=100);
        let base_delay = invalid.take_duration("RETRY_BASE", self.retry_base, MILLISECOND..=MINUTE);
        let max_delay = invalid.take_duration("RETRY_MAX", self.retry_max, MILLISECOND..=LONGEST_JOB);
        let max_retry_after =
            invalid.take_duration("RETRY_AFTER_MAX", self.retry_after_max, Duration::ZERO..=LONGEST_JOB);
        let deadline =
            invalid.take_duration("RETRY_DEADLINE", self.retry_deadline, Duration::ZERO..=LONGEST_JOB);
        Some(Policy {
            max_attempts: max_attempts?,
            base_delay: base_delay?,
            max_delay: max_delay?,
            max_retry_after: max_retry_after?,
            deadline: deadline?,
        })
    }
}
