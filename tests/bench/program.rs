//! A program under test, as a process of its own: what it is told, and what the kernel says of it (proc(5)).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, sysconf};

use crate::job::{ORG, SANDBOX};
use crate::support::eventually::eventually;

/// For a program to end by itself.
const STOP: Duration = Duration::from_secs(60);

/// How many lines of a log are shown when a program fails.
const LOG_LINES: usize = 20;

/// Which program.
#[derive(Debug, Clone)]
pub(crate) enum Program {
    /// The bare loop.
    Baseline,
    /// Another build of the worker.
    Other(PathBuf),
    /// The worker of this build.
    Worker,
}

/// What either program is told.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) amqp_url: String,
    pub(crate) job_queue: String,
    pub(crate) reply_queue: String,
    pub(crate) flow_url: String,
    pub(crate) ims_url: String,
    pub(crate) access_token: String,
    pub(crate) concurrency: u16,
    pub(crate) ca: Option<PathBuf>,
    /// For the worker only.
    pub(crate) env: Vec<(&'static str, String)>,
}

/// A running program; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    process: Child,
    log: PathBuf,
}

/// What a process has used up to now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// In user and in kernel mode.
    pub(crate) cpu: Duration,
    /// Resident memory in bytes.
    pub(crate) rss: u64,
    /// The most that it ever was.
    pub(crate) peak_rss: u64,
}

impl Usage {
    /// What a process has used up to now; nothing if it has ended.
    pub(crate) fn of(process: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The name of the program, in brackets, may hold blanks; utime and stime are the 14th and 15th field.
        let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
        let ticks: u64 = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
        let per_second = sysconf(SysconfVar::CLK_TCK).unwrap().expect("a clock");
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let kib = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_matches([':', '\t', ' ', 'k', 'B']).parse().ok()
        };
        Some(Self {
            cpu: Duration::from_micros(ticks * 1_000_000 / u64::try_from(per_second).unwrap()),
            rss: kib("VmRSS")? * 1024,
            peak_rss: kib("VmHWM")? * 1024,
        })
    }
}

impl Program {
    /// How it is called in tables.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Baseline => "bare loop",
            Self::Other(_) => "other build",
            Self::Worker => "worker",
        }
    }

    /// Starts it. What it logs goes into a file, as under a service manager.
    pub(crate) fn start(&self, task: &Task, log: &Path) -> Running {
        let file = File::options().append(true).create(true).open(log).expect("a log file");
        let mut command = match self {
            Self::Baseline => baseline(task),
            Self::Other(path) => worker(path, task),
            Self::Worker => worker(Path::new(env!("CARGO_BIN_EXE_connection-worker")), task),
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let process = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Running { process, log: log.to_owned() }
    }
}

fn baseline(task: &Task) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    let concurrency = task.concurrency.to_string();
    command.env_clear().args(["baseline", "--amqp-url", &task.amqp_url, "--job-queue", &task.job_queue]);
    command.args(["--reply-queue", &task.reply_queue, "--flow-url", &task.flow_url]);
    command.args(["--access-token", &task.access_token, "--concurrency", &concurrency]);
    if let Some(ca) = &task.ca {
        command.arg("--ca").arg(ca);
    }
    command
}

fn worker(path: &Path, task: &Task) -> Command {
    let mut command = Command::new(path);
    command.arg("run").env_clear();
    command.env("AMQP_URL", &task.amqp_url).env("JOB_QUEUE", &task.job_queue);
    command.env("REPLY_QUEUE", &task.reply_queue).env("CONCURRENCY", task.concurrency.to_string());
    command.env("FLOW_URL", &task.flow_url).env("IMS_URL", &task.ims_url);
    command.env("IMS_CLIENT_ID", "bench").env("IMS_CLIENT_SECRET", "bench-secret");
    command.env("IMS_ORG_ID", ORG).env("SANDBOX_NAME", SANDBOX).env("ADMIN_ADDR", "127.0.0.1:0");
    if let Some(ca) = &task.ca {
        command.env("AMQP_CA_FILE", ca).env("SSL_CERT_FILE", ca);
    }
    command.envs(task.env.iter().map(|(name, value)| (name, value)));
    command
}

impl Running {
    /// What it has used up to now.
    pub(crate) fn usage(&self) -> Usage {
        let usage = Usage::of(self.process.id());
        usage.unwrap_or_else(|| panic!("the program ended; its log ends with\n{}", self.end_of_log()))
    }

    /// Lets it end in order.
    pub(crate) async fn stop(mut self) {
        kill(Pid::from_raw(self.process.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        eventually("the program ends", STOP, async || self.process.try_wait().unwrap()).await;
    }

    /// Fails if it has ended.
    pub(crate) fn assert_running(&mut self) {
        if let Some(status) = self.process.try_wait().unwrap() {
            panic!("the program ended with {status}; its log ends with\n{}", self.end_of_log());
        }
    }

    /// The last that it logged.
    pub(crate) fn end_of_log(&self) -> String {
        let log = fs::read(&self.log).expect("a log file");
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Errors say that it has ended already.
        self.process.kill().unwrap_or_default();
        drop(self.process.wait());
    }
}
