//! The broker: its address, the login, the queues.

use std::io;
use std::time::Duration;

use super::queues;
use super::reach::{connect, listed, resolve};
use super::report::Report;
use crate::broker::Error;
use crate::broker::inspect::{Inspection, Place, place};
use crate::broker::session::SessionSettings;
use crate::broker::topology::Queues;
use crate::telemetry::Chain;

/// The checks, in order: each builds on those before it.
const CHECKS: [&str; 7] = [
    "broker.address",
    "broker.connect",
    "broker.tls",
    "broker.login",
    "broker.publish",
    "broker.consume",
    "broker.queues",
];

/// Checks all about the broker.
pub(super) async fn examine(settings: &SessionSettings, report: &mut Report) -> io::Result<()> {
    let place = match place(&settings.link.endpoint) {
        Ok(place) => place,
        Err(error) => {
            let remedy = "the setting was readable a moment ago: who changes its file?";
            report.bad(CHECKS[0], "", &Chain(&error).to_string(), remedy)?;
            return skip_after(report, CHECKS[0]);
        }
    };
    if !is_reachable(&place, settings.link.endpoint.timeout, report).await? {
        return Ok(());
    }
    let Some(inspection) = log_in(settings, &place, report).await? else { return Ok(()) };
    rights(&inspection, &settings.link.queues, report).await?;
    queues::examine(&inspection, settings, report).await?;
    // It was of use while it lasted.
    drop(inspection.close().await);
    Ok(())
}

/// What the user may do, whatever queues there are.
async fn rights(inspection: &Inspection, queues: &Queues, report: &mut Report) -> io::Result<()> {
    match inspection.may_publish().await {
        Ok(()) => report.good("broker.publish", "", "the user may publish to the default exchange")?,
        Err(error) => {
            report.bad("broker.publish", "", &Chain(&error).to_string(), "give it write permission")?;
        }
    }
    let sources = [
        (queues.jobs.clone(), "the job queue"),
        (queues.overflow(), "the overflow queue"),
        (queues.held(), "the held queue"),
    ];
    for (queue, what) in sources {
        match inspection.may_consume(&queue).await {
            Ok(()) => report.good("broker.consume", &queue, &format!("the user may consume {what}"))?,
            Err(error) => {
                report.bad(
                    "broker.consume",
                    &queue,
                    &Chain(&error).to_string(),
                    "give it read permission",
                )?;
            }
        }
    }
    Ok(())
}

/// What follows a check that failed.
fn skip_after(report: &mut Report, failed: &str) -> io::Result<()> {
    let after = CHECKS.iter().skip_while(|check| **check != failed).skip(1);
    let why = format!("{failed} failed");
    after.into_iter().try_for_each(|check| report.skipped(check, "", &why))
}

async fn is_reachable(place: &Place, patience: Duration, report: &mut Report) -> io::Result<bool> {
    let Place { host, port, .. } = place;
    let addresses = match resolve(host, *port, patience).await {
        Ok(addresses) => addresses,
        Err(error) => {
            let remedy = "check the host in AMQP_URL, and this machine's name server";
            report.bad("broker.address", host, &error.to_string(), remedy)?;
            skip_after(report, "broker.address")?;
            return Ok(false);
        }
    };
    report.good("broker.address", host, &listed(&addresses))?;
    match connect(&addresses, patience).await {
        Ok(address) => {
            report.good("broker.connect", &address.to_string(), "accepts connections")?;
            Ok(true)
        }
        Err(error) => {
            let subject = format!("{host}:{port}");
            let remedy = "start the broker, or check the port in AMQP_URL and what filters traffic";
            report.bad("broker.connect", &subject, &error.to_string(), remedy)?;
            skip_after(report, "broker.connect")?;
            Ok(false)
        }
    }
}

/// lapin connects, speaks TLS and logs in at once; how that fails tells how far it got.
async fn log_in(
    settings: &SessionSettings,
    place: &Place,
    report: &mut Report,
) -> io::Result<Option<Inspection>> {
    let opened = Inspection::open(&settings.link.endpoint).await;
    let answered = matches!(&opened, Ok(_) | Err(Error::Refused { .. }));
    if !place.tls {
        report.skipped(
            "broker.tls",
            &place.host,
            "the URL starts with amqp://: passwords and jobs go in the clear",
        )?;
    } else if answered {
        report.good("broker.tls", &place.host, "the broker's certificate is trusted")?;
    }
    let subject = format!("{} on {}", place.user, place.vhost);
    match opened {
        Ok(inspection) => {
            report.good("broker.login", &subject, "logged in")?;
            return Ok(Some(inspection));
        }
        Err(error) if place.tls && !answered => {
            let remedy = "check AMQP_CA_FILE, the host name in AMQP_URL, and that its port speaks TLS (5671)";
            report.bad("broker.tls", &place.host, &Chain(&error).to_string(), remedy)?;
            skip_after(report, "broker.tls")?;
        }
        // The broker's answer comes with what to do about it.
        Err(error) => {
            let remedy = if answered {
                ""
            } else {
                "if the port speaks TLS, use amqps://; else look at the broker's log"
            };
            report.bad("broker.login", &subject, &Chain(&error).to_string(), remedy)?;
            skip_after(report, "broker.login")?;
        }
    }
    Ok(None)
}
