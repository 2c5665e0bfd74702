//! The ledger as a person reads it.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::time::Duration;

use super::ledger::{Balance, Ledger};
use super::schedule::Strike;
use super::world::{Struck, World};

/// How many of a list are named.
const NAMED: usize = 5;

/// What is going to happen.
pub(super) fn announcement(seed: u64, length: Duration, nodes: usize, strikes: &[Strike]) -> String {
    let mut text = format!("storm: seed {seed}, {} s, broker nodes: {nodes}\n", length.as_secs());
    for strike in strikes {
        line(&mut text, strike);
    }
    text
}

/// What has happened.
pub(super) fn report(world: &World, ledger: &Ledger, balance: &Balance, took: Duration) -> String {
    let mut text = "ledger\n".to_owned();
    let mut row = |name: &str, value: String| line(&mut text, format!("  {name:<34} {value}"));
    let rate = balance.confirmed as u128 * 1000 / took.as_millis().max(1);
    row("seed", world.seed.to_string());
    row("storm", format!("{:.0} s, {rate} confirmed jobs/s", took.as_secs_f64()));
    row("faults", counted(&faults(world)));
    row("longest recovery", recovery(world, ledger));
    row("jobs confirmed", balance.confirmed.to_string());
    let done = format!("{} ({} of them done)", balance.indeterminate, balance.indeterminate_done);
    row("jobs indeterminate", done);
    row("answered once", balance.answered_once.to_string());
    row("answered again, the same", balance.repeated.to_string());
    row("answered failed and created", named(&balance.mixed));
    row("told created", format!("{} ({} of them recovered)", balance.created, balance.recovered));
    row("told failed", counted(&balance.failed));
    row("dead-lettered", counted(&balance.dead));
    row("replies undeliverable", balance.undeliverable.to_string());
    row("connections created", balance.connections.to_string());
    row("returned by the broker", balance.returned.to_string());
    row("what must not be:", String::new());
    row("- lost", named(&balance.lost));
    row("- created more than once", named(&duplicates(balance)));
    row("- answered with different ids", named(&balance.conflicting));
    row("- told of another's connection", named(&balance.misled));
    row("- told of none, and there is one", named(&balance.denied));
    row("- of unknown origin", named(&balance.strangers));
    for note in world.fleet.notes() {
        row("note", note);
    }
    text
}

fn line(text: &mut String, line: impl Display) {
    writeln!(text, "{line}").expect("a string takes it");
}

fn faults(world: &World) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for struck in world.struck.lock().unwrap().iter() {
        *kinds.entry(struck.fault.kind().to_owned()).or_default() += 1;
    }
    kinds
}

/// The longest time from the end of a fault to the first answer to a job that was submitted after it. The end of a fault
/// under another one heals nothing yet.
fn recovery(world: &World, ledger: &Ledger) -> String {
    let struck = world.struck.lock().unwrap();
    let is_last =
        |one: &&Struck| struck.iter().all(|other| one.healed <= other.began || other.healed <= one.healed);
    let times = struck.iter().filter(is_last).filter_map(|struck| {
        let answered = ledger.first_answer_after(struck.healed)?;
        Some((answered.duration_since(struck.healed), struck.fault.to_string()))
    });
    match times.max() {
        Some((time, fault)) => format!("{:.1} s, after: {fault}", time.as_secs_f64()),
        None => "nothing to recover from".to_owned(),
    }
}

fn duplicates(balance: &Balance) -> Vec<String> {
    balance.duplicated.iter().map(|(job, connections)| format!("{job} ({connections} times)")).collect()
}

fn counted(counts: &BTreeMap<String, usize>) -> String {
    let total: usize = counts.values().sum();
    let parts: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    if parts.is_empty() { "0".to_owned() } else { format!("{total}: {}", parts.join(", ")) }
}

fn named(list: &[String]) -> String {
    let first: Vec<&str> = list.iter().take(NAMED).map(String::as_str).collect();
    let more = if list.len() > NAMED { ", …" } else { "" };
    if list.is_empty() { "0".to_owned() } else { format!("{}: {}{more}", list.len(), first.join(", ")) }
}
