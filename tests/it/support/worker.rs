//! The real binary, as a process that can be signalled, watched and killed.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::eventually::eventually;
use super::http;

/// How the log says where the admin port is.
const ADMIN_ADDR_FIELD: &str = r#""admin_addr":""#;

/// For a start on a loaded machine.
const START: Duration = Duration::from_secs(30);

/// A running worker, killed when the test is done with it. What it logs is shown if the test fails.
#[derive(Debug)]
pub(crate) struct WorkerProcess {
    child: Child,
    log: Arc<Mutex<Vec<Line>>>,
    readers: Vec<JoinHandle<()>>,
}

/// One line of output.
#[derive(Debug)]
struct Line {
    stream: Stream,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

impl WorkerProcess {
    /// Runs `connection-worker run` with these variables and no others, but for two that the harness needs and that can
    /// be overridden: a free admin port, and logs in JSON.
    pub(crate) fn start(env: &[(&str, &str)]) -> Self {
        let defaults = [("ADMIN_ADDR", "127.0.0.1:0"), ("LOG_FORMAT", "json")];
        Self::spawn(&["run"], &[&defaults, env].concat())
    }

    /// Runs any command of the binary with these variables and no others.
    pub(crate) fn spawn(args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_connection-worker"));
        command.args(args).env_clear().envs(env.iter().copied());
        Self::spawn_command(command)
    }

    /// Runs any program; standard input is empty.
    pub(crate) fn spawn_command(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let log = Arc::default();
        let readers = vec![
            read(child.stdout.take().expect("it is piped"), Stream::Stdout, &log),
            read(child.stderr.take().expect("it is piped"), Stream::Stderr, &log),
        ];
        Self { child, log, readers }
    }

    /// The operating system's number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where the admin port is, as soon as the log says it.
    pub(crate) async fn admin_addr(&mut self) -> SocketAddr {
        eventually("the log names the admin port", START, async || {
            self.assert_running();
            self.logged_admin_addr()
        })
        .await
    }

    /// Waits until the worker says that it is ready.
    pub(crate) async fn wait_ready(&mut self) {
        let addr = self.admin_addr().await;
        eventually("the worker is ready", START, async || {
            self.assert_running();
            match http::get(addr, "/readyz").await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(format!("{answer:?}")),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }

    /// What a path of the admin port answers.
    pub(crate) async fn admin(&self, path: &str) -> io::Result<http::Answer> {
        http::get(self.logged_admin_addr().expect("the worker was started and waited for"), path).await
    }

    /// All metrics, as text.
    pub(crate) async fn metrics(&self) -> String {
        let answer = self.admin("/metrics").await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// One metric: the name with its labels exactly as `/metrics` has them, or a name alone for the sum of its series. Every
    /// series is there from the start.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let metrics = self.metrics().await;
        find_metric(&metrics, series).unwrap_or_else(|| panic!("no {series} in\n{metrics}"))
    }

    /// One metric that counts.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter is neither")]
    pub(crate) async fn count(&self, series: &str) -> u64 {
        self.metric(series).await as u64
    }

    /// Waits until a metric has reached a number.
    pub(crate) async fn wait_count(&self, series: &str, at_least: u64, patience: Duration) {
        eventually(series, patience, async || {
            let count = self.count(series).await;
            if count >= at_least { Ok(()) } else { Err(count) }
        })
        .await;
    }

    /// Waits until the worker says that it is not ready; it must be running all the same.
    pub(crate) async fn wait_unready(&mut self) {
        let addr = self.admin_addr().await;
        eventually("the worker is not ready", START, async || {
            self.assert_running();
            match http::get(addr, "/readyz").await {
                Ok(answer) if answer.status == 503 => Ok(()),
                Ok(answer) => Err(format!("{answer:?}")),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
        let live = http::get(addr, "/livez").await.unwrap();
        assert_eq!(live.status, 200, "{live:?}");
    }

    /// Waits until it has logged a text.
    pub(crate) async fn wait_log(&self, text: &str, patience: Duration) {
        eventually(&format!("{text:?} is logged"), patience, async || self.logs().contains(text)).await;
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let process = Pid::from_raw(self.child.id().try_into().expect("a process number"));
        kill(process, signal).unwrap();
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until the process has ended and its output is read to the end.
    pub(crate) async fn wait(&mut self, patience: Duration) -> ExitStatus {
        let status = eventually("the process ends", patience, async || self.ended()).await;
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        status
    }

    /// Everything it printed up to now, both streams in the order of arrival.
    pub(crate) fn logs(&self) -> String {
        self.printed(|_| true)
    }

    /// What it printed to standard output up to now.
    pub(crate) fn stdout(&self) -> String {
        self.printed(|stream| stream == Stream::Stdout)
    }

    /// What it printed to standard error up to now.
    pub(crate) fn stderr(&self) -> String {
        self.printed(|stream| stream == Stream::Stderr)
    }

    fn printed(&self, wanted: impl Fn(Stream) -> bool) -> String {
        let log = self.log.lock().unwrap();
        log.iter().filter(|line| wanted(line.stream)).fold(String::new(), |mut text, line| {
            writeln!(text, "{}", line.text).expect("a string takes it");
            text
        })
    }

    /// Where the admin port is, if the log has said so.
    pub(crate) fn logged_admin_addr(&self) -> Option<SocketAddr> {
        let log = self.log.lock().unwrap();
        log.iter().find_map(|line| {
            let (_, rest) = line.text.split_once(ADMIN_ADDR_FIELD)?;
            rest.split('"').next()?.parse().ok()
        })
    }

    fn assert_running(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("the process ended with {status}");
        }
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        // Errors say that it has ended already.
        self.child.kill().unwrap_or_default();
        drop(self.child.wait());
        if std::thread::panicking() || super::env("TEST_LOG").is_some() {
            super::tell(&format!("--- log of process {}\n{}---", self.child.id(), self.logs()));
        }
    }
}

/// Collects the lines of one stream until it ends.
fn read(stream: impl Read + Send + 'static, kind: Stream, log: &Arc<Mutex<Vec<Line>>>) -> JoinHandle<()> {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stream);
        let mut bytes = Vec::new();
        while lines.read_until(b'\n', &mut bytes).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned();
            log.lock().unwrap().push(Line { stream: kind, text });
            bytes.clear();
        }
    })
}

/// The value of one series in Prometheus' text format, or of all series of a name together.
pub(crate) fn find_metric(metrics: &str, series: &str) -> Option<f64> {
    let values = metrics.lines().filter_map(|line| {
        let (found, value) = line.rsplit_once(' ')?;
        let wanted = found == series || found.split('{').next() == Some(series);
        wanted.then(|| value.parse::<f64>().ok()).flatten()
    });
    values.reduce(|sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn shell(script: &str) -> WorkerProcess {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        WorkerProcess::spawn_command(command)
    }

    #[tokio::test]
    async fn a_signal_ends_the_process_and_its_output_is_whole() {
        let mut process = shell("echo out; echo err >&2; exec sleep 60");
        eventually("both lines are read", START, async || process.logs().lines().count() == 2).await;
        process.signal(Signal::SIGTERM);
        let status = process.wait(START).await;
        assert_eq!(status.signal(), Some(15));
        assert_eq!((process.stdout().as_str(), process.stderr().as_str()), ("out\n", "err\n"));
    }

    #[tokio::test]
    async fn a_stopped_process_is_killed_when_dropped() {
        let process = shell("exec sleep 60");
        let id = process.id();
        process.signal(Signal::SIGSTOP);
        drop(process);
        assert!(!crate::support::broker::is_alive(id));
    }

    #[tokio::test]
    async fn readiness_and_metrics_are_read_from_the_port_that_the_log_names() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            // Not ready at first.
            for status in ["503 Service Unavailable", "200 OK", "200 OK"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let length = stream.read(&mut request).await.unwrap();
                assert!(length > 0);
                let body =
                    "# TYPE jobs counter\njobs{status=\"created\"} 12\njobs{status=\"created_late\"} 1\n";
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let mut process =
            shell(&format!(r#"echo '{{"level":"INFO","fields":{{"admin_addr":"{addr}"}}}}'; exec sleep 60"#));
        process.wait_ready().await;
        assert!((process.metric(r#"jobs{status="created"}"#).await - 12.0).abs() < f64::EPSILON);
    }

    #[tokio::test]
    #[should_panic(expected = "the process ended with exit status: 3")]
    async fn a_worker_that_ends_is_not_waited_for() {
        shell("exit 3").wait_ready().await;
    }

    #[tokio::test]
    async fn the_binary_is_there_and_runs_in_a_clean_environment() {
        let mut process = WorkerProcess::spawn(&["--version"], &[]);
        assert!(process.wait(START).await.success());
    }
}
