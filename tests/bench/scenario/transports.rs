//! Other ways to the broker and to the API: what each costs.

use super::drain::Backlog;
use super::{Options, Place, Queues, Section, Stand, report};
use crate::stand::Http;

const JOBS: usize = 20_000;
const CONCURRENCY: u16 = 200;
const ROUNDS: usize = 3;

/// A way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Quorum,
    Classic,
    TlsToBroker,
    TlsToApi,
}

impl Way {
    const ALL: [Self; 4] = [Self::Quorum, Self::Classic, Self::TlsToBroker, Self::TlsToApi];

    fn as_str(self) -> &'static str {
        match self {
            Self::Quorum => "quorum queues",
            Self::Classic => "classic queues",
            Self::TlsToBroker => "TLS to broker",
            Self::TlsToApi => "TLS to API",
        }
    }
}

pub(super) async fn run(stand: &Stand, options: &Options) -> Section {
    let title = format!("{JOBS} jobs at {CONCURRENCY}, API at once; quorum queues and no TLS unless said");
    let mut section = Section::new("transports", title, options.compared());
    let quorum = Place::new(stand, Queues::Quorum).await;
    let classic = Place::new(stand, Queues::Classic).await;
    for round in 0..options.rounds(ROUNDS) {
        for way in Way::ALL {
            let place = if way == Way::Classic { &classic } else { &quorum };
            let http = if way == Way::TlsToApi { Http::Tls } else { Http::Plain };
            for program in options.programs(round) {
                let simulator = stand.simulator_with("0s", http, &[]);
                let mut task = place.task(&simulator, CONCURRENCY);
                if way == Way::TlsToBroker {
                    task.amqp_url = place.vhost.amqps_url();
                }
                if matches!(way, Way::TlsToBroker | Way::TlsToApi) {
                    task.ca = Some(stand.broker.client_files().ca.clone());
                }
                let drained = Backlog::of(JOBS).run(stand, place, &simulator, &program, &[task]).await;
                drained.add_to(&mut section, way.as_str(), program.as_str());
                report::progress(&section, way.as_str(), program.as_str());
            }
        }
    }
    section
}
