//! A stand-in for Adobe's IMS and Flow Service, to develop and test against.
//!
//! It answers as the published documents say: same paths, headers, error codes and body shapes. Where they are
//! silent it takes the harder reading (names need not be unique, a comma in a filter always means "or"). It can be
//! made to misbehave, by rules given at start or over HTTP while it runs. It knows nothing of the worker, of
//! RabbitMQ or of the environment.
//!
//! **It is a test tool**: it keeps the last create requests whole, credentials included, and shows them to
//! whoever asks. Bind it to a loopback address and give it no real secret.
//!
//! With a certificate ([`Options::tls`]) it speaks HTTPS, and HTTP/2 with clients that offer it: up to 200 requests at a
//! time on a connection, as hyper has it.
//!
//! # What it serves
//!
//! | call | answer |
//! |---|---|
//! | `POST /ims/token/v3` | an access token, or an RFC 6749 error |
//! | `POST /data/foundation/flowservice/connections` | 201, `Location`, `{"id","etag"}` |
//! | `GET …/connections` | a page; `property`, `orderby`, `limit`, `count`, `continuationToken` |
//! | `GET …/connections/{id}` | a page with one item; 404 with `FLOW-1439-404` |
//! | `GET …/connections/{id}/test` | `{"result":true}`; false if an auth param was the string `invalid` |
//! | `DELETE …/connections/{id}` | 204 |
//! | `GET …/connectionSpecs`, `…/connectionSpecs/{id}` | the specs of [`crate::sources`] |
//!
//! # Control, while it runs
//!
//! On the same port, JSON both ways, no credentials:
//!
//! | call | effect |
//! |---|---|
//! | `GET /simulator/faults` | `{"faults":[…]}`: the rules in force, in order |
//! | `POST /simulator/faults` | adds a rule, or an array of them, at the end of the list |
//! | `DELETE /simulator/faults`, `DELETE /simulator/faults/{id}` | drops all rules, or one |
//! | `POST /simulator/tokens/expire` | no access token is good any more, a fixed one included; with `{"clientId":"…"}` only those of one client |
//! | `POST /simulator/secrets` | `{"clientSecrets":["…"]}`: accepts these (two at most); none means any. With a `clientId` besides, of one of [`Options::clients`], where none means that it is locked out |
//! | `GET /simulator/settings`, `PUT /simulator/settings` | `{"latency":…,"findLagMs":…,"enableAfterMs":…}`; see [`latency::Latency`] |
//! | `GET /simulator/report` | counts; see below |
//! | `GET /simulator/requests?limit=N` | the last N create requests: HTTP version, headers and raw body |
//! | `POST /simulator/reset` | forgets connections, counts and requests; rules, secrets and settings as at start |
//!
//! The rules are described at [`fault::Rule`]. The report has `created`, `distinct` (jobs), `distinctMarkers`,
//! `duplicates` (`extra`, `byMarker`, `byName`), `stored`, `requests` (by endpoint), `statuses`, `unanswered`,
//! `tokensIssued`, `faults` (by kind) and `maxCreatesInFlight`. A connection's marker is the ` [job <id>]` at the
//! end of its description; connections without one are told apart by name.

pub mod capacity;
mod census;
mod connections;
mod control;
pub mod endpoint;
pub mod fault;
mod gateway;
mod http;
mod ims;
mod item;
pub mod latency;
mod misbehave;
mod payload;
mod problem;
mod query;
mod record;
mod rules;
mod specs;
mod store;
pub mod tls;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use capacity::Capacity;
use fault::Rule;
use latency::Latency;

/// As many client secrets as one credential can have at IMS, so that they can be rotated.
pub const MAX_SECRETS: usize = 2;

/// How long requests under way may take to end after the shutdown; then their connections are cut.
const GRACE: Duration = Duration::from_secs(2);

/// After a failed `accept` (no file descriptors left, mostly) a pause keeps the loop from spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How the simulator behaves. The default accepts every credential and has no faults.
#[derive(Clone)]
pub struct Options {
    /// The client id that IMS and the gateway (`x-api-key`) accept; `None`: any that is not empty.
    pub client_id: Option<String>,
    /// The client secrets that IMS accepts, [`MAX_SECRETS`] at most; empty: any that is not empty.
    pub client_secrets: Vec<String>,
    /// Several clients, each with the secrets that IMS accepts of it, in place of `client_id` and `client_secrets`. A token is
    /// then good only with the API key of the client that it was issued to.
    pub clients: BTreeMap<String, Vec<String>>,
    /// Speaks HTTPS with this certificate; `None`: plain HTTP/1.1.
    pub tls: Option<tls::Tls>,
    /// The scopes that IMS knows; any other is `invalid_scope`.
    pub scopes: Vec<String>,
    /// An access token that is good without having been issued.
    pub access_token: Option<String>,
    /// How long an issued token is good.
    pub token_lifetime: Duration,
    /// The sandboxes that exist; empty: every one.
    pub sandboxes: Vec<String>,
    /// How long an answer takes.
    pub latency: Latency,
    /// How long a new connection stays out of lists, as if the index lagged behind the writes.
    pub find_lag: Duration,
    /// How long a new connection is `initializing` before it is `enabled`.
    pub enable_after: Duration,
    /// How many calls to Flow Service a second are borne; `None`: any number.
    pub capacity: Option<Capacity>,
    /// The rules of misbehaviour, first match acts.
    pub faults: Vec<Rule>,
    /// Makes ids, latencies and rates repeatable, as far as the order of requests is; `None`: random.
    pub seed: Option<u64>,
    /// How many connections are kept; the oldest is forgotten for a new one.
    pub max_connections: usize,
    /// How many create requests are kept for `GET /simulator/requests`.
    pub max_requests: usize,
}

impl Default for Options {
    fn default() -> Self {
        let scopes =
            ["openid", "session", "AdobeID", "read_organizations", "additional_info.projectedProductContext"];
        Self {
            client_id: None,
            client_secrets: Vec::new(),
            clients: BTreeMap::new(),
            tls: None,
            scopes: scopes.map(str::to_owned).to_vec(),
            access_token: None,
            token_lifetime: Duration::from_secs(86_399), // what IMS grants
            sandboxes: Vec::new(),
            latency: Latency::None,
            find_lag: Duration::ZERO,
            enable_after: Duration::ZERO,
            capacity: None,
            faults: Vec::new(),
            seed: None,
            max_connections: 1_000_000,
            max_requests: 1_000,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").finish_non_exhaustive() // it holds secrets
    }
}

/// Everything the requests share.
#[derive(Debug)]
struct State {
    options: Options,
    tokens: ims::Tokens,
    faults: rules::Faults,
    settings: Mutex<control::Settings>,
    bucket: Option<Mutex<capacity::Bucket>>,
    store: RwLock<store::Store>,
    counts: record::Counts,
    requests: record::Requests,
    random: Mutex<fastrand::Rng>,
    /// Ends the requests that would never end.
    stopping: CancellationToken,
}

impl State {
    fn new(options: Options) -> Self {
        Self {
            tokens: ims::Tokens::new(&options),
            faults: rules::Faults::new(options.faults.clone()),
            settings: Mutex::new(control::Settings::new(&options)),
            bucket: options
                .capacity
                .map(|capacity| Mutex::new(capacity::Bucket::new(capacity, Instant::now()))),
            store: RwLock::new(store::Store::new(options.max_connections)),
            counts: record::Counts::default(),
            requests: record::Requests::new(options.max_requests),
            random: Mutex::new(options.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed)),
            stopping: CancellationToken::new(),
            options,
        }
    }

    /// Whether IMS and the gateway know a client.
    fn knows_client(&self, id: &str) -> bool {
        let is_the_one = || self.options.client_id.as_deref().is_none_or(|known| known == id);
        self.tokens.knows(id).unwrap_or_else(is_the_one)
    }

    fn random_bits(&self) -> u128 {
        locked(&self.random).u128(..)
    }

    fn find_lag(&self) -> Duration {
        locked(&self.settings).find_lag()
    }

    fn enable_after(&self) -> Duration {
        locked(&self.settings).enable_after()
    }

    fn store<T>(&self, read: impl FnOnce(&store::Store) -> T) -> T {
        read(&self.store.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn store_mut<T>(&self, change: impl FnOnce(&mut store::Store) -> T) -> T {
        change(&mut self.store.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A panic elsewhere does not make the shared numbers any worse.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A simulator that has its port and is ready to run.
#[derive(Debug)]
pub struct Simulator {
    listener: TcpListener,
    local_addr: SocketAddr,
    state: Arc<State>,
}

impl Simulator {
    /// Takes the port. From here on clients can connect; they are answered once [`run`](Self::run) is polled.
    pub async fn bind(addr: SocketAddr, options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let local_addr = listener.local_addr()?;
        Ok(Self { listener, local_addr, state: Arc::new(State::new(options)) })
    }

    /// Where it listens: tells the port when bound to port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The root of everything it serves, such as `https://127.0.0.1:8080`.
    pub fn url(&self) -> String {
        let scheme = if self.state.options.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.local_addr)
    }

    /// Serves until `shutdown` completes; then lets requests under way end, for two seconds at most.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { listener, local_addr: _, state } = self;
        let mut clients = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => _ = clients.spawn(http::serve(Arc::clone(&state), stream)),
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
                Some(_) = clients.join_next() => {} // reaped, so that the set does not grow
            }
        }
        drop(listener);
        state.stopping.cancel();
        let ended = async { while clients.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, ended).await.is_err() {
            clients.shutdown().await;
        }
    }
}
