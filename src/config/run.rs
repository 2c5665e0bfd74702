//! Settings of the worker.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::admission::AdmissionOptions;
use super::broker::BrokerOptions;
use super::checks::CheckOptions;
use super::flow::{Flow, FlowOptions, IMS_TIMEOUT};
use super::log::{LogOptions, LogSettings};
use super::login::Login;
use super::orgs::{Access, OrgsFile};
use super::retry::RetryOptions;
use super::sealing::SealingOptions;
use super::setting::Invalid;
use super::traces::TraceOptions;
use super::work::WorkOptions;
use crate::admission::{AdmissionRules, OrgLimits};
use crate::broker::rabbitmq::LinkSettings;
use crate::broker::session::{IntakeSettings, SessionSettings};
use crate::broker::watchdog::Timing;
use crate::checks::{FETCH_TIMEOUT, Settings};
use crate::contract::ids::ImsOrgId;
use crate::contract::{Defaults, Limits};
use crate::flow::client::FlowSettings;
use crate::flow::token::ImsSettings;
use crate::handler::Rules;
use crate::retry::policy::HELD_MAX;
use crate::traces::TraceSettings;

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
    admission: AdmissionOptions,
    #[command(flatten)]
    checks: CheckOptions,
    #[command(flatten)]
    sealing: SealingOptions,
    #[command(flatten)]
    log: LogOptions,
    #[command(flatten)]
    traces: TraceOptions,
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
    /// IMS, which issues access tokens.
    pub ims: ImsSettings,
    /// How to log in, and for whom.
    pub access: Access,
    /// How often to try.
    pub rules: Rules,
    /// When calls are held back.
    pub admission: AdmissionRules,
    /// What to look into besides.
    pub checks: Settings,
    /// Where to export traces, if anywhere.
    pub traces: Option<TraceSettings>,
    /// Where to serve metrics.
    pub admin_addr: SocketAddr,
    /// How long a drain may take.
    pub drain_grace: Duration,
    /// How long to go on without a broker.
    pub broker_give_up: Duration,
    /// Whether to look how much is in the queues, for the metrics.
    pub queue_metrics: bool,
}

impl RunOptions {
    /// The configuration, or every fault at once.
    pub fn validate(self) -> Result<(RunConfig, LogSettings), Invalid> {
        let mut invalid = Invalid::default();
        let log = self.log.validate(&mut invalid);
        let traces = self.traces.validate(&mut invalid);
        let broker = self.broker.validate(&mut invalid);
        let flow = self.flow.validate(&mut invalid);
        let rules = self.retry.validate(&mut invalid);
        let checks = self.checks.validate(&mut invalid);
        let work = self.work.validate(&mut invalid);
        let sealing = self.sealing.validate(&mut invalid);
        let defaults = work.as_ref().map(|work| work.defaults.clone()).unwrap_or_default();
        let access = flow.as_ref().and_then(|flow| read_access(flow, &defaults, &mut invalid));
        let (organisations, only_these) = organisations(access.as_ref(), &defaults);
        let concurrency = work.as_ref().map(|work| work.concurrency);
        let longest_retry_after = rules.as_ref().map(|rules| rules.policy.max_retry_after);
        let admission = self.admission.validate(
            concurrency,
            organisations,
            only_these,
            longest_retry_after,
            &mut invalid,
        );
        if let (Some(rules), Some(flow), Some(checks)) = (&rules, &flow, &checks) {
            check_job_time(rules, &flow.settings, checks, &mut invalid);
        }
        let config = (|| {
            let (endpoint, queues) = broker?;
            let Flow { settings: mut flow, ims, login: _ } = flow?;
            let work = work?;
            let rules = rules?;
            let checks = checks?;
            flow.max_idle = usize::from(work.concurrency);
            let (topology, publish_channels) = (work.topology, work.publish_channels);
            let session = SessionSettings {
                link: LinkSettings { endpoint, queues, topology, publish_channels },
                intake: IntakeSettings { prefetch: work.concurrency, watch: Timing::default() },
            };
            Some(RunConfig {
                session,
                reply_to_allow: work.reply_to_allow,
                defaults: Defaults { sealing: sealing?, ..work.defaults },
                limits: work.limits,
                flow,
                ims,
                access: access?,
                rules,
                admission: admission?,
                checks,
                traces,
                admin_addr: work.admin_addr,
                drain_grace: work.drain_grace,
                broker_give_up: work.broker_give_up,
                queue_metrics: work.queue_metrics,
            })
        })();
        match (config, log) {
            (Some(config), Some(log)) if invalid.0.is_empty() => Ok((config, log)),
            _ => Err(invalid),
        }
    }
}

/// With the credentials that were given, or those in the file, which is read now.
fn read_access(flow: &Flow, defaults: &Defaults, invalid: &mut Invalid) -> Option<Access> {
    let (path, scopes) = match &flow.login {
        Login::One(credentials) => return Some(Access::One(credentials.clone())),
        Login::File { path, scopes } => (path.clone(), scopes.clone()),
    };
    let file = OrgsFile::new(path, scopes, defaults);
    let read = file.read().map_err(|refused| refused.note(invalid));
    read.ok().map(|organisations| Access::Each(file, organisations))
}

/// The organisations that the worker knows by name, and whether there are no others.
fn organisations(access: Option<&Access>, defaults: &Defaults) -> (HashMap<ImsOrgId, OrgLimits>, bool) {
    match access {
        Some(Access::Each(_, organisations)) => {
            (organisations.iter().map(|(id, one)| (id.clone(), one.limits)).collect(), true)
        }
        Some(Access::One(_)) | None => {
            (defaults.ims_org_id.iter().map(|id| (id.clone(), OrgLimits::default())).collect(), false)
        }
    }
}

/// RabbitMQ takes a delivery back after 30 minutes (`consumer_timeout`), and everything in hand with it. Besides its waits
/// a delivery can take three rounds of look-ups (before and after a call must be over, and after the last attempt), two
/// calls to create, one to see whether the connection is the only one, and four calls to IMS, each up to its deadline; and the
/// checks before and after.
/// Not all of that can come after the waits: this is on the safe side.
fn check_job_time(rules: &Rules, flow: &FlowSettings, checks: &Settings, invalid: &mut Invalid) {
    const LONGEST: Duration = Duration::from_secs(25 * 60);
    let looking = 3 * rules.lookups.longest(flow.timeout);
    let checking = FETCH_TIMEOUT + checks.verify_timeout;
    if HELD_MAX + rules.policy.hold + looking + 3 * flow.timeout + 4 * IMS_TIMEOUT + checking > LONGEST {
        invalid.add(
            "FLOW_TIMEOUT",
            "too long for so many LOOKUPS with such a LOOKUP_PAUSE and RETRY_HOLD: a job could be in hand for longer than 25 minutes, and RabbitMQ takes it back after 30",
        );
    }
}
