//! The queues: whether they are there, and how they differ from what the worker would create.

use std::io;

use super::report::Report;
use crate::broker::Error;
use crate::broker::inspect::{Difference, Inspection, Queue, Role, Wanted, wanted};
use crate::broker::session::SessionSettings;
use crate::broker::topology::{Queues, TopologyMode};
use crate::telemetry::Chain;

/// An AMQP user that may not configure a queue may not declare it again; the worker need not, if the queue is there.
const ACCESS_REFUSED: u16 = 403;

/// What a queue's arguments can be that the worker cannot do without, if jobs wait in it.
const ROUTE: [&str; 3] = ["x-message-ttl", "x-dead-letter-exchange", "x-dead-letter-routing-key"];

/// Lost with the broker's next restart, or with somebody's connection.
const SHORT_LIVED: [&str; 3] = ["durable", "exclusive", "auto_delete"];

/// Checks each queue.
pub(super) async fn examine(
    inspection: &Inspection,
    settings: &SessionSettings,
    report: &mut Report,
) -> io::Result<()> {
    for queue in wanted(&settings.link.queues) {
        match inspection.queue(&queue).await {
            Ok(Some(found)) => {
                let waiting = Waiting::of(&settings.link.queues, &queue.name, found.ready);
                tell(&queue, &found, waiting, report)?;
            }
            Ok(None) if settings.link.topology == TopologyMode::Create => {
                creation(inspection, &queue, report).await?;
            }
            Ok(None) => {
                report.bad("queue", &queue.name, "missing", "create it, or start with TOPOLOGY=create")?;
            }
            Err(error) => report.bad("queue", &queue.name, &Chain(&error).to_string(), "")?,
        }
    }
    Ok(())
}

/// Whether `run` can create a missing queue.
async fn creation(inspection: &Inspection, queue: &Wanted, report: &mut Report) -> io::Result<()> {
    let Err(error) = inspection.may_create(queue).await else {
        return report.good("queue", &queue.name, "missing; `run` creates it (TOPOLOGY=create)");
    };
    let is_forbidden = matches!(error, Error::Refused { code: ACCESS_REFUSED, .. });
    let remedy = match (is_forbidden, queue.dead_letters()) {
        (false, _) => "",
        (true, false) => "give it configure permission on the queue, or create the queue",
        (true, true) => {
            "give it configure and read permission on the queue, which dead-letters, or create the queue"
        }
    };
    report.bad("queue", &queue.name, &format!("missing, and {}", Chain(&error)), remedy)
}

/// Jobs that wait in a queue of the worker's own for something other than their retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// For a slot.
    Slot,
    /// Until their calls can be made.
    Calls,
}

impl Waiting {
    fn of(queues: &Queues, name: &str, ready: u32) -> Option<Self> {
        let waiting = [(queues.overflow(), Self::Slot), (queues.held(), Self::Calls)];
        waiting.into_iter().find(|(queue, _)| queue == name && ready > 0).map(|(_, waiting)| waiting)
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Slot => {
                " (these jobs wait for a slot, because their organisation's share of the slots is in use; the workers \
                 take them in turn)"
            }
            Self::Calls => " (calls for these jobs are held back, or scarce; the workers keep trying)",
        }
    }

    /// What to do, if a person should look.
    fn remedy(self) -> Option<&'static str> {
        match self {
            Self::Slot => None,
            Self::Calls => Some(
                "see the checks of IMS and Flow Service below, and the status page of a worker: it says what is held \
                 back and why",
            ),
        }
    }
}

fn tell(queue: &Wanted, found: &Queue, waiting: Option<Waiting>, report: &mut Report) -> io::Result<()> {
    let ready = format!("{} ready{}", found.ready, waiting.map(Waiting::meaning).unwrap_or_default());
    let name = &queue.name;
    let differences = match &found.differences {
        Ok(differences) => differences,
        Err(error) => {
            let message = match error {
                Error::Refused { code: ACCESS_REFUSED, .. } => {
                    "its arguments cannot be compared: the user may not configure it (the worker need not)"
                        .to_owned()
                }
                error => format!("its arguments cannot be compared: {}", Chain(error)),
            };
            return report.doubtful("queue", name, &format!("{ready}; {message}"), "");
        }
    };
    if differences.is_empty() {
        let message = format!("{ready}; as the worker would create it{}", way_back(queue));
        return match waiting.and_then(Waiting::remedy) {
            Some(remedy) => report.doubtful("queue", name, &message, remedy),
            None => report.good("queue", name, &message),
        };
    }
    let listed: Vec<String> = differences.iter().map(ToString::to_string).collect();
    let message = format!("{ready}; {}", listed.join("; "));
    match remedy(queue.role, differences) {
        Some(remedy) => report.bad("queue", name, &message, remedy),
        None => report.doubtful("queue", name, &message, "the worker uses it as it is"),
    }
}

fn way_back(queue: &Wanted) -> String {
    match queue.role {
        Role::Plain => String::new(),
        Role::Retry(tier) => format!(", and what waits in it comes back after {}", tier.as_str()),
    }
}

/// What to do about differences that lose jobs; nothing if they do not.
fn remedy(role: Role, differences: &[Difference]) -> Option<&'static str> {
    let differs_in = |names: &[&str]| differences.iter().any(|it| names.contains(&it.argument.as_str()));
    if differs_in(&SHORT_LIVED) {
        return Some("what is in it can be lost: delete it, and let the worker create it");
    }
    if !matches!(role, Role::Retry(_)) {
        return None;
    }
    // A time of its own is a time all the same.
    let comes_back = differences
        .iter()
        .all(|it| !ROUTE.contains(&it.argument.as_str()) || (it.argument == ROUTE[0] && it.found.is_some()));
    (!comes_back).then_some(
        "unless a policy of the broker says otherwise, which cannot be seen from here, jobs that wait in it never come \
         back: delete it when it is empty, and let the worker create it",
    )
}
