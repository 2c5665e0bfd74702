//! Settings of the work itself: how much at a time, for whom, within which limits.

use std::net::SocketAddr;
use std::time::Duration;

use super::admin::AdminOptions;
use super::setting::{Bytes, Invalid, Setting, Switch, Value};
use super::{LONGEST_JOB, MINUTE, SECOND};
use crate::broker::topology::TopologyMode;
use crate::contract::ids::{ImsOrgId, SandboxName};
use crate::contract::{Defaults, Limits, Sealing};

/// How much to work at a time, for whom, within which limits.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Work")]
pub(super) struct WorkOptions {
    /// Jobs worked on at the same time, each with its own connection to Flow Service; also the prefetch limit
    #[arg(long, env = "CONCURRENCY", value_name = "NUMBER", default_value = "256")]
    concurrency: Setting<u16>,
    /// Channels to publish replies on; each carries replies to one queue at a time
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
    /// `on`: a connection's description ends with ` [job <id>]`, by which it is found again when it is unknown whether it
    /// was created. `off`: descriptions stay as they are, and such a job can create a second connection
    #[arg(long, env = "JOB_MARKER", value_name = "on|off", default_value = "on")]
    job_marker: Setting<Switch>,
    #[command(flatten)]
    admin: AdminOptions,
    /// `on`: every 15 to 20 seconds the worker asks the broker how many messages are in each of its queues, and shows it in
    /// its metrics; `off`: it does not
    #[arg(long, env = "QUEUE_METRICS", value_name = "on|off", default_value = "on")]
    queue_metrics: Setting<Switch>,
    /// How long running jobs may take to finish after SIGTERM or SIGINT
    #[arg(long, env = "DRAIN_GRACE", value_name = "DURATION", default_value = "25s")]
    drain_grace: Setting<Duration>,
    /// Give up (exit 69) after this long without a working broker session
    #[arg(long, env = "BROKER_GIVE_UP", value_name = "DURATION", default_value = "10m")]
    broker_give_up: Setting<Duration>,
}

/// [`WorkOptions`], checked.
pub(super) struct Work {
    pub(super) concurrency: u16,
    pub(super) publish_channels: usize,
    pub(super) topology: TopologyMode,
    pub(super) reply_to_allow: Vec<String>,
    pub(super) limits: Limits,
    pub(super) defaults: Defaults,
    pub(super) admin_addr: SocketAddr,
    pub(super) drain_grace: Duration,
    pub(super) broker_give_up: Duration,
    pub(super) queue_metrics: bool,
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

impl WorkOptions {
    /// The settings, or `None` with every fault noted.
    pub(super) fn validate(self, invalid: &mut Invalid) -> Option<Work> {
        // RabbitMQ takes a prefetch of 0 for no limit, and quorum queues one of more than 2,000 for 2,000.
        let concurrency = invalid.take_number("CONCURRENCY", self.concurrency, 1..=2000);
        // RabbitMQ allows 2,047 channels a connection by default.
        let publish_channels = invalid.take_number("PUBLISH_CHANNELS", self.publish_channels, 1..=1000);
        let topology = invalid.take("TOPOLOGY", self.topology);
        let most = Bytes(128 << 20);
        let max_job_size = invalid.take_number("MAX_JOB_SIZE", self.max_job_size, Bytes(1024)..=most);
        let ims_org_id = invalid.take_optional("IMS_ORG_ID", self.ims_org_id);
        let sandbox_name = invalid.take_optional("SANDBOX_NAME", self.sandbox_name);
        let marker = invalid.take("JOB_MARKER", self.job_marker);
        let admin_addr = self.admin.validate(invalid);
        let queue_metrics = invalid.take("QUEUE_METRICS", self.queue_metrics);
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
            defaults: Defaults { ims_org_id, sandbox_name, mark: marker?.0, sealing: Sealing::default() },
            admin_addr: admin_addr?,
            drain_grace: drain_grace?,
            broker_give_up: broker_give_up?,
            queue_metrics: queue_metrics?.0,
        })
    }
}
