//! What the benchmark runs on.

use std::fs;
use std::process::Command;

use crate::results::Machine;
use crate::support::broker::Broker;

/// Looks around.
pub(crate) async fn describe(broker: &Broker) -> Machine {
    let memory: f64 = line_of("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().expect("a number");
    let rustc = Command::new("rustc").arg("--version").output().expect("rustc is there").stdout;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel's version");
    Machine {
        cpu: line_of("/proc/cpuinfo", "model name"),
        cores: std::thread::available_parallelism().expect("a number of cores").get(),
        memory_gib: (memory / 1024.0 / 1024.0 * 10.0).round() / 10.0,
        kernel: kernel.trim().to_owned(),
        rabbitmq: broker.eval("list_to_binary(rabbit_misc:version()).").await,
        rustc: String::from_utf8_lossy(&rustc).trim().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// What follows a name and a colon in a file of proc(5); not every kind of CPU tells its model.
fn line_of(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).expect("a file of proc");
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
    found.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
}
