//! IMS and Flow Service: whether they answer, whose clock is right, the token, and what it opens.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use url::Url;

use super::PATIENCE;
use super::reach::{connect, resolve};
use super::report::Report;
use crate::config::{Access, RunConfig};
use crate::contract::ids::{ImsOrgId, SandboxName};
use crate::flow::client::{FlowClient, FlowSettings};
use crate::flow::reach::{Reached, Unreached, reach};
use crate::flow::token::{Credentials, ImsClient, ImsSettings, Keyring, TokenSource};
use crate::flow::{Failure, FailureKind, ProbeRequest};
use crate::metrics::Metrics;

/// Clocks are compared that differ between workers, and with the senders': `expiresAt`, and the headers of jobs that
/// wait. `LOOKUP_SETTLE` is 10 s by default, so half of that is too much.
const SKEW_MAX: f64 = 5.0;

/// A fixed token that is about to expire.
const SOON: Duration = Duration::from_secs(60 * 60);

/// Who is let in where: an organisation, and what opens it.
struct Organisation {
    ims_org_id: Option<ImsOrgId>,
    sandbox_name: Option<SandboxName>,
    credentials: Credentials,
}

/// A server that is to be reached.
struct Server<'a> {
    check: &'static str,
    who: &'static str,
    setting: &'static str,
    url: &'a Url,
}

/// Checks all about IMS and Flow Service.
pub(super) async fn examine(config: &RunConfig, report: &mut Report) -> io::Result<()> {
    let flow =
        Server { check: "flow.reach", who: "Flow Service", setting: "FLOW_URL", url: &config.flow.url };
    let organisations = organisations(config);
    let ims = Server { check: "ims.reach", who: "IMS", setting: "IMS_URL", url: &config.ims.url };
    let seen_ims =
        if organisations.iter().any(Organisation::needs_ims) { server(&ims, report).await? } else { None };
    let seen_flow = server(&flow, report).await?;
    clock(&[(flow.who, seen_flow), (ims.who, seen_ims)], report)?;
    for organisation in organisations {
        let token = if organisation.needs_ims() && seen_ims.is_none() {
            report.skipped("ims.token", organisation.name(), "ims.reach failed")?;
            None
        } else {
            token(&organisation, &config.ims, report).await?
        };
        access(&organisation, token, seen_flow.is_some(), &config.flow, report).await?;
    }
    Ok(())
}

/// Every organisation that the worker is set up for, by name.
fn organisations(config: &RunConfig) -> Vec<Organisation> {
    let one = |ims_org_id: Option<&ImsOrgId>,
               sandboxes: Option<&HashSet<SandboxName>>,
               credentials: &Credentials| {
        let default = config.defaults.sandbox_name.as_ref();
        let mut allowed: Vec<&SandboxName> = sandboxes.into_iter().flatten().collect();
        allowed.sort_unstable_by_key(|sandbox| sandbox.as_str());
        let default = default.filter(|sandbox| sandboxes.is_none() || allowed.contains(sandbox));
        Organisation {
            ims_org_id: ims_org_id.cloned(),
            sandbox_name: default.or(allowed.first().copied()).cloned(),
            credentials: credentials.clone(),
        }
    };
    match &config.access {
        Access::One(credentials) => vec![one(config.defaults.ims_org_id.as_ref(), None, credentials)],
        Access::Each(_, organisations) => {
            let mut all: Vec<Organisation> = organisations
                .values()
                .map(|it| one(Some(&it.ims_org_id), it.sandboxes.as_ref(), &it.credentials))
                .collect();
            all.sort_unstable_by(|one, other| one.name().cmp(other.name()));
            all
        }
    }
}

impl Organisation {
    fn name(&self) -> &str {
        self.ims_org_id.as_ref().map_or("", ImsOrgId::as_str)
    }

    /// Whether its token comes from IMS, and not from the settings.
    fn needs_ims(&self) -> bool {
        matches!(self.credentials, Credentials::Ims(_))
    }
}

async fn server(server: &Server<'_>, report: &mut Report) -> io::Result<Option<Reached>> {
    let Server { check, who, setting, url } = server;
    match reach(who, setting, url, PATIENCE).await {
        Ok(reached) => {
            let tls = if url.scheme() == "https" { ", and its certificate is trusted" } else { "" };
            report.good(
                check,
                url.as_str(),
                &format!("answers after {} ms{tls}", reached.took.as_millis()),
            )?;
            Ok(Some(reached))
        }
        Err(Unreached::Build(error)) => {
            report.bad(check, url.as_str(), &error.to_string(), "")?;
            Ok(None)
        }
        Err(Unreached::Failed(failure)) => {
            report.bad(check, url.as_str(), &failure.to_string(), &why(setting, url, &failure).await)?;
            Ok(None)
        }
    }
}

/// How far one gets. Only for what could not be reached: behind a proxy this machine need not know the host.
async fn why(setting: &str, url: &Url, failure: &Failure) -> String {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return String::new();
    };
    if failure.kind != FailureKind::NotSent {
        return format!("somebody listens there, but does not answer: check {setting}, or try again later");
    }
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let Ok(addresses) = resolve(host, port, PATIENCE / 3).await else {
        return format!(
            "{host} has no address here: check {setting}, and this machine's name server or proxy"
        );
    };
    if connect(&addresses, PATIENCE / 3).await.is_err() {
        return format!("nobody listens there: check {setting}, the proxy, and what filters traffic");
    }
    format!(
        "somebody listens there: check {setting}, and the certificates (SSL_CERT_FILE trusts a private CA)"
    )
}

/// Compares this machine's clock with those that were seen.
fn clock(seen: &[(&str, Option<Reached>)], report: &mut Report) -> io::Result<()> {
    let mut message = String::new();
    let mut is_off = false;
    for (who, reached) in seen {
        let Some(Reached { took, ahead: Some(ahead) }) = reached else { continue };
        // Of the time that the answer took, nobody knows which part came first.
        is_off |= ahead.abs() > SKEW_MAX + took.as_secs_f64() / 2.0;
        let separator = if message.is_empty() { "this machine is " } else { ", and " };
        let seconds = ahead.abs().round();
        let side = match (seconds < 1.0, *ahead < 0.0) {
            (true, _) => format!("level with {who}"),
            (false, true) => format!("{seconds} s behind {who}"),
            (false, false) => format!("{seconds} s ahead of {who}"),
        };
        write!(message, "{separator}{side}").map_err(io::Error::other)?;
    }
    match (message.as_str(), is_off) {
        ("", _) => report.skipped("clock", "", "nobody told the time"),
        (message, false) => report.good("clock", "", message),
        (message, true) => report.bad(
            "clock",
            "",
            message,
            "set the clock (NTP): by it jobs expire, and the worker tells when a call must be over",
        ),
    }
}

/// Gets a token as a job would.
async fn token(
    organisation: &Organisation,
    ims: &ImsSettings,
    report: &mut Report,
) -> io::Result<Option<TokenSource>> {
    let (check, name) = ("ims.token", organisation.name());
    let metrics = Metrics::new().map_err(io::Error::other)?;
    let built = ImsClient::new(ims, metrics.http).and_then(|ims| {
        TokenSource::new(organisation.credentials.clone(), &ims, organisation.ims_org_id.clone())
    });
    let source = match built {
        Ok(source) => source,
        Err(error) => {
            report.bad(check, name, &error.to_string(), "")?;
            return Ok(None);
        }
    };
    let asking = tokio::time::timeout(PATIENCE, source.facts());
    let facts = match asking.await {
        Ok(Ok(facts)) => facts,
        // IMS's answers come with what to do about them.
        Ok(Err(failure)) => {
            report.bad(check, name, &failure.to_string(), "")?;
            return Ok(None);
        }
        Err(_) => {
            report.bad(check, name, &format!("IMS gave none within {PATIENCE:?}"), "try again later")?;
            return Ok(None);
        }
    };
    let scopes = facts.scopes.map(|scopes| format!(", for {}", scopes.join(","))).unwrap_or_default();
    let kind = if facts.renewed { "IMS gave one; it" } else { "the fixed one" };
    match facts.left {
        Some(left) if left.is_zero() => {
            report.bad(check, name, &format!("{kind} has expired"), "replace ACCESS_TOKEN")?;
            return Ok(None);
        }
        Some(left) if !facts.renewed && left < SOON => {
            let remedy = "nobody renews it: keep a fresh one in ACCESS_TOKEN_FILE, or use IMS_CLIENT_ID";
            report.doubtful(check, name, &format!("{kind} expires in {}{scopes}", rounded(left)), remedy)?;
        }
        Some(left) => report.good(check, name, &format!("{kind} expires in {}{scopes}", rounded(left)))?,
        None => report.good(check, name, &format!("{kind} does not tell when it expires{scopes}"))?,
    }
    Ok(Some(source))
}

/// In words that are right to the minute, or to the second.
fn rounded(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

/// Lists one connection, which changes nothing.
async fn access(
    organisation: &Organisation,
    token: Option<TokenSource>,
    is_reached: bool,
    settings: &FlowSettings,
    report: &mut Report,
) -> io::Result<()> {
    let check = "flow.access";
    let (Some(ims_org_id), Some(sandbox_name)) = (&organisation.ims_org_id, &organisation.sandbox_name)
    else {
        let lacking = if organisation.ims_org_id.is_none() { "IMS_ORG_ID" } else { "SANDBOX_NAME" };
        let why = format!("{lacking} is not set, so each job has to bring its own, and none is here");
        return report.skipped(check, organisation.name(), &why);
    };
    let subject = format!("{ims_org_id}, sandbox {sandbox_name}");
    let Some(token) = token.filter(|_| is_reached) else {
        let failed = if is_reached { "ims.token failed" } else { "flow.reach failed" };
        return report.skipped(check, &subject, failed);
    };
    let metrics = Metrics::new().map_err(io::Error::other)?;
    let client = match FlowClient::new(settings.clone(), Keyring::one(token), metrics.http) {
        Ok(client) => client,
        Err(error) => return report.bad(check, &subject, &error.to_string(), ""),
    };
    let request = ProbeRequest { ims_org_id: ims_org_id.clone(), sandbox_name: sandbox_name.clone() };
    match client.may_list(&request).await {
        Ok(()) => report.good(
            check,
            &subject,
            "connections may be listed; whether they may be created, only a create shows",
        ),
        Err(failure) => report.bad(check, &subject, &failure.to_string(), remedy(failure.kind)),
    }
}

/// What to do about a refusal.
fn remedy(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Unauthorized => {
            "give the credential access to this organisation and sandbox (a product profile with permission for sources)"
        }
        FailureKind::CredentialsRefused => "check IMS_CLIENT_ID or ACCESS_TOKEN and API_KEY, and IMS_ORG_ID",
        FailureKind::Refused | FailureKind::Unreadable => "check FLOW_URL, IMS_ORG_ID and SANDBOX_NAME",
        FailureKind::ForeignAnswer => "check FLOW_URL, and what stands in between: a proxy, a firewall",
        FailureKind::TokenUnavailable => "see ims.token",
        FailureKind::NotSent
        | FailureKind::Throttled
        | FailureKind::Unavailable
        | FailureKind::Timeout
        | FailureKind::NoAnswer
        | FailureKind::ServerError => "Flow Service is not well: the worker waits until it is",
    }
}
