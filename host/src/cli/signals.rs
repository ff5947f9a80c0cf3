//! Ctrl-C and SIGTERM, which mean the same here: somebody wants a stop.

use super::stop::Stop;
use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both, from now on: none ends the process any more.
pub(super) struct Signals {
    interrupts: Signal,
    terminations: Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Self, Stop> {
        let listen = |kind| {
            signal(kind)
                .context("cannot listen for signals")
                .map_err(Stop::fault)
        };
        Ok(Signals {
            interrupts: listen(SignalKind::interrupt())?,
            terminations: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for the next of them.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupts.recv() => {}
            _ = self.terminations.recv() => {}
        }
    }
}
