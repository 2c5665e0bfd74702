//! `deploy/dev/broker.sh run`, which runs RabbitMQ nodes, in our hands.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The script that knows how to run a node.
pub(super) const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/dev/broker.sh");

/// Its nodes live as long as its standard input is open: the kernel closes that even if this process is killed.
#[derive(Debug)]
pub(super) struct Script {
    _process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What it said about its nodes when they were ready.
#[derive(Debug, Default)]
pub(super) struct Said(HashMap<String, String>);

impl Script {
    /// Starts so many nodes, with TLS certificates from `files`; returns when they are ready.
    pub(super) fn start(nodes: usize, files: &Path) -> io::Result<(Self, Said)> {
        let mut process = Command::new(PATH)
            .args(["run", "--nodes", &nodes.to_string(), "--tls-ca"])
            .arg(files.join("ca.pem"))
            .arg("--tls-cert")
            .arg(files.join("server.pem"))
            .arg("--tls-key")
            .arg(files.join("server-key.pem"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = process.stdin.take().expect("it is piped");
        let answers = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut script = Self { _process: process, orders, answers };
        let mut said = Said::default();
        loop {
            let line = script.line()?;
            match line.split_once('=') {
                Some((key, value)) => said.0.insert(key.to_owned(), value.to_owned()),
                None if line == "READY" => return Ok((script, said)),
                None => continue,
            };
        }
    }

    /// Gives an order about a node; returns what it answers when it is done.
    pub(super) fn order(&mut self, verb: &str, number: usize) -> io::Result<String> {
        let order = format!("{verb} {number}");
        writeln!(self.orders, "{order}")?;
        let line = self.line()?;
        let answer = line.strip_prefix(&order).ok_or_else(|| io::Error::other(line.clone()))?;
        Ok(answer.trim().to_owned())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(io::Error::other("broker.sh run ended; see above for why"));
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Said {
    /// What it said about one of the nodes.
    pub(super) fn take(&mut self, key: &str, number: usize) -> io::Result<String> {
        let key = if number == 1 { key.to_owned() } else { format!("{key}_{number}") };
        self.0.remove(&key).ok_or_else(|| io::Error::other(format!("broker.sh run said no {key}")))
    }
}
