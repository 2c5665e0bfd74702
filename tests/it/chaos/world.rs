//! Everything that a storm goes over: a broker, a simulator, the workers, and the networks between them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use connection_worker::simulator::Options;
use connection_worker::simulator::latency::Latency;
use tokio::time::{Instant, sleep};

use super::fleet::Fleet;
use super::ledger::Ledger;
use super::nodes::Nodes;
use super::schedule::{Fault, WORKERS};
use crate::support::corner::{Corner, ORG, SANDBOX};
use crate::support::proxy::Proxy;
use crate::support::simulator::flow_url_at;
use crate::support::worker::WorkerProcess;

/// What the simulator lets the auditor in with.
const AUDITOR: &str = "the-auditors-token";

/// Short enough for the worker to need new tokens in every storm, and IMS with them.
const TOKEN_LIFETIME: Duration = Duration::from_secs(20);

/// As long as an index is behind.
const FIND_LAG: Duration = Duration::from_millis(200);

/// How long a job waits in a retry queue, whichever it is. Not shorter than `LOOKUP_SETTLE`, which is spent there, and
/// that not shorter than a call can last: else a call could take effect after its connection was looked for.
const RETRY_WAIT: Duration = Duration::from_secs(5);

/// Whatever a fault does must show within seconds, not minutes.
const SHORT_TIMES: [(&str, &str); 11] = [
    ("FLOW_TIMEOUT", "5s"),
    ("FLOW_CONNECT_TIMEOUT", "2s"),
    ("AMQP_TIMEOUT", "5s"),
    ("AMQP_HEARTBEAT", "2s"),
    ("RETRY_ATTEMPTS", "100"),
    ("RETRY_BASE", "200ms"),
    ("RETRY_MAX", "2s"),
    ("RETRY_HOLD", "2s"),
    ("LOOKUP_SETTLE", "5s"),
    ("DRAIN_GRACE", "10s"),
    ("CONCURRENCY", "32"),
];

/// The networks of one worker.
#[derive(Debug)]
pub(super) struct Links {
    pub(super) broker: Proxy,
    pub(super) service: Proxy,
    pub(super) ims: Proxy,
}

/// What was done, and from when to when.
#[derive(Debug)]
pub(super) struct Struck {
    pub(super) fault: Fault,
    pub(super) began: Instant,
    pub(super) healed: Instant,
}

/// See the module.
#[derive(Debug)]
pub(super) struct World {
    pub(super) seed: u64,
    pub(super) nodes: Nodes,
    pub(super) corner: Corner,
    /// Of all nodes, for clients that go straight there.
    pub(super) urls: Vec<String>,
    pub(super) links: Vec<Links>,
    pub(super) fleet: Fleet,
    ledger: Mutex<Ledger>,
    pub(super) struck: Mutex<Vec<Struck>>,
    jobs: AtomicUsize,
    /// Whether jobs may name the sender's own reply queue.
    pub(super) own_replies_wanted: AtomicBool,
}

impl World {
    /// Sets it all up, and waits until every worker is ready.
    pub(super) async fn start(seed: u64, number_of_nodes: usize) -> Self {
        let nodes = Nodes::start(number_of_nodes).await;
        let options = Options {
            latency: Latency::Lognormal { p50_ms: 50, p99_ms: 200 },
            find_lag: FIND_LAG,
            access_token: Some(AUDITOR.to_owned()),
            token_lifetime: TOKEN_LIFETIME,
            max_requests: 0,
            seed: Some(seed),
            ..Options::default()
        };
        let corner = Corner::on(nodes.first(), options).await;
        corner.declare_short_retries("quorum", RETRY_WAIT).await;
        let mut links = Vec::new();
        for worker in 0..WORKERS {
            links.push(Links {
                broker: Proxy::start(nodes.addr_for(worker).await).await.unwrap(),
                service: Proxy::start(corner.sim.addr()).await.unwrap(),
                ims: Proxy::start(corner.sim.addr()).await.unwrap(),
            });
        }
        let mut urls = Vec::new();
        for node in nodes.all() {
            urls.push(corner.vhost.amqp_url_at(node.addr().await));
        }
        let (ledger, struck, jobs) = (Mutex::default(), Mutex::default(), AtomicUsize::new(0));
        let own_replies_wanted = AtomicBool::new(true);
        let world = Self {
            seed,
            nodes,
            corner,
            urls,
            links,
            fleet: Fleet::default(),
            ledger,
            struck,
            jobs,
            own_replies_wanted,
        };
        world.corner.vhost.declare_classic(&world.own_replies()).await;
        world.start_workers().await;
        world
    }

    /// The process of a worker, told where its own networks are.
    pub(super) fn worker(&self, number: usize) -> WorkerProcess {
        let links = &self.links[number];
        let places = [
            ("AMQP_URL", self.corner.vhost.amqp_url_at(links.broker.addr())),
            ("FLOW_URL", flow_url_at(links.service.addr())),
            ("IMS_URL", format!("http://{}", links.ims.addr())),
        ];
        let env: Vec<(&str, &str)> = places.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.corner.start_worker(&[&env[..], &SHORT_TIMES].concat())
    }

    /// The queue of a sender who wants the replies for itself.
    ///
    /// Classic, because only such a queue can be deleted on the condition that it is empty.
    pub(super) fn own_replies(&self) -> String {
        self.corner.vhost.queue("storm.replies")
    }

    pub(super) fn next_job(&self) -> usize {
        self.jobs.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn job_id(&self, number: usize) -> String {
        format!("storm-{}-{}-{number:06}", self.seed, self.urls.len())
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    /// Every connection there is: the job that it was made for, and its id. Names tell jobs apart, markers or not.
    pub(super) async fn connections(&self) -> Vec<(String, String)> {
        self.corner.sim.hurry().await;
        let found = self.corner.sim.connections(ORG, SANDBOX, AUDITOR).await;
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let job = |name: &str| name.strip_prefix("connection ").unwrap_or(name).to_owned();
        found.iter().map(|item| (job(&text(&item["name"])), text(&item["id"]))).collect()
    }

    /// Waits until nothing is under way any more; says what is left when patience ends.
    pub(super) async fn come_to_rest(&self, patience: Duration) -> String {
        let deadline = Instant::now() + patience;
        loop {
            let held = self.held().await;
            let all_heard = self.ledger().open().next().is_none();
            if (held.is_empty() && all_heard) || Instant::now() > deadline {
                return held;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Every queue that holds a message, delivered or not, and how many; nothing if there is none. A queue that is
    /// still looking for its leader is one of them.
    async fn held(&self) -> String {
        let vhost = self.corner.vhost.name();
        let held = format!(
            r#"Count = fun(Queue) ->
                   try amqqueue:get_type(Queue) of
                       rabbit_quorum_queue ->
                           Total = fun rabbit_fifo:query_messages_total/1,
                           {{ok, {{_, N}}, _}} = ra:leader_query(amqqueue:get_pid(Queue), Total), N;
                       _ -> [{{_, N}}] = rabbit_amqqueue:info(Queue, [messages]), N
                   catch _:_ -> unknown
                   end
               end,
               Held = [{{Queue, N}} || Queue <- rabbit_amqqueue:list(<<"{vhost}">>), N <- [Count(Queue)], N =/= 0],
               Name = fun(Queue) -> element(4, amqqueue:get_name(Queue)) end,
               iolist_to_binary(["held:", [io_lib:format(" ~s ~p", [Name(Queue), N]) || {{Queue, N}} <- Held]])."#
        );
        let held = self.nodes.first().eval(&held).await;
        held.strip_prefix("held:").expect("it begins so").to_owned()
    }
}
