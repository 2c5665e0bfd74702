//! RabbitMQ: a node for the whole run, and a virtual host on it for each test.
//!
//! Nothing here holds on to a test's runtime except [`Vhost`], which belongs to one test.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::tcp::OwnedTLSConfig;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ErrorKind};
use serde_json::Value;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

use super::eventually::eventually;
use super::script::{self, Script};
use super::tls::{Certificates, ClientFiles};

/// For one exchange with a broker that is known to be well, on a loaded machine.
const STEP: Duration = Duration::from_secs(20);

/// The node of the whole run; a failed start is remembered, or each test would wait for its own.
static SHARED: OnceLock<Result<Broker, String>> = OnceLock::new();

/// A broker to test against. Clones are the same broker; a node of our own stops with the last of them.
#[derive(Debug, Clone)]
pub(crate) struct Broker {
    /// With credentials; without a virtual host for a node of our own.
    url: String,
    node: Option<Arc<Node>>,
}

/// A node of our own, alone or in a cluster.
#[derive(Debug)]
struct Node {
    script: Arc<Mutex<Script>>,
    /// From 1, as the script counts.
    number: usize,
    name: String,
    process: AtomicU32,
    dir: PathBuf,
    amqps_port: u16,
    certificates: Arc<Certificates>,
    client_files: ClientFiles,
    console: Mutex<Console>,
    /// Of the whole cluster.
    vhosts: Arc<AtomicU64>,
}

impl Broker {
    /// The broker of this run: the one that `AMQP_URL` names, else a node that is started by whoever asks first.
    pub(crate) async fn shared() -> Self {
        let start = || match super::env("AMQP_URL") {
            Some(url) => Ok(Self { url, node: None }),
            None => start_nodes(1).map(|mut nodes| nodes.remove(0)).map_err(|error| error.to_string()),
        };
        let shared = spawn_blocking(move || SHARED.get_or_init(start)).await.unwrap();
        shared.clone().unwrap_or_else(|error| panic!("no broker: {error}"))
    }

    /// A node of the test's own, for tests that stop it or make it ill. It costs some seconds.
    pub(crate) async fn start() -> Self {
        Self::start_cluster(1).await.remove(0)
    }

    /// A cluster of nodes of the test's own, for [`super::cluster::Cluster`].
    pub(super) async fn start_cluster(nodes: usize) -> Vec<Self> {
        let started = spawn_blocking(move || start_nodes(nodes)).await.unwrap();
        started.unwrap_or_else(|error| panic!("no broker: {error}"))
    }

    /// Whether the node is ours, so that [`Broker::ctl`] and TLS are there.
    pub(crate) fn is_ours(&self) -> bool {
        self.node.is_some()
    }

    /// Where it listens in clear text: the target of a [`super::proxy::Proxy`].
    pub(crate) async fn addr(&self) -> SocketAddr {
        let url = url::Url::parse(&self.url).unwrap();
        let host = url.host_str().unwrap_or("localhost").to_owned();
        let mut found = tokio::net::lookup_host((host, url.port().unwrap_or(5672))).await.unwrap();
        found.next().expect("the broker's host has an address")
    }

    /// The certificates that the TLS listener uses, and those of a client.
    pub(crate) fn certificates(&self) -> &Certificates {
        &self.node().certificates
    }

    /// Files with the authority and the client's identity.
    pub(crate) fn client_files(&self) -> &ClientFiles {
        &self.node().client_files
    }

    /// The operating system's number of the node.
    pub(crate) fn process(&self) -> u32 {
        self.node().process.load(Ordering::Relaxed)
    }

    /// The node's Erlang name.
    pub(crate) fn name(&self) -> &str {
        &self.node().name
    }

    /// Ends the node at once, as `kill -9` does.
    ///
    /// Quorum queues are known by then for good: RabbitMQ 3.10 writes the list of them half a second late, and a queue
    /// that is not in it comes back without its messages, or without a leader.
    pub(crate) async fn kill(&self) {
        self.eval("[ok = dets:sync(Table) || Table <- dets:all()].").await;
        self.order("kill").await;
    }

    /// Starts the node again after [`Broker::kill`], on the same address and with all that it had; returns when it
    /// serves. Connections to it are to be made anew: see [`Vhost::reconnect`].
    pub(crate) async fn restart(&self) {
        let process = self.order("start").await;
        self.node().process.store(process.parse().expect("a process number"), Ordering::Relaxed);
    }

    async fn order(&self, verb: &'static str) -> String {
        let (script, number) = (Arc::clone(&self.node().script), self.node().number);
        let order = move || script.lock().unwrap().order(verb, number);
        let done = spawn_blocking(order).await.unwrap();
        done.unwrap_or_else(|error| panic!("{verb} {number}: {error}"))
    }

    /// Everything that the node writes.
    pub(crate) fn dir(&self) -> &Path {
        &self.node().dir
    }

    /// Runs `rabbitmqctl` against the node and returns what it prints. It takes a second; [`Broker::eval`] does not.
    pub(crate) async fn ctl(&self, args: &[&str]) -> String {
        let mut command = Command::new(script::PATH);
        command.arg("ctl").arg(&self.node().dir).args(args).stdin(Stdio::null());
        let output = spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "rabbitmqctl {args:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Evaluates an Erlang expression on the node, in milliseconds. A binary comes back as it is.
    pub(crate) async fn eval(&self, expression: &str) -> String {
        let node = Arc::clone(self.node.as_ref().expect("a node of our own"));
        let question = expression.split_whitespace().collect::<Vec<_>>().join(" ");
        let answer = {
            let question = question.clone();
            spawn_blocking(move || node.console.lock().unwrap().ask(&question)).await.unwrap()
        };
        answer.unwrap_or_else(|error| panic!("{question}: {error}"))
    }

    /// A place where this test is alone: a new virtual host, or on a foreign broker a prefix for queue names.
    pub(crate) async fn vhost(&self) -> Vhost {
        let (name, prefix) = match &self.node {
            Some(node) => {
                let name = format!("test-{}", node.vhosts.fetch_add(1, Ordering::Relaxed));
                self.eval(&format!(
                    r#"ok = rabbit_vhost:add(<<"{name}">>, <<"tests">>),
                       All = <<".*">>,
                       rabbit_auth_backend_internal:set_permissions(
                           <<"guest">>, <<"{name}">>, All, All, All, <<"tests">>)."#
                ))
                .await;
                (Some(name), String::new())
            }
            None => (None, format!("test-{}.", uuid::Uuid::new_v4())),
        };
        Vhost::connect(self.clone(), name, prefix).await
    }

    fn node(&self) -> &Node {
        self.node.as_deref().expect("this needs a node of our own, not the one of AMQP_URL")
    }
}

/// Starts nodes that form a cluster if there are more than one.
fn start_nodes(nodes: usize) -> io::Result<Vec<Broker>> {
    let certificates = Arc::new(Certificates::generate().map_err(io::Error::other)?);
    let files = tempfile::tempdir()?;
    certificates.write_server_files(files.path())?;
    let (script, mut said) = Script::start(nodes, files.path())?;
    let script = Arc::new(Mutex::new(script));
    let vhosts = Arc::default();
    let node = |number| {
        let mut take = |key: &str| said.take(key, number);
        let url = take("AMQP_URL")?;
        let dir = PathBuf::from(take("BROKER_DIR")?);
        let node = Node {
            script: Arc::clone(&script),
            number,
            name: take("RABBITMQ_NODENAME")?,
            process: AtomicU32::new(take("RABBITMQ_PID")?.parse().map_err(io::Error::other)?),
            amqps_port: take("AMQPS_PORT")?.parse().map_err(io::Error::other)?,
            certificates: Arc::clone(&certificates),
            client_files: certificates.write_client_files(&dir)?,
            console: Mutex::new(Console::start(&dir)?),
            vhosts: Arc::clone(&vhosts),
            dir,
        };
        Ok(Broker { url, node: Some(Arc::new(node)) })
    };
    (1..=nodes).map(node).collect()
}

/// A conversation with the node: one line of Erlang each way.
#[derive(Debug)]
struct Console {
    _process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Console {
    fn start(dir: &Path) -> io::Result<Self> {
        let mut process = Command::new(script::PATH)
            .arg("eval")
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let questions = process.stdin.take().expect("it is piped");
        let answers = BufReader::new(process.stdout.take().expect("it is piped"));
        Ok(Self { _process: process, questions, answers })
    }

    fn ask(&mut self, question: &str) -> Result<String, String> {
        let mut answer = String::new();
        writeln!(self.questions, "{question}")
            .and_then(|()| self.answers.read_line(&mut answer))
            .map_err(|error| error.to_string())?;
        match answer.trim_end().split_once(' ') {
            Some(("ok", value)) => Ok(value.to_owned()),
            _ => Err(answer),
        }
    }
}

/// How many messages a queue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) ready: u64,
    /// Delivered and not settled.
    pub(crate) unacked: u64,
}

/// A message that a test took from a queue.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) properties: BasicProperties,
    pub(crate) body: Vec<u8>,
    pub(crate) redelivered: bool,
}

impl Message {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// A header's value; texts and numbers as text.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let value = self.properties.headers().as_ref()?.inner().get(name)?;
        Some(match value {
            AMQPValue::LongString(text) => text.to_string(),
            AMQPValue::ShortString(text) => text.to_string(),
            AMQPValue::Boolean(value) => value.to_string(),
            AMQPValue::ShortShortInt(value) => value.to_string(),
            AMQPValue::ShortInt(value) => value.to_string(),
            AMQPValue::LongInt(value) => value.to_string(),
            AMQPValue::LongUInt(value) => value.to_string(),
            AMQPValue::LongLongInt(value) => value.to_string(),
            AMQPValue::Timestamp(value) => value.to_string(),
            other => format!("{other:?}"),
        })
    }
}

/// A test's own part of a broker, with a client of the test's own: it goes straight to the broker, whatever a proxy
/// does to the worker.
#[derive(Debug)]
pub(crate) struct Vhost {
    broker: Broker,
    /// Absent on a foreign broker, where the URL names it.
    name: Option<String>,
    prefix: String,
    connection: Connection,
    /// In confirm mode; one publish at a time, because a return belongs to the publish that is waiting.
    publisher: tokio::sync::Mutex<Channel>,
}

impl Vhost {
    async fn connect(broker: Broker, name: Option<String>, prefix: String) -> Self {
        let url = url_of(&broker.url, name.as_deref(), None);
        let connection = connect(&url, OwnedTLSConfig::default()).await.expect("the test's own connection");
        let publisher = connection.create_channel().await.unwrap();
        publisher.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Self { broker, name, prefix, connection, publisher: tokio::sync::Mutex::new(publisher) }
    }

    /// Connects anew, after a restart of the broker.
    pub(crate) async fn reconnect(self) -> Self {
        self.through(&self.broker).await
    }

    /// The same place, reached through another node of the cluster.
    pub(crate) async fn through(&self, broker: &Broker) -> Self {
        Self::connect(broker.clone(), self.name.clone(), self.prefix.clone()).await
    }

    /// The broker that it is on.
    pub(crate) fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The virtual host's name, for `rabbitmqctl -p`.
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().expect("a node of our own")
    }

    /// The name under which a test uses a queue: as it is in a virtual host of our own, else made unique.
    pub(crate) fn queue(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// In clear text, straight to the broker.
    pub(crate) fn amqp_url(&self) -> String {
        url_of(&self.broker.url, self.name.as_deref(), None)
    }

    /// In clear text, to another address: a proxy's.
    pub(crate) fn amqp_url_at(&self, addr: SocketAddr) -> String {
        url_of(&self.broker.url, self.name.as_deref(), Some(addr))
    }

    /// With TLS and a password.
    pub(crate) fn amqps_url(&self) -> String {
        format!("amqps://guest:guest@localhost:{}/{}", self.broker.node().amqps_port, self.name())
    }

    /// With TLS and no password: the client's certificate says who it is.
    pub(crate) fn amqps_external_url(&self) -> String {
        let port = self.broker.node().amqps_port;
        format!("amqps://localhost:{port}/{}?auth_mechanism=external", self.name())
    }

    /// A channel that may be broken without harm to other calls.
    pub(crate) async fn channel(&self) -> Channel {
        step("open a channel", self.connection.create_channel()).await.unwrap()
    }

    /// Declares a durable classic queue.
    pub(crate) async fn declare_classic(&self, queue: &str) {
        self.declare(queue, FieldTable::default()).await;
    }

    /// Declares a quorum queue.
    pub(crate) async fn declare_quorum(&self, queue: &str) {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        self.declare(queue, arguments).await;
    }

    /// Declares a durable queue with any arguments.
    pub(crate) async fn declare(&self, queue: &str, arguments: FieldTable) {
        let channel = self.channel().await;
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        step("declare", channel.queue_declare(queue.into(), options, arguments)).await.unwrap();
        close(&channel).await;
    }

    /// Deletes a queue with all that is in it. It need not be there.
    pub(crate) async fn delete_queue(&self, queue: &str) {
        let channel = self.channel().await;
        step("delete", channel.queue_delete(queue.into(), QueueDeleteOptions::default())).await.unwrap();
        close(&channel).await;
    }

    /// Publishes a message; returns when the broker has it, and fails the test if no queue takes it.
    pub(crate) async fn publish(&self, queue: &str, properties: BasicProperties, body: &[u8]) {
        let publisher = self.publisher.lock().await;
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let sent = publisher.basic_publish("".into(), queue.into(), options, body, properties);
        let confirmation = step("publish", async { sent.await?.await }).await.unwrap();
        assert!(
            matches!(confirmation, Confirmation::Ack(None)),
            "{queue} does not take messages: {confirmation:?}"
        );
    }

    /// Publishes `{}` with properties that no proper client would send, from the broker's own shell; RabbitMQ 3 and 4 have
    /// different functions for it.
    pub(crate) async fn publish_improper(&self, queue: &str, properties: &str) {
        let vhost = self.name();
        let published = self
            .broker()
            .eval(&format!(
                r#"Exchange = rabbit_misc:r(<<"{vhost}">>, exchange, <<>>),
                   Properties = [{properties}, {{delivery_mode, 2}}],
                   {{module, _}} = code:ensure_loaded(rabbit_basic),
                   case erlang:function_exported(rabbit_basic, publish, 4) of
                       true -> rabbit_basic:publish(Exchange, <<"{queue}">>, Properties, <<"{{}}">>);
                       false ->
                           Content = rabbit_basic:build_content(rabbit_basic:properties(Properties), <<"{{}}">>),
                           {{ok, Message}} = mc_amqpl:message(Exchange, <<"{queue}">>, Content),
                           rabbit_queue_type:publish_at_most_once(Exchange, Message)
                   end."#
            ))
            .await;
        assert_eq!(published, "ok");
    }

    /// Publishes many messages without waiting for each; returns when the broker has them all.
    pub(crate) async fn publish_all(
        &self,
        queue: &str,
        messages: impl IntoIterator<Item = (BasicProperties, Vec<u8>)>,
    ) {
        // Not mandatory, because returns could not be told apart; so the queue has to be there.
        assert!(self.exists(queue).await, "{queue} is missing");
        let publisher = self.publisher.lock().await;
        let options = BasicPublishOptions::default();
        let mut pending = Vec::new();
        for (properties, body) in messages {
            pending.push(
                publisher.basic_publish("".into(), queue.into(), options, &body, properties).await.unwrap(),
            );
        }
        for confirm in pending {
            let confirmation = step("confirm", confirm).await.unwrap();
            assert!(matches!(confirmation, Confirmation::Ack(None)), "{queue}: {confirmation:?}");
        }
    }

    /// Whether the queue is there.
    pub(crate) async fn exists(&self, queue: &str) -> bool {
        self.look(queue).await.is_some()
    }

    /// How many messages are ready in a queue.
    pub(crate) async fn depth(&self, queue: &str) -> u32 {
        self.look(queue).await.unwrap_or_else(|| panic!("{queue} is missing")).0
    }

    /// How many consumers a queue has.
    pub(crate) async fn consumers(&self, queue: &str) -> u32 {
        self.look(queue).await.unwrap_or_else(|| panic!("{queue} is missing")).1
    }

    /// Messages and consumers of a queue, if it is there.
    async fn look(&self, queue: &str) -> Option<(u32, u32)> {
        let channel = self.channel().await;
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        match step("look", channel.queue_declare(queue.into(), options, FieldTable::default())).await {
            Ok(found) => {
                close(&channel).await;
                Some((found.message_count(), found.consumer_count()))
            }
            // The broker has closed the channel.
            Err(error) if matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == 404) => {
                None
            }
            Err(error) => panic!("{queue}: {error}"),
        }
    }

    /// Takes `n` messages from a queue and acks them; fails the test if there are not as many in time.
    pub(crate) async fn take(&self, queue: &str, n: usize, patience: Duration) -> Vec<Message> {
        let channel = self.channel().await;
        let deadline = Instant::now() + patience;
        let mut taken = Vec::new();
        while taken.len() < n {
            match get(&channel, queue).await {
                Some(message) => taken.push(message),
                None if Instant::now() < deadline => sleep(Duration::from_millis(20)).await,
                None => panic!("{queue}: {} of {n} messages within {patience:?}: {taken:#?}", taken.len()),
            }
        }
        close(&channel).await;
        taken
    }

    /// Takes and acks what is ready in a queue now.
    pub(crate) async fn drain(&self, queue: &str) -> Vec<Message> {
        let channel = self.channel().await;
        let mut taken = Vec::new();
        while let Some(message) = get(&channel, queue).await {
            taken.push(message);
        }
        close(&channel).await;
        taken
    }

    /// What a queue holds at this moment, asked of the queue itself: what `rabbitmqctl list_queues` says about a quorum
    /// queue can be five seconds old.
    pub(crate) async fn counts(&self, queue: &str) -> Counts {
        let vhost = self.name();
        let answer = self
            .broker
            .eval(&format!(
                r#"{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{vhost}">>, queue, <<"{queue}">>)),
                   [Ready, Unacked] = case amqqueue:get_type(Q) of
                       rabbit_quorum_queue ->
                           [begin {{ok, {{_, N}}, _}} = ra:leader_query(amqqueue:get_pid(Q), F), N end ||
                               F <- [fun rabbit_fifo:query_messages_ready/1,
                                     fun rabbit_fifo:query_messages_checked_out/1]];
                       _ ->
                           [N || {{_, N}} <- rabbit_amqqueue:info(Q, [messages_ready, messages_unacknowledged])]
                   end,
                   iolist_to_binary(io_lib:format("[~w,~w]", [Ready, Unacked]))."#
            ))
            .await;
        let [ready, unacked] = serde_json::from_str(&answer).unwrap();
        Counts { ready, unacked }
    }

    /// Waits until a job queue, its overflow and its held queue hold nothing, ready or unacked. A foreign broker is asked for
    /// the ready ones only.
    pub(crate) async fn settled(&self, queue: &str, patience: Duration) {
        eventually(&format!("{queue} is settled"), patience, async || {
            // In the order in which a job is moved from one to the other and back, so that none is missed on its way.
            let (overflow, held) = (format!("{queue}.overflow"), format!("{queue}.held"));
            for queue in [queue.to_owned(), overflow.clone(), held, overflow] {
                let Some((ready, _)) = self.look(&queue).await else { continue };
                let counts = if self.broker.is_ours() {
                    self.counts(&queue).await
                } else {
                    Counts { ready: ready.into(), unacked: 0 }
                };
                if counts != (Counts { ready: 0, unacked: 0 }) {
                    return Err((queue, counts));
                }
            }
            Ok(())
        })
        .await;
    }
}

/// Connects as any client does, with an end to its patience.
pub(crate) async fn connect(url: &str, tls: OwnedTLSConfig) -> lapin::Result<Connection> {
    let runtime = lapin::runtime::default_runtime()?;
    step("connect", Connection::connect_with_config(url, ConnectionProperties::default(), tls, runtime)).await
}

/// A broker that does not answer fails the test instead of hanging it.
async fn step<T>(what: &str, exchange: impl Future<Output = T>) -> T {
    timeout(STEP, exchange)
        .await
        .unwrap_or_else(|_| panic!("{what}: the broker did not answer within {STEP:?}"))
}

async fn get(channel: &Channel, queue: &str) -> Option<Message> {
    let got = step("get", channel.basic_get(queue.into(), BasicGetOptions::default())).await.unwrap()?;
    let acked = step("ack", got.acker.ack(BasicAckOptions::default())).await.unwrap();
    assert!(acked, "the broker takes the message back");
    let delivery = got.delivery;
    Some(Message { properties: delivery.properties, body: delivery.data, redelivered: delivery.redelivered })
}

async fn close(channel: &Channel) {
    step("close a channel", channel.close(200, "OK".into())).await.unwrap();
}

/// Changes the virtual host and the address in a URL, as far as said.
fn url_of(url: &str, vhost: Option<&str>, addr: Option<SocketAddr>) -> String {
    let mut url = url::Url::parse(url).unwrap();
    if let Some(vhost) = vhost {
        url.set_path(vhost);
    }
    if let Some(addr) = addr {
        url.set_ip_host(addr.ip()).unwrap();
        url.set_port(Some(addr.port())).unwrap();
    }
    url.into()
}

/// Whether a process is there, and more than its parent's memory of it.
pub(crate) fn is_alive(process: u32) -> bool {
    match fs::read_to_string(format!("/proc/{process}/stat")) {
        Ok(stat) => !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')),
        Err(_) => false,
    }
}
