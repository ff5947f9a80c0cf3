//! The running counts of one attempt, from which its ledger is made.
//!
//! Written by the attempt alone, on whichever thread polls it; read by the runner when the attempt has ended or was
//! stopped, and by the limits that are held against it. So the counts are atomic, and never contended.

use crate::clock;
use crate::ledger::Ledger;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A count with one writer.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// Adds to the count and returns the new sum.
    pub(super) fn add(&self, more: u64) -> u64 {
        let sum = self.get().saturating_add(more);
        self.0.store(sum, Ordering::Relaxed);
        sum
    }

    /// Takes away what should not have been counted.
    pub(super) fn take_back(&self, less: u64) {
        let rest = self.get().saturating_sub(less);
        self.0.store(rest, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counts of one attempt, which begins when this is made.
#[derive(Debug)]
pub struct Meter {
    since: Duration,
    pub(super) cpu_us: Count,
    /// A guest's memory only grows, so its last size is its peak.
    pub(super) memory_bytes: Count,
    pub(super) host_calls: Count,
    pub(super) calls_denied: Count,
    pub(super) bytes_read: Count,
    pub(super) bytes_written: Count,
    pub(super) files_made: Count,
    pub(super) log_bytes: Count,
}

impl Meter {
    /// The attempt begins now.
    pub fn start() -> Self {
        Meter {
            since: clock::monotonic(),
            cpu_us: Count::default(),
            memory_bytes: Count::default(),
            host_calls: Count::default(),
            calls_denied: Count::default(),
            bytes_read: Count::default(),
            bytes_written: Count::default(),
            files_made: Count::default(),
            log_bytes: Count::default(),
        }
    }

    /// What has been used until now.
    pub fn ledger(&self) -> Ledger {
        let wall = clock::monotonic().saturating_sub(self.since);
        Ledger {
            cpu_us: self.cpu_us.get(),
            wall_us: u64::try_from(wall.as_micros()).unwrap_or(u64::MAX),
            memory_bytes: self.memory_bytes.get(),
            host_calls: self.host_calls.get(),
            calls_denied: self.calls_denied.get(),
            bytes_read: self.bytes_read.get(),
            bytes_written: self.bytes_written.get(),
            log_bytes: self.log_bytes.get(),
        }
    }

    /// The guest asked for what it was not granted.
    pub(super) fn deny(&self) {
        self.calls_denied.add(1);
    }
}
