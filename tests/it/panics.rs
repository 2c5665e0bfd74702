//! A panic while a job is worked on is that job's own misfortune.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use connection_worker::admission::{Admission, AdmissionRules, BreakerRules};
use connection_worker::broker::connection::{Endpoint, Mechanism};
use connection_worker::broker::rabbitmq::{LinkSettings, RabbitMq};
use connection_worker::broker::session::{IntakeSettings, Session};
use connection_worker::broker::topology::{Queues, TopologyMode};
use connection_worker::broker::watchdog::Timing;
use connection_worker::checks::{AdmittedChecks, Checks, Settings, Validation, Verification};
use connection_worker::contract::ids::{ImsOrgId, SandboxName};
use connection_worker::contract::{Defaults, Limits};
use connection_worker::flow::{
    AuthSpec, ConnectionRequest, CreateRequest, Created, Failure, FindRequest, FlowApi, Found, SpecRequest,
};
use connection_worker::handler::{Handler, Rules};
use connection_worker::metrics::Metrics;
use connection_worker::organisations::Allowed;
use connection_worker::retry::doubt::Lookups;
use connection_worker::retry::policy::Policy;
use connection_worker::secret::SecretSource;
use connection_worker::worker::{ReplyRoutes, SessionEnd, Terms, Worker};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::support::PATIENCE;
use crate::support::corner::{ORG, SANDBOX};
use crate::support::rig::{Replies, Rig, job_id};

const CONCURRENCY: u16 = 4;

/// Creates every connection but one.
#[derive(Clone, Copy)]
struct Explosive {
    name: &'static str,
}

impl FlowApi for Explosive {
    async fn create(&self, request: &CreateRequest) -> Result<Created, Failure> {
        let body: Value = serde_json::from_slice(&request.body.0).unwrap();
        assert_ne!(body["name"], self.name, "this one is not for me");
        Ok(Created { id: format!("id of {}", body["name"]), etag: None })
    }

    async fn find(&self, _request: &FindRequest) -> Result<Option<Found>, Failure> {
        Ok(None)
    }

    fn has_token(&self, _ims_org_id: &ImsOrgId) -> bool {
        true
    }

    async fn auth_specs(&self, _request: &SpecRequest) -> Result<Vec<AuthSpec>, Failure> {
        Ok(Vec::new())
    }

    async fn state(&self, _request: &ConnectionRequest) -> Result<String, Failure> {
        Ok("enabled".to_owned())
    }

    async fn test(&self, _request: &ConnectionRequest) -> Result<bool, Failure> {
        Ok(true)
    }
}

fn settings(rig: &Rig) -> LinkSettings {
    LinkSettings {
        endpoint: Endpoint {
            url: SecretSource::Inline(rig.vhost.amqp_url().into()),
            ca_file: None::<PathBuf>,
            identity: None,
            mechanism: Mechanism::Plain,
            heartbeat: Duration::from_secs(15),
            timeout: PATIENCE,
        },
        queues: Queues { jobs: rig.jobs_queue(), replies: rig.reply_queue() },
        topology: TopologyMode::Create,
        publish_channels: 4,
    }
}

fn worker(flow: Explosive, queues: Queues, metrics: &Metrics) -> Arc<Worker<Explosive>> {
    let second = Duration::from_secs(1);
    let policy = Policy {
        max_attempts: 3,
        base_delay: second,
        max_delay: second,
        max_retry_after: second,
        hold: second,
        deadline: second,
    };
    let lookups = Lookups { looks: 1, pause: second, settle: second };
    let breaker = BreakerRules { failures: 20, ratio: 0.5, window: second, longest_pause: second };
    let admission = AdmissionRules {
        breaker,
        retry_share: 0.2,
        concurrency: CONCURRENCY,
        adaptive: true,
        rate: None,
        longest_retry_after: second * 60,
        organisations: HashMap::new(),
        only_these: false,
    };
    let admission = Admission::new(admission, metrics.admission.clone());
    let admitted = AdmittedChecks::new(flow, admission.clone());
    let handler = Handler::new(flow, admission, Rules { policy, lookups }, metrics.attempts.clone());
    let routes = ReplyRoutes::new(queues, &["*".to_owned()]);
    let defaults = Defaults {
        ims_org_id: Some(ImsOrgId::parse(ORG).unwrap()),
        sandbox_name: Some(SandboxName::parse(SANDBOX).unwrap()),
        mark: false,
        ..Defaults::default()
    };
    let terms = Terms { defaults, limits: Limits { max_bytes: 1 << 20 }, allowed: Allowed::all() };
    let checks = Checks::new(
        admitted,
        Settings {
            validation: Validation::Catalogue,
            verification: Verification::Off,
            verify_timeout: second,
        },
        metrics.checks.clone(),
    );
    Arc::new(Worker::new(handler, checks, routes, terms, metrics.clone(), CONCURRENCY))
}

#[tokio::test]
async fn a_panic_is_answered_and_hurts_no_other_job() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    let settings = settings(&rig);
    let metrics = Metrics::new().unwrap();
    let worker = worker(Explosive { name: "connection job-5" }, settings.queues.clone(), &metrics);
    let intake = IntakeSettings { prefetch: CONCURRENCY, watch: Timing::default() };
    let link = RabbitMq::open(&settings).await.unwrap();
    let session = Session::start(link, &settings.queues, &intake).await.unwrap();
    let stop = CancellationToken::new();
    let running = {
        let stop = stop.clone();
        tokio::spawn(async move { worker.run(session, &stop, PATIENCE).await })
    };
    rig.load(0..10).await;
    let mut replies = Replies::default();
    rig.wait_answered(0..10, &mut replies).await;
    // More jobs than places: the one that panicked has left its own.
    rig.load(10..20).await;
    rig.wait_answered(10..20, &mut replies).await;
    rig.settled().await;

    stop.cancel();
    let end = running.await.unwrap();
    assert!(matches!(end, SessionEnd::Drained { unfinished: 0 }), "the session lived on: {end:?}");
    for number in 0..20 {
        let [reply] = replies.of(number) else { panic!("{}: {replies:#?}", job_id(number)) };
        let reply = reply.json();
        if number == 5 {
            assert_eq!((&reply["status"], &reply["error"]["code"]), (&"failed".into(), &"internal".into()));
            assert_eq!(reply["error"]["retryable"], false, "the connection may exist");
            assert!(!reply.to_string().contains("not for me"), "{reply}");
        } else {
            assert_eq!(reply["status"], "created", "{reply}");
        }
    }
    let page = metrics.render().unwrap();
    assert!(page.contains("\nconnection_worker_panics_total 1\n"), "{page}");
    assert!(page.contains("\nconnection_worker_jobs_in_flight 0\n"), "{page}");
}
