//! `probe`: asks the worker's admin port whether the worker is well, for health checks where there is no shell and no curl.
//!
//! One request over a plain socket: it runs every few seconds, so it starts no runtime and no thread.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::time::Instant;

use super::{Exit, complain};
use crate::config::{AdminOptions, Invalid, Setting};

/// More than an answer of the worker's has. Another program may be listening there.
const LONGEST_ANSWER: usize = 4096;

/// What `--timeout` may be.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);

/// Options of `probe`.
#[derive(Debug, Clone, clap::Args)]
pub struct ProbeOptions {
    /// What to ask for
    #[arg(value_enum, default_value = "livez")]
    check: Check,
    /// How long the answer may take
    #[arg(long, value_name = "DURATION", default_value = "2s")]
    timeout: Setting<Duration>,
    #[command(flatten)]
    admin: AdminOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Check {
    /// Does the event loop answer? If not, a restart helps
    Livez,
    /// Are jobs being taken? If not, a restart does not help
    Readyz,
}

impl Check {
    fn path(self) -> &'static str {
        match self {
            Self::Livez => "/livez",
            Self::Readyz => "/readyz",
        }
    }
}

/// A question to a worker.
#[derive(Debug)]
pub struct Probe {
    check: Check,
    timeout: Duration,
    addr: SocketAddr,
}

impl ProbeOptions {
    /// The question, or every fault at once.
    pub fn validate(self) -> Result<Probe, Invalid> {
        let mut invalid = Invalid::default();
        let timeout = invalid.take_duration("TIMEOUT", self.timeout, TIMEOUTS);
        let addr = self.admin.validate(&mut invalid);
        if addr.is_some_and(|addr| addr.port() == 0) {
            invalid.add(
                "ADMIN_ADDR",
                "port 0 lets the system choose one: the log of `run` says which, a probe cannot know",
            );
        }
        match (timeout, addr) {
            (Some(timeout), Some(addr)) if invalid.0.is_empty() => {
                Ok(Probe { check: self.check, timeout, addr: reachable(addr) })
            }
            _ => Err(invalid),
        }
    }
}

/// Where to reach what listens at `addr`: a worker that listens on every address does so on loopback.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

/// Why the worker does not pass for well.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{addr}: cannot connect")]
    Connect { addr: SocketAddr, source: io::Error },
    #[error("{addr}{path}: no answer")]
    Silent { addr: SocketAddr, path: &'static str, source: io::Error },
    #[error("{addr}{path}: the answer is not HTTP, so ADMIN_ADDR is not the worker's")]
    Foreign { addr: SocketAddr, path: &'static str },
    #[error("{addr}{path}: {status} {said}")]
    Unwell { addr: SocketAddr, path: &'static str, status: u16, said: String },
}

/// Asks once. Says nothing if all is well, else in one line why not.
pub fn run(probe: &Probe) -> Exit {
    match ask(probe) {
        Ok(()) => Exit::Ok,
        Err(error) => complain(&error, Exit::Incomplete),
    }
}

fn ask(probe: &Probe) -> Result<(), Error> {
    let Probe { check, timeout, addr } = *probe;
    let path = check.path();
    let deadline = Instant::now() + timeout;
    let stream =
        TcpStream::connect_timeout(&addr, timeout).map_err(|source| Error::Connect { addr, source })?;
    let answer =
        exchange(stream, addr, path, deadline).map_err(|source| Error::Silent { addr, path, source })?;
    let (status, said) = read_answer(&answer).ok_or(Error::Foreign { addr, path })?;
    if status == 200 { Ok(()) } else { Err(Error::Unwell { addr, path, status, said }) }
}

/// Sends the request, and reads what comes until the other side is done.
fn exchange(mut stream: TcpStream, addr: SocketAddr, path: &str, deadline: Instant) -> io::Result<Vec<u8>> {
    stream.set_write_timeout(Some(time_left(deadline)?))?;
    // HTTP/1.0, because its answers end with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {addr}\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut part = [0; 512];
    while answer.len() < LONGEST_ANSWER {
        stream.set_read_timeout(Some(time_left(deadline)?))?;
        let length = match stream.read(&mut part) {
            Ok(0) => break,
            Ok(length) => length,
            // How a socket says that its time is up.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        };
        answer.extend(part.iter().take(length));
    }
    Ok(answer)
}

fn time_left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// The status and the first line of the body; nothing if it is not HTTP.
fn read_answer(answer: &[u8]) -> Option<(u16, String)> {
    let answer = String::from_utf8_lossy(answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let (version, rest) = head.split_once(' ')?;
    let status = rest.split([' ', '\r']).next()?.parse().ok()?;
    let said = body.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(80).collect();
    version.starts_with("HTTP/").then_some((status, said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_listens_everywhere_is_asked_on_loopback() {
        for (bound, asked) in [
            ("0.0.0.0:9464", "127.0.0.1:9464"),
            ("[::]:9464", "[::1]:9464"),
            ("10.0.0.7:1", "10.0.0.7:1"),
            ("[fd00::7]:1", "[fd00::7]:1"),
        ] {
            assert_eq!(reachable(bound.parse().unwrap()), asked.parse().unwrap(), "{bound}");
        }
    }

    #[test]
    fn an_answer_is_a_status_and_a_line() {
        let read = |text: &str| read_answer(text.as_bytes());
        let unwell =
            "HTTP/1.0 503 Service Unavailable\r\ncontent-length: 16\r\n\r\nnot taking\u{1b} jobs\nmore\n";
        assert_eq!(read(unwell), Some((503, "not taking jobs".to_owned())));
        assert_eq!(read("HTTP/1.1 200\r\n\r\n"), Some((200, String::new())));
        for foreign in
            ["", "SSH-2.0-OpenSSH_9.2\r\n", "AMQP\0\0\t\u{1}", "HTTP/1.1 200 OK\r\n", "X 200 OK\r\n\r\n"]
        {
            assert_eq!(read(foreign), None, "{foreign:?}");
        }
    }
}
