//! The commands that end by themselves: run, fed, and read to the end.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

/// For a command that has little to do, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a command ended and what it printed.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code; none if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command of the binary with these variables and no others, and nothing on standard input.
pub(crate) async fn run(args: &[&str], env: &[(&str, &str)]) -> Ran {
    run_with_input(args, env, "").await
}

/// The same with something on standard input.
pub(crate) async fn run_with_input(args: &[&str], env: &[(&str, &str)], input: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_connection-worker"));
    feed(command.args(args).env_clear().envs(env.iter().copied()), input).await
}

/// Runs commands of the binary in a row, each reading what the one before it prints.
pub(crate) async fn piped(commands: &[&str], env: &[(&str, &str)]) -> Ran {
    let binary = env!("CARGO_BIN_EXE_connection-worker");
    let line: Vec<String> = commands.iter().map(|args| format!("'{binary}' {args}")).collect();
    let mut command = Command::new("/bin/sh");
    feed(command.arg("-c").arg(line.join(" | ")).env_clear().envs(env.iter().copied()), "").await
}

async fn feed(command: &mut Command, input: &str) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().expect("it is piped");
    let feeding = async move {
        // A command that reads nothing has closed its end already.
        stdin.write_all(input.as_bytes()).await.ok();
    };
    let running = timeout(PATIENCE, async { tokio::join!(child.wait_with_output(), feeding).0 });
    let output =
        running.await.unwrap_or_else(|_| panic!("{command:?} did not end within {PATIENCE:?}")).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The same at a terminal of 120 columns, with something typed. Both streams come as one: standard output.
pub(crate) async fn on_terminal(args: &[&str], env: &[(&str, &str)], typed: &str) -> Ran {
    let quoted = args.iter().map(|arg| format!("'{arg}'")).collect::<Vec<_>>().join(" ");
    let inside = format!("stty cols 120; exec '{}' {quoted}", env!("CARGO_BIN_EXE_connection-worker"));
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &inside, "/dev/null"]);
    feed(
        command.env_clear().envs([("SHELL", "/bin/sh"), ("PATH", "/usr/bin:/bin")]).envs(env.iter().copied()),
        typed,
    )
    .await
}
