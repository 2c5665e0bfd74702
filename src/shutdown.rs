//! Signals: the first asks for a drain, the second ends the process at once. SIGHUP asks to read a file again, if there is one;
//! else it ends the process, as it does by default and as who closes a terminal expects.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Which signal it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// From an orchestrator.
    Terminate,
    /// From a person at a terminal.
    Interrupt,
}

impl StopSignal {
    /// The exit code of a process that such a signal ends: 128 and the signal's number, as shells have it.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Terminate => 128 + 15,
            Self::Interrupt => 128 + 2,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        }
    }
}

/// The process's stop signals.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes over SIGTERM and SIGINT.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> StopSignal {
        tokio::select! {
            _ = self.terminate.recv() => StopSignal::Terminate,
            _ = self.interrupt.recv() => StopSignal::Interrupt,
        }
    }

    /// Cancels `stop` at the first signal and returns at the second.
    pub async fn drain_then_quit(mut self, stop: CancellationToken) -> StopSignal {
        let first = self.next().await;
        info!(signal = first.name(), "stopping; a second signal ends at once");
        stop.cancel();
        let second = self.next().await;
        warn!(signal = second.name(), "ending at once");
        second
    }
}

/// The process's SIGHUPs, from the first `listen` on: it does not end by them any more.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// Takes over SIGHUP.
    pub fn listen() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits for the next one. Safe to drop: none is lost.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            // No further signal can come, and the caller has other reasons to go on.
            std::future::pending::<()>().await;
        }
    }
}
