//! Room on the stack of threads that libraries start.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The standard library reads it once, for threads whose size is not set by whoever starts them. In bytes.
const VARIABLE: &str = "RUST_MIN_STACK";

/// The AMQP client's parser calls itself once for each level of nested header tables, and a level takes 7 bytes of a
/// frame of 128 KiB. Measured: the default of 2 MiB ends at less than 1,000 levels, 64 MiB hold all that fit, and four
/// times that in a debug build. It is room and not memory: only what is used is ever taken.
const BYTES: &str = "268435456";

/// Starts the process anew with enough stack for its threads, unless the environment says how much they get.
///
/// An overflow cannot be caught: it ends the process, and the message that did it would end the next. Only the
/// environment reaches the thread, and only at the start of the process; so it is replaced by itself, once, before
/// it has begun anything. Returns only if there is nothing to do, or with the reason why it cannot.
#[expect(clippy::disallowed_methods, reason = "this is the reader of the environment")]
pub fn ensure_stack() -> io::Result<()> {
    if std::env::var_os(VARIABLE).is_some() {
        return Ok(());
    }
    let mut arguments = std::env::args_os();
    let mut again = Command::new(std::env::current_exe()?);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    Err(again.args(arguments).env(VARIABLE, BYTES).exec())
}
