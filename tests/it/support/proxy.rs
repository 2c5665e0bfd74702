//! A TCP proxy that can fail like a network: between worker and broker, or worker and service.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::sleep;

/// How much of what a client says first is kept, to tell its connections apart: AMQP clients name theirs in there.
const GREETING: usize = 4 * 1024;

/// What the proxy does to its connections; of two, the later one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    Forward,
    Freeze,
    Cut,
}

#[derive(Debug, Clone, Copy)]
struct Ill {
    mode: Mode,
    /// How many cuts there were: a connection that is older than the last one is gone, even if its task did not run
    /// between the cut and the end of it.
    cuts: u64,
    /// How late everything is.
    delay: Duration,
    /// Whether bytes come one by one.
    sliced: bool,
}

impl Ill {
    const WELL: Self = Self { mode: Mode::Forward, cuts: 0, delay: Duration::ZERO, sliced: false };

    fn cut(&mut self) {
        *self = Self { mode: Mode::Cut, cuts: self.cuts + 1, ..*self };
    }

    fn heal(&mut self) {
        *self = Self { cuts: self.cuts, ..Self::WELL };
    }
}

/// Where new connections go, what is wrong with all connections, and what with those whose greeting holds a text.
#[derive(Debug, Clone)]
struct State {
    target: SocketAddr,
    all: Ill,
    named: Vec<(&'static str, Ill)>,
    /// Whether what servers send is held.
    answers_held: bool,
}

impl State {
    fn named(&mut self, name: &'static str) -> &mut Ill {
        let known = self.named.iter().position(|(other, _)| *other == name);
        let index = known.unwrap_or_else(|| {
            self.named.push((name, Ill::WELL));
            self.named.len() - 1
        });
        &mut self.named[index].1
    }

    fn of<'a>(&'a self, greeting: &'a Greeting) -> impl Iterator<Item = Ill> + 'a {
        let named = self.named.iter().filter(|(name, _)| greeting.holds(name)).map(|(_, ill)| *ill);
        std::iter::once(self.all).chain(named)
    }

    fn mode(&self, greeting: &Greeting) -> Mode {
        self.of(greeting).map(|ill| ill.mode).max().unwrap_or(Mode::Forward)
    }

    fn cuts(&self, greeting: &Greeting) -> u64 {
        self.of(greeting).map(|ill| ill.cuts).sum()
    }

    fn delay(&self, greeting: &Greeting) -> Duration {
        self.of(greeting).map(|ill| ill.delay).max().unwrap_or_default()
    }

    fn is_sliced(&self, greeting: &Greeting) -> bool {
        self.of(greeting).any(|ill| ill.sliced)
    }
}

/// The first bytes that a client sent.
#[derive(Debug, Default)]
struct Greeting(Mutex<Vec<u8>>);

impl Greeting {
    fn hear(&self, bytes: &[u8]) {
        let mut heard = self.0.lock().unwrap();
        let wanted = GREETING.saturating_sub(heard.len()).min(bytes.len());
        heard.extend_from_slice(&bytes[..wanted]);
    }

    fn holds(&self, text: &str) -> bool {
        self.0.lock().unwrap().windows(text.len()).any(|window| window == text.as_bytes())
    }
}

/// Forwards to one address until told otherwise; dropping it cuts.
///
/// It runs on the runtime of the test that started it.
#[derive(Debug)]
pub(crate) struct Proxy {
    addr: SocketAddr,
    state: watch::Sender<State>,
    connections: Arc<AtomicUsize>,
}

impl Proxy {
    /// Listens on a free port and forwards to `target`.
    pub(crate) async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let (state, watched) =
            watch::channel(State { target, all: Ill::WELL, named: Vec::new(), answers_held: false });
        let connections = Arc::new(AtomicUsize::new(0));
        tokio::spawn(accept(listener, watched, Arc::clone(&connections)));
        Ok(Self { addr, state, connections })
    }

    /// Where clients connect.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Forwards to another address from now on, as a load balancer does whose server has gone away. Connections that
    /// are there stay where they are.
    pub(crate) fn aim(&self, target: SocketAddr) {
        self.state.send_modify(|state| state.target = target);
    }

    /// Resets every connection, and every new one as soon as it is made.
    ///
    /// The port stays taken, so that [`Proxy::restore`] cannot find it in other hands.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.all.cut());
    }

    /// Forwards no more bytes either way and keeps all sockets open, new ones too: what a client sees of a network that
    /// drops every packet.
    pub(crate) fn freeze(&self) {
        self.state.send_modify(|state| state.all.mode = Mode::Freeze);
    }

    /// Holds what servers send until [`Proxy::restore`]: requests get through, and nobody hears what came of them.
    pub(crate) fn hold_answers(&self) {
        self.state.send_modify(|state| state.answers_held = true);
    }

    /// Holds whatever is sent for so long, either way.
    pub(crate) fn delay(&self, delay: Duration) {
        self.state.send_modify(|state| state.all.delay = delay);
    }

    /// Forwards byte by byte, either way, each as a packet of its own: whoever reads gets every message in pieces, and a
    /// cut comes in the middle of one.
    pub(crate) fn slice(&self) {
        self.state.send_modify(|state| state.all.sliced = true);
    }

    /// As [`Proxy::cut`], for the connections whose client said `name` when it connected; others go on.
    pub(crate) fn cut_named(&self, name: &'static str) {
        self.state.send_modify(|state| state.named(name).cut());
    }

    /// As [`Proxy::freeze`], for the connections whose client said `name` when it connected; others go on.
    pub(crate) fn freeze_named(&self, name: &'static str) {
        self.state.send_modify(|state| state.named(name).mode = Mode::Freeze);
    }

    /// As [`Proxy::delay`], for the connections whose client said `name` when it connected; others go on.
    pub(crate) fn delay_named(&self, name: &'static str, delay: Duration) {
        self.state.send_modify(|state| state.named(name).delay = delay);
    }

    /// As [`Proxy::slice`], for the connections whose client said `name` when it connected; others go on.
    pub(crate) fn slice_named(&self, name: &'static str) {
        self.state.send_modify(|state| state.named(name).sliced = true);
    }

    /// Forwards again; frozen connections go on where they were.
    pub(crate) fn restore(&self) {
        self.state.send_modify(|state| {
            let State { all, named, answers_held, .. } = state;
            *answers_held = false;
            std::iter::once(all).chain(named.iter_mut().map(|(_, ill)| ill)).for_each(Ill::heal);
        });
    }

    /// How many connections are open through the proxy, frozen ones included.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, mut state: watch::Receiver<State>, connections: Arc<AtomicUsize>) {
    loop {
        let client = tokio::select! {
            () = closed(&mut state) => return,
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => client,
                // The client was gone before it was accepted.
                Err(_) => continue,
            },
        };
        tokio::spawn(serve(client, state.clone(), Open::count(&connections)));
    }
}

/// Resolves when the [`Proxy`] is dropped.
async fn closed(state: &mut watch::Receiver<State>) {
    while state.changed().await.is_ok() {}
}

/// One connection, from accept to close.
async fn serve(mut client: TcpStream, mut state: watch::Receiver<State>, _open: Open) {
    let greeting = Greeting::default();
    let mut forwarding = state.clone();
    let mut server = None;
    let born = state.borrow().clone();
    let end = tokio::select! {
        // An error here is the proxy's own end, which cuts too.
        _ = state.wait_for(|state| {
            state.mode(&greeting) == Mode::Cut || state.cuts(&greeting) != born.cuts(&greeting)
        }) => None,
        end = forward(&mut client, &mut server, &greeting, &mut forwarding) => Some(end),
    };
    if matches!(end, Some(Ok(()))) {
        return;
    }
    for stream in [Some(client), server].into_iter().flatten() {
        // Makes the close that follows a reset instead of an orderly end. A socket that refuses is closed already.
        stream.set_zero_linger().unwrap_or_default();
    }
}

async fn forward(
    client: &mut TcpStream,
    server: &mut Option<TcpStream>,
    greeting: &Greeting,
    state: &mut watch::Receiver<State>,
) -> io::Result<()> {
    passing(greeting, Way::Up, state).await?;
    let target = state.borrow().target;
    let server = server.insert(TcpStream::connect(target).await?);
    // Heartbeats and acks are small: no waiting for more to send.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let mut down_state = state.clone();
    let (client_read, client_write) = client.split();
    let (server_read, server_write) = server.split();
    tokio::try_join!(
        pump(client_read, server_write, greeting, Way::Up, state),
        pump(server_read, client_write, greeting, Way::Down, &mut down_state),
    )?;
    Ok(())
}

/// From clients to servers, and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// Copies one direction to its end. What was read when a freeze came is held, and written after it.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    greeting: &Greeting,
    way: Way,
    state: &mut watch::Receiver<State>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        if way == Way::Up {
            greeting.hear(&buffer[..length]);
        }
        let delay = state.borrow().delay(greeting);
        if !delay.is_zero() {
            sleep(delay).await;
        }
        passing(greeting, way, state).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        let piece = if state.borrow().is_sliced(greeting) { 1 } else { length };
        for bytes in buffer[..length].chunks(piece) {
            passing(greeting, way, state).await?;
            to.write_all(bytes).await?;
            if piece < length {
                yield_now().await;
            }
        }
    }
}

/// Resolves while bytes may pass; fails when the connection is cut, which may come to light by what was heard last.
async fn passing(greeting: &Greeting, way: Way, state: &mut watch::Receiver<State>) -> io::Result<()> {
    let is_held = |state: &State| match state.mode(greeting) {
        Mode::Forward => way == Way::Down && state.answers_held,
        Mode::Freeze => true,
        Mode::Cut => false,
    };
    match state.wait_for(|state| !is_held(state)).await {
        Ok(state) if state.mode(greeting) == Mode::Forward => Ok(()),
        Ok(_) | Err(_) => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

/// Counts a connection for as long as it lives.
#[derive(Debug)]
struct Open(Arc<AtomicUsize>);

impl Open {
    fn count(connections: &Arc<AtomicUsize>) -> Self {
        connections.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(connections))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::support::eventually::eventually;

    /// Long enough for loopback, short enough to wait out.
    const MOMENT: Duration = Duration::from_millis(200);

    const PATIENCE: Duration = Duration::from_secs(5);

    /// A server that sends back what it gets.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        addr
    }

    async fn round_trip(stream: &mut TcpStream, text: &[u8]) -> io::Result<Vec<u8>> {
        stream.write_all(text).await?;
        let mut answer = vec![0; text.len()];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn forwards_and_passes_an_orderly_end_on() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
        assert_eq!(round_trip(&mut stream, b"hello").await.unwrap(), b"hello");
        assert_eq!(proxy.connections(), 1);
        stream.shutdown().await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "the end comes back");
        eventually("the connection is closed", PATIENCE, async || proxy.connections() == 0).await;
    }

    #[tokio::test]
    async fn cut_resets_old_and_new_connections_until_restored() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
        round_trip(&mut stream, b"hello").await.unwrap();

        // However short the cut is.
        proxy.cut();
        proxy.restore();
        let error = timeout(PATIENCE, stream.read(&mut [0])).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);

        proxy.cut();
        let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
        timeout(PATIENCE, round_trip(&mut stream, b"hello")).await.unwrap().unwrap_err();
        eventually("no connection is left", PATIENCE, async || proxy.connections() == 0).await;

        proxy.restore();
        let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
        assert_eq!(round_trip(&mut stream, b"again").await.unwrap(), b"again");
    }

    #[tokio::test]
    async fn freeze_holds_bytes_both_ways_and_restore_lets_them_go() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
        round_trip(&mut stream, b"hello").await.unwrap();

        proxy.freeze();
        let mut second = TcpStream::connect(proxy.addr()).await.unwrap();
        second.write_all(b"second").await.unwrap();
        stream.write_all(b"held").await.unwrap();
        let mut answer = [0; 4];
        timeout(MOMENT, stream.read_exact(&mut answer)).await.unwrap_err();
        eventually("both are open", PATIENCE, async || proxy.connections() == 2).await;

        proxy.restore();
        timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(&answer, b"held");
        let mut answer = [0; 6];
        timeout(PATIENCE, second.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(&answer, b"second");
    }

    #[tokio::test]
    async fn delay_makes_bytes_late_both_ways_until_restored() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
        round_trip(&mut stream, b"hello").await.unwrap();

        proxy.delay(MOMENT);
        let sent = Instant::now();
        assert_eq!(round_trip(&mut stream, b"late").await.unwrap(), b"late");
        assert!(sent.elapsed() >= 2 * MOMENT);

        proxy.restore();
        timeout(2 * MOMENT, round_trip(&mut stream, b"soon")).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn sliced_bytes_come_one_by_one_and_in_order() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
        proxy.slice();
        stream.write_all(b"in pieces").await.unwrap();
        let mut answer = [0; 9];
        let first = timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
        assert!(first < answer.len(), "the first read has all {first} bytes");
        timeout(PATIENCE, stream.read_exact(&mut answer[first..])).await.unwrap().unwrap();
        assert_eq!(&answer, b"in pieces");
    }

    #[tokio::test]
    async fn one_connection_can_be_struck_by_what_it_said_first() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut ill = TcpStream::connect(proxy.addr()).await.unwrap();
        let mut well = TcpStream::connect(proxy.addr()).await.unwrap();
        round_trip(&mut ill, b"I am the ill one").await.unwrap();
        round_trip(&mut well, b"I am well").await.unwrap();

        proxy.freeze_named("the ill one");
        ill.write_all(b"held").await.unwrap();
        assert_eq!(round_trip(&mut well, b"hello").await.unwrap(), b"hello");
        let mut answer = [0; 4];
        timeout(MOMENT, ill.read_exact(&mut answer)).await.unwrap_err();
        proxy.restore();
        timeout(PATIENCE, ill.read_exact(&mut answer)).await.unwrap().unwrap();

        proxy.cut_named("the ill one");
        timeout(PATIENCE, ill.read(&mut [0])).await.unwrap().unwrap_err();
        let mut next = TcpStream::connect(proxy.addr()).await.unwrap();
        timeout(PATIENCE, round_trip(&mut next, b"I am the ill one")).await.unwrap().unwrap_err();
        assert_eq!(round_trip(&mut well, b"hello").await.unwrap(), b"hello");
    }

    #[tokio::test]
    async fn new_connections_go_where_the_proxy_is_aimed_at() {
        let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut old = TcpStream::connect(proxy.addr()).await.unwrap();
        round_trip(&mut old, b"hello").await.unwrap();

        proxy.aim(nowhere);
        let mut lost = TcpStream::connect(proxy.addr()).await.unwrap();
        timeout(PATIENCE, round_trip(&mut lost, b"hello")).await.unwrap().unwrap_err();
        assert_eq!(round_trip(&mut old, b"again").await.unwrap(), b"again");

        proxy.aim(echo().await);
        let mut new = TcpStream::connect(proxy.addr()).await.unwrap();
        assert_eq!(round_trip(&mut new, b"hello").await.unwrap(), b"hello");
    }

    #[tokio::test]
    async fn a_dropped_proxy_cuts() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let addr = proxy.addr();
        let mut stream = TcpStream::connect(addr).await.unwrap();
        round_trip(&mut stream, b"hello").await.unwrap();
        drop(proxy);
        timeout(PATIENCE, stream.read(&mut [0])).await.unwrap().unwrap_err();
        eventually("the port is free", PATIENCE, async || TcpStream::connect(addr).await.is_err()).await;
    }
}
