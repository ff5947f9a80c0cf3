//! What an attempt has used: the ledger that stands beside its end in the run's record.
//!
//! Numbers only: measured by whoever performs attempts, kept by the records, shown by `view`. Nothing is decided
//! by it; limits are the sandbox's.

use serde::{Deserialize, Serialize};

/// What one attempt has used, from its start to its end. Stored under short names, and without what is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// CPU time, in microseconds: the driver's own and that of the host on its behalf.
    #[serde(rename = "cpu", default, skip_serializing_if = "is_zero")]
    pub cpu_us: u64,
    /// Wall time, in microseconds; what it waited for admission does not count.
    #[serde(rename = "wall", default, skip_serializing_if = "is_zero")]
    pub wall_us: u64,
    /// The most linear memory that it held, in bytes.
    #[serde(rename = "memory", default, skip_serializing_if = "is_zero")]
    pub memory_bytes: u64,
    /// Calls into the host: imports, and memory that grows.
    #[serde(rename = "calls", default, skip_serializing_if = "is_zero")]
    pub host_calls: u64,
    /// Those of them that asked for what it was not granted.
    #[serde(rename = "denied", default, skip_serializing_if = "is_zero")]
    pub calls_denied: u64,
    /// Bytes read from files.
    #[serde(rename = "read", default, skip_serializing_if = "is_zero")]
    pub bytes_read: u64,
    /// Bytes written to files.
    #[serde(rename = "written", default, skip_serializing_if = "is_zero")]
    pub bytes_written: u64,
    /// Bytes of log lines that were kept.
    #[serde(rename = "log", default, skip_serializing_if = "is_zero")]
    pub log_bytes: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}
